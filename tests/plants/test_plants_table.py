"""The table of the made-up plants: what a reader is shown."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.plants.document import DOCUMENT, DOCUMENTED
from tests.plants.tally import Kind, Tally, rows
from tests.plants.verdict import open_range

REVIEW = {"candidates": ["10", "0", "65536"]}
BOUNDED, OPEN = {"min": "5", "max": "83"}, {"min": "0", "max": None}


@pytest.mark.parametrize(
    ("reviews", "gaps", "shown"),
    [
        ([], [], "nothing"),
        ([REVIEW], [BOUNDED], "1 + 1: 5 to 65,619"),
        ([], [BOUNDED, OPEN, OPEN], "0 + 3: 5 to 83, and 2 without a bound"),
        ([], [OPEN], "0 + 1: 0, and 1 without a bound"),
    ],
)
def test_what_is_open_is_told_with_its_bounds_and_how_much_has_none(
    reviews: list[dict[str, list[str]]], gaps: list[dict[str, str | None]], shown: str
) -> None:
    low, high = open_range({"review": reviews, "gaps": gaps})
    one = Kind(machines=1, moved=Fraction(7), reviews=len(reviews), gaps=len(gaps), low=low, high=high)

    row = list(rows(Tally({"counter": one})))[-1]

    assert row == f"| counter | 1 | 7 | 0 | 0 | 0 | {shown} | 0 |"


def test_the_page_says_how_many_plants_its_table_is_of() -> None:
    assert f"the first {DOCUMENTED} of these plants" in DOCUMENT.read_text(encoding="utf-8")
