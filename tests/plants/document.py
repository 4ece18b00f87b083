"""The table in docs/derivation.md: made from plants, never by hand."""

from __future__ import annotations

from pathlib import Path

from tests.plants.tally import Tally, rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "derivation.md"
DOCUMENTED = 60
"""The plants that the table is made from: the first ones of the suite."""
BEGIN, END = "<!-- table: make plants ARGS=--write -->\n", "<!-- end of table -->\n"


def written(found: Tally) -> str:
    """The document with its table anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    table = "".join(f"{row}\n" for row in rows(found))
    return f"{before}{BEGIN}\n{table}\n{END}{after}"
