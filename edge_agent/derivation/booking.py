"""What findings become: pending lines, reviews, gaps, events.

`Books` is the working copy of one fold: it writes to a branch of the state and to the outcome, to nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.signals import Confirmation
from edge_agent.config.tagmap import Cadence, Rule, TagMap
from edge_agent.derivation.timetable import Day, day_of
from edge_agent.model.event import OPS_STREAM, EventDraft
from edge_agent.model.movement import (
    Candidate,
    Cause,
    Decision,
    EventType,
    Evidence,
    Flag,
    Gap,
    Key,
    Line,
    LineState,
    Review,
    Verdict,
)
from edge_agent.model.outcome import LineMark, Outcome
from edge_agent.model.state import RuleState, State

_NANO = 10**9


def exact(raw: int | Decimal, factor: Fraction) -> Decimal:
    """`raw * factor` as a decimal of at most nine places, exactly; the loader has refused factors that need more.

    Raises ArithmeticError where a fraction of a raw unit needs more, or `raw` is not finite.
    """
    if factor == 1 and isinstance(raw, int):
        return Decimal(raw)
    scaled = Fraction(raw) * factor * _NANO
    if scaled.denominator != 1:
        msg = f"{raw} x {factor} needs more than nine decimals"
        raise ArithmeticError(msg)
    whole, rest = divmod(scaled.numerator, _NANO)
    return Decimal(whole) if rest == 0 else Decimal(scaled.numerator).scaleb(-9).normalize()


class Books:
    """One fold's working copy: the branch of the state it writes to, and the outcome it fills."""

    def __init__(self, tag_map: TagMap, state: State) -> None:
        self.map = tag_map
        self.state = state.branch()
        self._base_held = state.held
        self.outcome = Outcome()
        self._day: Day | None = None

    def day(self, moment: datetime) -> Day:
        """The posting day that `moment` lies in; nearly always that of the moment before."""
        if self._day is None or not self._day.starts <= moment < self._day.ends:
            self._day = day_of(self.map.calendar, moment)
        return self._day

    def rule(self, name: str) -> RuleState:
        """What a rule remembers; empty before its first input."""
        return self.state.rules.get(name, RuleState())

    def held(self) -> list[str]:
        """Rules that may wait for time, by name: those that did, and those that this fold has made wait."""
        return sorted(self._base_held | self.state.own().held)

    def put(self, name: str, rule: RuleState) -> None:
        """Remember a rule's new state."""
        self.state.rules[name] = rule

    def count(self, rule: str, what: str, by: int = 1) -> None:
        """Count something visible: readings booked, refused, excluded (never a silent drop)."""
        key = (rule, what)
        self.outcome.counts[key] = self.outcome.counts.get(key, 0) + by

    def key(self, rule: Rule, order: str | None, until: datetime, container: str | None = None) -> Key:
        """The key of a line of `rule` that ends at `until`."""
        day = self.day(until).date
        return Key(rule.name, rule.event, rule.material.number, order, rule.from_, rule.to, day, container)

    def line(self, rule: Rule, key: Key, raw: int | Decimal, proof: Evidence) -> Line:
        """A line of `raw` units of the rule's tag (of its source unit, without one), over the interval of its proof."""
        signal = rule.signal
        scale = Decimal(1) if isinstance(signal, Confirmation) else signal.grain * self.map.tags[signal.measured].scale
        return Line(
            key,
            exact(raw, rule.factor),
            rule.material.unit.name,
            raw * scale,
            rule.source_unit.name,
            proof.first_time,
            proof.last_time,
            proof,
        )

    def book(self, rule: Rule, line: Line) -> None:
        """Add a line to the rule's pending ones: it grows the open line, or closes that and opens its own."""
        if self.day(line.start_time).date != line.key.posting_day:
            line = _flagged(line, Flag.SPANS_POSTING_DAY)
        state = self.rule(rule.name)
        merged = _merge(state.pending[-1], line) if state.pending else None
        pending = (*state.pending[:-1], merged) if merged is not None else (*state.pending, line)
        self.put(rule.name, replace(state, pending=pending))
        self._mark(pending[-1], LineState.PENDING)
        self.count(rule.name, "booked")

    def exclude(self, rule: Rule, line: Line, why: str) -> None:
        """Leave a line out: it stays in the identity and is counted as `why`, never booked."""
        self._mark(line, LineState.EXCLUDED)
        self.count(rule.name, why)

    def keep_pending(self, line: Line) -> None:
        """The ledger's place of a line that stays pending after another part of it was cut."""
        self._mark(line, LineState.PENDING)

    def emit(self, cadence: Cadence, lines: tuple[Line, ...], decision: Decision | None = None) -> None:
        """One event of `lines`, which share type, order and posting day; their places in the ledger move with it."""
        end = max(line.time for line in lines)
        draft = EventDraft(
            lines[0].key.event,
            cadence.stream,
            end,
            lines,
            about=decision,
            accepted_by=cadence.accepted_by,
            accepted_within=cadence.accepted_within,
        )
        self.outcome.events.append(draft)
        state = LineState.CUT if decision is None else LineState.BOOKED_BY_REVIEW
        for line in lines:
            self._mark(line, state, draft=len(self.outcome.events) - 1, review=decision.review.id if decision else None)

    def _mark(self, line: Line, state: LineState, *, draft: int | None = None, review: str | None = None) -> None:
        name = (line.key.rule, line.evidence.epoch, line.evidence.from_position)
        self.outcome.lines[name] = LineMark(line, state, draft, review)

    def review(
        self,
        rule: Rule,
        cause: Cause,
        candidates: tuple[Candidate, ...],
        line: Line,
        *,
        quantity_doubted: bool,
        message: str,
    ) -> None:
        """Open a review and announce it; its positions stay in the identity unless the quantity is doubted."""
        state = self.rule(rule.name)
        self.put(rule.name, replace(state, serial=state.serial + 1))
        name = f"{rule.name}/{line.evidence.epoch}/{state.serial + 1}"
        review = Review(name, cause, line.key, candidates, line, quantity_doubted, line.time, message)
        self.outcome.reviews.append(review)
        self.outcome.events.append(EventDraft(EventType.IN_REVIEW, OPS_STREAM, line.time, about=review))
        if not quantity_doubted:
            self._mark(line, LineState.IN_REVIEW, review=name)
        self.count(rule.name, "review")

    def doubt_restored(self, rule: Rule) -> None:
        """Pending lines of a restored state may have been sent by the lost store: a person decides (invariant 13)."""
        state = self.rule(rule.name)
        if state.signal is None or not state.signal.restored or not state.pending:
            return
        self.put(rule.name, replace(state, pending=()))
        for line in state.pending:
            ways = (
                Candidate(line.quantity, "was not sent before the restore", line.key),
                Candidate(Decimal(0), "was sent before the restore", line.key),
            )
            message = f"the store was restored: {line.quantity} {line.unit} waited in it and may have been sent since"
            self.review(rule, Cause.RESTORED, ways, line, quantity_doubted=False, message=message)

    def gap(
        self,
        rule: Rule,
        cause: Cause,
        key: Key,
        *,
        bounds: tuple[Decimal, Decimal | None],
        span: tuple[datetime, datetime],
        message: str,
        seen: Decimal = Decimal(0),
    ) -> None:
        """State what could not be seen, with bounds in the material's unit; it never enters a sum."""
        state = self.rule(rule.name)
        self.put(rule.name, replace(state, serial=state.serial + 1))
        gap = Gap(f"{rule.name}/gap/{state.serial + 1}", cause, key, *bounds, *span, message, seen)
        self.outcome.gaps.append(gap)
        self.outcome.events.append(EventDraft(EventType.EXCEPTION, OPS_STREAM, span[1], about=gap))
        self.count(rule.name, "gap")

    def decide(self, decision: Decision, rules: Mapping[str, Rule]) -> None:
        """A person's word on a review: one candidate becomes an event at once, or nothing does."""
        review = decision.review
        self.outcome.decisions.append(decision)
        cadence = rules[review.key.rule].cadence
        chosen = review.candidates[decision.candidate - 1] if decision.candidate is not None else None
        quantity = Decimal(0) if chosen is None else chosen.quantity if decision.quantity is None else decision.quantity
        self.outcome.events.append(EventDraft(EventType.DECIDED, OPS_STREAM, decision.at, about=decision))
        if decision.verdict is Verdict.ACCEPTED and chosen is not None and quantity > 0:
            line = replace(review.line, key=chosen.key, quantity=quantity, source_quantity=quantity)
            self.emit(cadence, (replace(line, source_unit=line.unit),), decision)
        elif not review.quantity_doubted:
            self._mark(review.line, LineState.REJECTED, review=review.id)
        self.count(review.key.rule, f"review_{decision.verdict}")


def _flagged(line: Line, flag: Flag) -> Line:
    return replace(line, evidence=replace(line.evidence, flags=_union(line.evidence.flags, (flag,))))


def _union(ours: tuple[Flag, ...], theirs: tuple[Flag, ...]) -> tuple[Flag, ...]:
    return ours if ours == theirs or not theirs else tuple(dict.fromkeys((*ours, *theirs)))


def _merge(last: Line, line: Line) -> Line | None:
    """Both as one line, if they continue each other under one key; else None. What is confirmed late may be earlier."""
    ours, theirs = last.evidence, line.evidence
    follows = ours.epoch == theirs.epoch and ours.to_position == theirs.from_position
    measured_alike = (last.unit, last.source_unit) == (line.unit, line.source_unit)
    if not follows or last.key != line.key or last.key.container is not None or not measured_alike:
        return None
    proof = Evidence(
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
    )
    return Line(
        last.key,
        last.quantity + line.quantity,
        last.unit,
        last.source_quantity + line.source_quantity,
        last.source_unit,
        min(last.start_time, line.start_time),
        max(last.time, line.time),
        proof,
    )
