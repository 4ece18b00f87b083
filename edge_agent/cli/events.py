"""What the verbs on single events share: how one is named, who speaks and why, and texts of strangers on a terminal."""

from __future__ import annotations

from typing import Annotated

import typer

Event = Annotated[
    str,
    typer.Argument(
        metavar="EVENT", help="STREAM/SEQUENCE of the present store (routine/17), SOURCE/SEQUENCE, or the event's id."
    ),
]
By = Annotated[str, typer.Option(help="Who says so: goes into the audit log, and into the event if there is one.")]
Reason = Annotated[str, typer.Option(help="Why: goes into the audit log, and into the event if there is one.")]


def plain(text: str) -> str:
    """A text from elsewhere as a terminal may show it: control characters are written out."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
