"""Ranges hold what a set holds."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent_receiver.ranges import Ranges

_SPANS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)), max_size=30)


@given(spans=_SPANS, end=st.integers(0, 50))
def test_ranges_are_a_set(spans: list[tuple[int, int]], end: int) -> None:
    ranges, numbers = Ranges(), set[int]()
    for first, length in spans:
        ranges.add(first, first + length)
        numbers |= set(range(first, first + length + 1))

    assert {number for number in range(1, 60) if number in ranges} == numbers
    found = list(ranges)
    assert all(last < first - 1 for (_, last), (first, _) in pairwise(found))
    assert ranges.highest == max(numbers, default=0)
    contiguous = next(number for number in range(1, 60) if number not in numbers) - 1
    assert ranges.contiguous == contiguous
    missing = [number for number in range(1, end + 1) if number not in numbers]
    assert [number for low, high in ranges.missing(1, end) for number in range(low, high + 1)] == missing
    gap = ranges.first_gap(end)
    assert (gap is None) == (not missing)
    if gap is not None:
        assert gap[0] == missing[0]
        assert all(number in missing for number in range(gap[0], gap[1] + 1))
        assert gap[1] == end or gap[1] + 1 in numbers


def test_an_empty_range_adds_nothing() -> None:
    ranges = Ranges([(1, 3), (5, 4)])

    assert list(ranges) == [(1, 3)]
