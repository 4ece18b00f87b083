"""Lines that continue each other: both as one, with the proof of both. Pure."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Confirmation, Handshake
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.amounts import total
from edge_agent.model.movement import Evidence, Flag, Line


def flagged(line: Line, flag: Flag) -> Line:
    """The line with one more flag."""
    return replace(line, evidence=replace(line.evidence, flags=_union(line.evidence.flags, (flag,))))


def _union(ours: tuple[Flag, ...], theirs: tuple[Flag, ...]) -> tuple[Flag, ...]:
    return ours if ours == theirs or not theirs else tuple(dict.fromkeys((*ours, *theirs)))


def merge(rule: Rule, last: Line, line: Line) -> Line | None:
    """Both as one line, if they continue each other under one key; else None.

    A confirmation of a container is a movement of its own. What is confirmed late may be earlier.
    """
    ours, theirs = last.evidence, line.evidence
    follows = ours.epoch == theirs.epoch and ours.to_position == theirs.from_position
    measured_alike = (last.unit, last.source_unit, ours.conversion) == (line.unit, line.source_unit, theirs.conversion)
    apart = isinstance(rule.signal, Handshake | Confirmation) and last.key.container is not None
    if not follows or last.key != line.key or apart or not measured_alike:
        return None
    return Line(
        last.key,
        total(last.quantity, line.quantity),
        last.unit,
        last.source_quantity + line.source_quantity,
        last.source_unit,
        min(last.start_time, line.start_time),
        max(last.time, line.time),
        continued(ours, theirs),
    )


def continued(ours: Evidence, theirs: Evidence) -> Evidence:
    """The proof of both, the second of which goes on where the first ends."""
    return Evidence(
        epoch=ours.epoch,
        from_position=ours.from_position,
        to_position=theirs.to_position,
        first_time=min(ours.first_time, theirs.first_time),
        last_time=max(ours.last_time, theirs.last_time),
        samples=ours.samples + theirs.samples,
        raw_before=ours.raw_before,
        raw_after=theirs.raw_after,
        status_codes=tuple(dict.fromkeys((*ours.status_codes, *theirs.status_codes))),
        flags=_union(ours.flags, theirs.flags),
        conversion=ours.conversion,
    )
