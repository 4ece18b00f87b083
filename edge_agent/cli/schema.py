"""`edge-agent schema`: the JSON Schema of the tag map, for editors."""

from __future__ import annotations

import typer

from edge_agent.cli.common import print_json
from edge_agent.config.json_schema import tag_map_schema


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(schema)


def schema() -> None:
    """Print the JSON Schema of the tag map."""
    print_json(tag_map_schema())
