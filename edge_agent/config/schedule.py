"""When pending lines are cut: `at-once`, `every 5 min`, `cron 0 6 * * *`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.quantities import duration

_CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
_CRON_PART = re.compile(r"(?:\*|([0-9]{1,2})(?:-([0-9]{1,2}))?)(?:/([1-9][0-9]?))?")
_LONGEST = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`every` None with `cron` None means at once."""

    every: timedelta | None = None
    cron: str | None = None


def schedule(text: str) -> Schedule:
    """Raises Unfit."""
    word, _, rest = text.partition(" ")
    if text == "at-once":
        return Schedule()
    if word == "every" and rest:
        every = duration(rest.strip())
        if every > _LONGEST:
            raise Unfit(Code.OUT_OF_RANGE, f"{shown(text)} is rarer than once a year")
        return Schedule(every=every)
    if word == "cron" and rest:
        _check_cron(rest)
        return Schedule(cron=" ".join(rest.split()))
    advice = "write at-once, every 5 min, or cron 0 6 * * *"
    raise Unfit(Code.BAD_SCHEDULE, f"{shown(text)} does not say when to send", advice)


def _check_cron(text: str) -> None:
    fields = text.split()
    if len(fields) != len(_CRON_FIELDS):
        message = f"{shown(text)} has {len(fields)} fields; cron has five: minute hour day month weekday"
        raise Unfit(Code.BAD_SCHEDULE, message, "write it like cron 0 6 * * 1-5")
    for field, (what, low, high) in zip(fields, _CRON_FIELDS, strict=True):
        for part in field.split(","):
            match = _CRON_PART.fullmatch(part)
            if match is None:
                raise Unfit(
                    Code.BAD_SCHEDULE, f"{shown(part)} is no {what} of a cron schedule", "use figures, - , * and /"
                )
            first, last = int(match[1] or low), int(match[2] or match[1] or high)
            if not low <= first <= last <= high:
                raise Unfit(Code.BAD_SCHEDULE, f"{shown(part)}: a {what} is {low} to {high}")
