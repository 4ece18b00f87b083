"""What findings become: pending lines, reviews, gaps, events.

`Books` is the working copy of one fold: it writes to a branch of the state and to the outcome, to nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from edge_agent.config.signals import Confirmation, Handshake
from edge_agent.config.tagmap import Cadence, LotWay, Rule, TagMap
from edge_agent.derivation import lot_status, lots
from edge_agent.derivation.amounts import exact, to_nine_decimals
from edge_agent.derivation.context import Setting
from edge_agent.derivation.merging import flagged, merge
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
    Notice,
    Review,
    Verdict,
)
from edge_agent.model.outcome import LineMark, Outcome
from edge_agent.model.reading import Reading
from edge_agent.model.state import EPOCH_LEAP, RESTORES, RuleState, Sent, SentLines, State

_SENT = 16
"""Lines sent that are remembered of each rule."""


class Running(Protocol):
    """What one rule has added up since it was last in the books (see `steady`)."""

    def take(self, work: Books, reading: Reading, time: datetime) -> bool:
        """Add a reading up; False where it may say more than that the meter ran on."""
        ...

    def close(self, work: Books) -> None:
        """Put it there."""
        ...


class Books:
    """One fold's working copy: the branch of the state it writes to, and the outcome it fills."""

    def __init__(self, tag_map: TagMap, state: State) -> None:
        self.map = tag_map
        self.state = state.branch()
        self._base_held = state.held
        self.outcome = Outcome()
        self._day: Day | None = None
        self.runs: dict[str, Running] = {}
        self.context = 0
        """Grows with each change of what quantities belong to."""

    def day(self, moment: datetime) -> Day:
        """The posting day that `moment` lies in; nearly always that of the moment before."""
        if self._day is None or not self._day.starts <= moment < self._day.ends:
            self._day = day_of(self.map.calendar, moment)
        return self._day

    def rule(self, name: str) -> RuleState:
        """What a rule remembers; empty before its first input."""
        run = self.runs.pop(name, None)
        if run is not None:
            run.close(self)
        return self.state.rules.get(name, RuleState())

    def close(self) -> None:
        """Put what is still being added up into the books."""
        for run in self.runs.values():
            run.close(self)
        self.runs.clear()

    def next_epoch(self, name: str) -> int:
        """The epoch that a rule begins with: the first, or one beyond those that it, or a lost store, may have used."""
        known = self.rule(name).signal or self.rule(RESTORES).signal
        return 1 if known is None else known.epoch + (EPOCH_LEAP if known.restored else 1)

    def held(self) -> list[str]:
        """Rules that may wait for time, by name: those that did, and those that this fold has made wait."""
        return sorted(self._base_held | self.state.waiting())

    def put(self, name: str, rule: RuleState) -> None:
        """Remember a rule's new state."""
        self.state.rules[name] = rule

    def count(self, rule: str, what: str, by: int = 1) -> None:
        """Count something visible: readings booked, refused, excluded (never a silent drop)."""
        key = (rule, what)
        self.outcome.counts[key] = self.outcome.counts.get(key, 0) + by

    def key(self, rule: Rule, whose: Setting, until: datetime) -> Key:
        """The key of a line of `rule` that ends at `until`."""
        places = (rule.from_, rule.to, self.day(until).date)
        said = (whose.container, whose.lot, whose.operator, whose.into_lot)
        return Key(rule.name, rule.event, rule.material.number, whose.order, *places, *said)

    def line(self, rule: Rule, key: Key, raw: int | Decimal, proof: Evidence) -> Line:
        """A line of `raw` positions of the rule's signal (of the source unit, where it is told), over its interval."""
        signal = rule.signal
        scale = Decimal(1) if isinstance(signal, Confirmation) else signal.grain * self.map.tags[signal.measured].scale
        return Line(
            key,
            exact(raw, rule.factor),
            rule.material.unit.name,
            to_nine_decimals(raw * scale),
            rule.source_unit.name,
            proof.first_time,
            proof.last_time,
            replace(proof, conversion=rule.conversion),
        )

    def book(self, rule: Rule, line: Line) -> str | None:
        """Add a line to the rule's pending ones, with its lots where what lies at its location tells them.

        Why a person decides on a confirmation first, as its lot may not be used; what is measured waits for its cut.
        """
        held = None
        for one in lots.assigned(self.state, rule, line):
            # a confirmation is of one lot, as `lots.parted` parts no single movement
            held = self._held(rule, one) if isinstance(rule.signal, Handshake | Confirmation) else None
            if held is None:
                self._pend(rule, one)
            if not _is_open_blend(rule, one):
                self._moved(one.key, one.quantity, exact=rule.lot_from is LotWay.FIFO)
        if held is None:
            self.count(rule.name, "booked")
        return held

    def _pend(self, rule: Rule, line: Line) -> None:
        """The line grows the open one, or closes that and opens its own."""
        if self.day(line.start_time).date != line.key.posting_day:
            line = flagged(line, Flag.SPANS_POSTING_DAY)
        state = self.rule(rule.name)
        last = state.pending[-1] if state.pending else None
        merged = merge(rule, last, line) if last is not None and self._alike(rule, last, line) else None
        pending = (*state.pending[:-1], merged) if merged is not None else (*state.pending, line)
        self.put(rule.name, replace(state, pending=pending, excluded=None))
        self._mark(pending[-1], LineState.PENDING)
        if not _is_open_blend(rule, line):
            self._heed_lot(rule, line, None if merged is None else last)

    def _alike(self, rule: Rule, last: Line, line: Line) -> bool:
        """Whether the one may grow by the other: the lots of both are told, and both or neither is to be held."""
        held = [lot_status.held(self.map, self.state, one) is not None for one in (last, line)]
        return _is_open_blend(rule, last) == _is_open_blend(rule, line) and held[0] == held[1]

    def ready(self, rule: Rule, line: Line) -> tuple[Line, ...]:
        """What of a line that is to be cut may be sent: a lot that may not be used is held if the tag map says so."""
        policy = lot_status.asks(self.map, line.key)
        if policy is None or not policy.hold:
            return (line,)
        return tuple(one for one in self.blend(rule, line) if self._held(rule, one) is None)

    def _held(self, rule: Rule, line: Line) -> str | None:
        """Have a person decide on it if it is to be held; why, else None. It was taken from where it lay anyway."""
        found = lot_status.held(self.map, self.state, line)
        if found is not None:
            why, ways = lot_status.held_back(rule.material.name, line, found)
            self.review(rule, found.cause, ways, line, quantity_doubted=False, message=why)
            return why
        return None

    def blend(self, rule: Rule, line: Line) -> tuple[Line, ...]:
        """A line that nothing more is added to, by the lots that were in the tank."""
        if not _is_open_blend(rule, line):
            return (line,)
        parts = tuple(
            one if one.key.lot is not None else flagged(one, Flag.LOT_UNKNOWN)
            for one in lots.blended(self.state, rule, line)
        )
        for one in parts:
            self._moved(one.key, one.quantity, exact=True)
            if lot_status.held(self.map, self.state, one) is None:
                self._heed_lot(rule, one)
        return parts

    def _moved(self, key: Key, quantity: Decimal, *, exact: bool = False) -> None:
        """Follow what lies where. What pours into a tank closes the open lines of what was drawn from it before.

        `exact`: it was taken from the key's lot and no other, even where that is not known.
        """
        if not self.map.lot_places and not self.map.lots_by_container:
            return
        if key.to is not None and self.map.lot_places.get((key.to, key.material)) is LotWay.BLEND:
            for rule in self.map.rules.values():
                if (rule.from_, rule.material.number) == (key.to, key.material):
                    self._close_blend(rule)
        lots.moved(self.map, self.state, key, quantity, exact=exact)

    def _close_blend(self, rule: Rule) -> None:
        state = self.rule(rule.name)
        parts = tuple(part for line in state.pending for part in self.blend(rule, line))
        if len(parts) != len(state.pending) or any(_is_open_blend(rule, line) for line in state.pending):
            self.put(rule.name, replace(self.rule(rule.name), pending=parts))
            for part in parts:
                self._mark(part, LineState.PENDING)

    def entered(self, line: Line) -> None:
        """What a person has entered moves the lots too, and is of one that may be used, or is said."""
        self._moved(line.key, line.quantity)
        lot_status.note(self.map, self.state, line)
        self.heed_status(line)

    def _heed_lot(self, rule: Rule, line: Line, grown: Line | None = None) -> None:
        """A lot that is not known is booked, for it happened, and said at once (derivation.md, Context).

        `grown` is the open line that the line is added to: it has said so already.
        """
        if grown is None and rule.lot_from is not None and line.key.lot is None:
            message = f"{rule.material.name}: {line.quantity} {line.unit} and what follows have no known lot"
            span = (line.start_time, line.time)
            self.notice(Notice("", Cause.LOT_UNKNOWN, line.key, line.quantity, *span, message))
        elif line.key.lot is not None and not (rule.cadence.at_once and lot_status.held(self.map, self.state, line)):
            self.heed_status(line, grown)

    def heed_status(self, line: Line, grown: Line | None = None) -> None:
        """So is one that may not be used: as soon as that is so, and again if it is so for another cause."""
        found = lot_status.unfit(self.map, self.state, line)
        before = None if grown is None else lot_status.unfit(self.map, self.state, grown)
        if found is None or (before is not None and before.cause is found.cause):
            return
        message = lot_status.said(self.map.materials[line.key.material].name, line, found)
        self.notice(Notice("", found.cause, line.key, line.quantity, line.start_time, line.time, message))

    def notice(self, said: Notice) -> None:
        """Say what a person should know of a quantity that is booked; it gets its id here."""
        name, state = said.key.rule, self.rule(said.key.rule)
        self.put(name, replace(state, serial=state.serial + 1))
        notice = replace(said, id=f"{name}/notice/{state.serial + 1}")
        self.outcome.events.append(EventDraft(EventType.EXCEPTION, OPS_STREAM, said.until, about=notice))
        self.count(name, "notice")

    def repend(self, rule: Rule, line: Line, key: Key) -> None:
        """A pending line goes on under another key, as nothing of it was sent."""
        state, moved = self.rule(rule.name), replace(line, key=key)
        pending = sorted((*state.pending, moved), key=lambda one: (one.evidence.epoch, one.evidence.from_position))
        self.put(rule.name, replace(state, pending=tuple(pending)))
        self._mark(moved, LineState.PENDING)
        if key.lot != line.key.lot:
            self._heed_lot(rule, moved)

    def sent(self, rule: str) -> tuple[Sent, ...]:
        """The latest lines of a rule that events have carried."""
        return self.state.sent.get(rule, SentLines(())).lines

    def _remember_sent(self, lines: tuple[Line, ...]) -> None:
        """Of rules with a context: a change of it may be told late."""
        for line in lines:
            rule = self.map.rules.get(line.key.rule)
            if rule is None or not (rule.order or rule.lot_tag or rule.container or rule.only_while or rule.pause):
                continue
            one = Sent.of(line, line.quantity)
            self.state.sent[rule.name] = SentLines((*self.sent(rule.name), one)[-_SENT:])

    def exclude(self, rule: Rule, line: Line, why: str = "excluded") -> None:
        """Account for what is left out, counted as `why`: a line of the ledger that no event ever carries."""
        state = self.rule(rule.name)
        merged = merge(rule, state.excluded, line) if state.excluded is not None else None
        kept = merged if merged is not None else line
        self.put(rule.name, replace(state, excluded=kept))
        self._mark(kept, LineState.EXCLUDED)
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
        if decision is None:
            self._remember_sent(lines)
        for line in lines:
            lot_status.note(self.map, self.state, line)
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

    def _of_one_lot(self, rule: Rule, line: Line) -> Line:
        """What a person has decided is one line: its lot is known where a single one can have been taken."""
        if line.key.lot is None and isinstance(rule.lot_from, LotWay):
            found = lots.assigned(self.state, rule, line)
            if rule.lot_from is LotWay.BLEND:
                found = lots.blended(self.state, rule, line)
            one = found[0].evidence.flags == line.evidence.flags and len(found) == 1
            line = replace(line, key=replace(line.key, lot=found[0].key.lot if one else None))
            if line.key.lot is None:
                self._heed_lot(rule, line)
        if line.key.lot is not None:
            self.heed_status(line)
        return line

    def decide(self, decision: Decision, rules: Mapping[str, Rule]) -> None:
        """A person's word on a review: one candidate becomes an event at once, or nothing does."""
        review = decision.review
        self.outcome.decisions.append(decision)
        cadence = rules[review.key.rule].cadence
        chosen, quantity = decision.chosen, decision.booked or Decimal(0)
        self.outcome.events.append(EventDraft(EventType.DECIDED, OPS_STREAM, decision.at, about=decision))
        if decision.verdict is Verdict.ACCEPTED and chosen is not None and quantity > 0:
            line = replace(review.line, key=chosen.key, quantity=quantity, source_quantity=quantity)
            line = replace(line, source_unit=line.unit)
            if review.cause not in lot_status.CAUSES:  # else it was taken from where it lay when it was held
                line = self._of_one_lot(rules[review.key.rule], line)
                self._moved(line.key, quantity)
            self.emit(cadence, (line,), decision)
        elif not review.quantity_doubted:
            self._mark(review.line, LineState.REJECTED, review=review.id)
        self.count(review.key.rule, f"review_{decision.verdict}")


def _is_open_blend(rule: Rule, line: Line) -> bool:
    """Whether the line's lots are those of a tank, and not yet told."""
    return rule.lot_from is LotWay.BLEND and line.key.lot is None and Flag.LOT_UNKNOWN not in line.evidence.flags
