"""Context that arrives late: a change that happened before what is booked already (derivation.md, Context).

What is only pending is put right: it goes where it belongs if it ran wholly after the change, else to review. What has
been sent stays as it is: an exception names it and proposes what to reverse; that is for a person to do.

Late is what is older than `max_skew` when it arrives: queued values, or a command that dates itself back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import STRADDLED
from edge_agent.model.movement import Candidate, Carried, Cause, Key, Line, Notice
from edge_agent.model.state import Sent


class Change(NamedTuple):
    """A part of the setting (`order`, `lot`, `container`, `runs`) that has been `found` since some time."""

    part: str
    found: str | bool | None
    since: datetime

    def __str__(self) -> str:
        if self.part != "runs":
            return f"{self.part} {self.found or 'none'}"
        return "a condition that is not known" if self.found is None else "a condition that leaves it out"

    def differs(self, key: Key) -> bool:
        """Whether what was booked under `key` is booked otherwise than it should be; nothing booked was left out."""
        return self.found is not True if self.part == "runs" else getattr(key, self.part) != self.found

    def before(self, key: Key) -> str:
        """What was so before, for people."""
        return (
            "a condition that let it run" if self.part == "runs" else f"{self.part} {getattr(key, self.part) or 'none'}"
        )

    def put(self, key: Key) -> Key:
        """The key as it is after the change."""
        return key if self.part == "runs" else replace(key, **{self.part: self.found})  # type: ignore[arg-type]  # by name


def turned_late(work: Books, rule: Rule, change: Change) -> None:
    """A change of the rule's context, or of whether it runs, that is past."""
    if change.part in {"order", "lot"}:
        if rule.pipe:
            return  # the pipe takes it in when it counts on
        change = change._replace(since=change.since + rule.time_lag)
    brief = 2 * rule.signal.sampling if isinstance(rule.signal, Counter) else timedelta(0)
    until, state = change.since + brief, work.rule(rule.name)
    touched = [line for line in state.pending if line.time > until and change.differs(line.key)]
    if touched:
        work.put(rule.name, replace(state, pending=tuple(line for line in state.pending if line not in touched)))
        for line in touched:
            _put_right(work, rule, line, change)
    sent = [one for one in work.sent(rule.name) if one.until > until and change.differs(one.key)]
    if sent:
        _say(work, sent, change)


def _put_right(work: Books, rule: Rule, line: Line, change: Change) -> None:
    gates, surely = change.part == "runs", line.start_time >= change.since
    if surely and not gates:
        work.repend(rule, line, change.put(line.key))
    elif surely and change.found is False:
        work.exclude(rule, line)
    else:
        ways = (
            Candidate(line.quantity, f"before it: {change.before(line.key)}", line.key),
            Candidate(Decimal(0) if gates else line.quantity, f"after it: {change}", change.put(line.key)),
        )
        what = "condition" if gates else change.part
        message = f"{line.quantity} {line.unit} ran while the {what} changed, which was told late"
        work.review(rule, STRADDLED[change.part], ways, line, quantity_doubted=False, message=message)


def _say(work: Books, sent: list[Sent], change: Change) -> None:
    parts = ", ".join(f"{one.quantity} of {change.before(one.key)}" for one in sent)
    message = (
        f"{change} since {change.since.isoformat(timespec='milliseconds')} was told after this had been sent: {parts}."
        " Proposed: reverse what belongs elsewhere, with `edge-agent correct`"
    )
    total = sum((one.quantity for one in sent), Decimal(0))
    carried = tuple(Carried(one.epoch, one.from_position, one.quantity) for one in sent)
    span = (sent[0].since, sent[-1].until)
    work.notice(Notice("", Cause.BACKDATED, sent[0].key, total, *span, message, carried))
