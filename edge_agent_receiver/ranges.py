"""Which whole numbers are there, kept as ranges: a stream of millions of events is one range. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """A set of numbers from 1 on as disjoint ranges, ends included."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def add(self, first: int, last: int) -> None:
        """Take `first` to `last` in; what touches becomes one range."""
        if self._lasts and first == self._lasts[-1] + 1 <= last + 1:  # nearly always: the next one
            self._lasts[-1] = max(last, first)
            return
        if last < first:
            return
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first, last = min(first, self._firsts[low]), max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    @property
    def contiguous(self) -> int:
        """Up to where all numbers from 1 on are there; 0 where 1 is missing."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def highest(self) -> int:
        """The highest number; 0 where there is none."""
        return self._lasts[-1] if self._lasts else 0

    def first_gap(self, end: int) -> tuple[int, int] | None:
        """The first range of numbers from 1 to `end` that are missing; None where none is."""
        start = self.contiguous + 1
        if start > end:
            return None
        at = bisect_right(self._firsts, start)
        return start, min(end, self._firsts[at] - 1) if at < len(self._firsts) else end

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges of `first` to `last` that are not there."""
        found, at = [], first
        for low, high in self:
            if high < at:
                continue
            if low > last:
                break
            if low > at:
                found.append((at, low - 1))
            at = high + 1
        if at <= last:
            found.append((at, last))
        return found
