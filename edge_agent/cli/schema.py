"""`edge-agent schema`: the schemas of the tag map, for editors, and of everything on the wire, for receivers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.common import print_json
from edge_agent.config.json_schema import tag_map_schema
from edge_agent.publishing.contract_asyncapi import asyncapi
from edge_agent.publishing.contract_schema import schemas


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(schema)


def schema(
    events: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the JSON Schemas of events, commands and replies there instead."),
    ] = None,
    asyncapi_document: Annotated[
        bool, typer.Option("--asyncapi", help="Print the AsyncAPI 3 document of the wire instead.")
    ] = False,
) -> None:
    """Print the JSON Schema of the tag map."""
    if events is not None:
        events.mkdir(parents=True, exist_ok=True)
        for name, content in schemas().items():
            (events / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    elif asyncapi_document:
        print_json(asyncapi())
    else:
        print_json(tag_map_schema())
