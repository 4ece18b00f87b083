"""What is planted must show: a search for a script on which a property fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

S = TypeVar("S")


def fails_within(most: int, scripts: st.SearchStrategy[S], play: Callable[[S], object]) -> None:
    """One of so many scripts must fail; it is not made any smaller."""
    quick = settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )

    @quick
    @given(scripts)
    def holds(script: S) -> None:
        play(script)

    with pytest.raises(AssertionError):
        holds()
