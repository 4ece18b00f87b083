"""A level's readings, smoothed over time: the median of the last three, and its mean over a window. Pure.

The clock counts, not the rows: each value weighs as long as it stood, so repeated and skipped timestamps change
nothing, and a value that stands goes on weighing without another reading (derivation.md, Levels and weights).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from edge_agent.config.signals import Level
from edge_agent.model.measured import Window

SLOTS = 8
"""Stretches of time that a window is kept in, beside the one under way."""
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MEDIAN_OF = 3
_STANDS_AFTER = 2
"""A value that no other has followed for so many sampling periods stands: it is no spike."""


def opened(nano: int, time: datetime) -> Window:
    """A window with one reading and nothing weighed."""
    return Window((nano,), (), time)


def taken(window: Window, nano: int, time: datetime, last_time: datetime) -> Window:
    """One reading more; it takes the place of the last one where that has the same time."""
    kept = window.recent[:-1] if time == last_time else window.recent
    return replace(window, recent=(*kept, nano)[-_MEDIAN_OF:])


def weighed(spec: Level, window: Window, last_time: datetime, until: datetime) -> Window:
    """The last readings weighed up to `until`; `last_time` is the newest one's."""
    stands = last_time + _STANDS_AFTER * spec.sampling
    if window.advanced < stands:
        window = _weighed(spec, window, median(window), min(until, stands))
    if until > stands:
        nano = window.recent[-1]
        window = _weighed(spec, replace(window, recent=(nano,) * _MEDIAN_OF), nano, until)
    return window


def passed(window: Window, until: datetime) -> Window:
    """Time passed that nobody knows the level of."""
    return replace(window, advanced=max(window.advanced, until))


def emptied(window: Window) -> Window:
    """What was weighed says nothing any more."""
    return replace(window, recent=window.recent[-1:], slots=())


def weight(spec: Level, window: Window) -> timedelta:
    """How much of the window is known at the time it has advanced to."""
    oldest = _slot(spec, window.advanced) - SLOTS
    return sum((one[1] for one in window.slots if one[0] >= oldest), 0) * _MICROSECOND


def median(window: Window) -> int:
    """The median of the last three readings, in parts of a raw unit; of two, the higher."""
    return sorted(window.recent)[len(window.recent) // 2]


def mean(window: Window) -> int:
    """The smoothed reading, in parts of a raw unit."""
    total = sum(one[2] for one in window.slots)
    return total // sum(one[1] for one in window.slots)


def _weighed(spec: Level, window: Window, nano: int, until: datetime) -> Window:
    """`nano` stood from where the window is to `until`; only the last stretch of a window matters."""
    width = slot_width(spec)
    since = max(window.advanced, until - (SLOTS + 1) * width)
    if since >= until:
        return window
    slots = list(window.slots)
    while since < until:
        number = (since - _BEGINNING) // width
        end = min(_BEGINNING + (number + 1) * width, until)
        stood = (end - since) // _MICROSECOND
        if slots and slots[-1][0] == number:
            slots[-1] = (number, slots[-1][1] + stood, slots[-1][2] + stood * nano)
        else:
            slots.append((number, stood, stood * nano))
        since = end
    oldest = _slot(spec, until) - SLOTS
    return replace(window, slots=tuple(one for one in slots if one[0] >= oldest), advanced=until)


def slot_width(spec: Level) -> timedelta:
    """How long a slot is."""
    return max(spec.window // SLOTS, _MICROSECOND)


def _slot(spec: Level, time: datetime) -> int:
    return (time - _BEGINNING) // slot_width(spec)
