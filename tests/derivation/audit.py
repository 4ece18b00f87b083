"""The engine beside the physical line: scripts, and what must hold whatever they do."""

from __future__ import annotations

import struct
from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from edge_agent.config.devices import TagType
from edge_agent.config.signals import Direction, Resets
from edge_agent.derivation.engine import Engine
from edge_agent.model.movement import Cause, Flag, LineState, Review
from edge_agent.model.signal_state import CounterState
from edge_agent.model.state import State
from edge_agent.sources.bcd import from_bcd, to_bcd
from edge_agent.sources.decimals import shortest
from tests.derivation.physical import Delivery, PhysicalLine, Register
from tests.derivation.plant import FINAL, ORDER, Journal, counter, tag_map
from tests.derivation.stepwise import Stepwise

Script = tuple[str, int, int, list[tuple[str, dict[str, Any]]], list[int]]
"""Register, first value, steps between deliveries, operations, deliveries in a batch."""


def single(counts: int) -> Decimal:
    """Hundredths as a device that holds a 32-bit float shows them."""
    (held,) = struct.unpack("<f", struct.pack("<f", counts / 100))
    return shortest(held, single=True)


def digits(counts: int) -> int:
    """A count as the four decimal digits of a word, and read from it."""
    read = from_bcd(to_bcd(counts, TagType.BCD16))
    assert read is not None
    return read


BY_ORDER: dict[str, Any] = {"resets": frozenset({Resets.ORDER, Resets.RESTART}), "settle": timedelta(seconds=2)}
REGISTERS: dict[str, tuple[Register, dict[str, Any]]] = {
    "u16": (Register(0, 65536, 0), {}),
    "u32": (Register(0, 1 << 32, 0), {}),
    "s16": (Register(0, 32768, -32768), {}),
    "700": (Register(0, 700, 0), {}),
    "1500": (Register(0, 1500, 0), {}),
    "plain": (Register(0, None, 0), {}),
    "down": (
        Register(0, 65536, 0, shows=lambda value: 65535 - value),
        {"direction": Direction.DOWN, "wraps_at": 1, "wraps_to": -65535, "resets_to": -65535},
    ),
    "bcd": (Register(0, 10_000, 0, shows=digits), {}),
    "float": (Register(0, 10_000_000, 0, shows=single), {"grain": Decimal("0.01"), "rounded": True}),
    "stopping": (Register(0, None, 0, stops_at=3000), {"saturates_at": 3000}),
    "order": (Register(0, None, 0, by_order=True), BY_ORDER),
    "final": (Register(0, None, 0, by_order=True, keeps_total=True), BY_ORDER | {"final_tag": FINAL}),
    "final u16": (Register(0, 65536, 0, by_order=True, keeps_total=True), BY_ORDER | {"final_tag": FINAL}),
}
"""Each register with what its rule says of it."""
PLAIN = ("u16", "u32", "s16", "700", "1500", "plain")
OTHERS = ("down", "bcd", "float", "stopping", "order", "final", "final u16")
PATTERNS = st.sampled_from([(0,), (1,), (2, 3), (0, 1), (0, 0, 0, 0, 5), (1, 2, 0)])
SHARE = st.sampled_from([0.0, 0.01, 0.3, 0.9, 1.0])
SHORT, LONG = st.integers(1, 15), st.integers(1, 600)


def _op(name: str, **drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(drawn))


RESTART = {"before": st.integers(0, 60), "after": st.integers(0, 60), "pattern": PATTERNS, "told": st.booleans()}
OPS = st.one_of(
    _op("run", steps=st.integers(1, 60), pattern=PATTERNS),
    _op("run", steps=st.integers(100, 300), pattern=PATTERNS),
    _op("run", steps=st.integers(1, 400)),
    _op("change_order"),
    _op("glitch", share=SHARE, steps=SHORT, pattern=PATTERNS, up=st.booleans()),
    _op("bad_quality", steps=st.integers(1, 200), pattern=PATTERNS),
    _op("outage", steps=SHORT, pattern=PATTERNS),
    _op("outage", steps=LONG, pattern=PATTERNS, agent_down=st.booleans(), reboot=st.booleans()),
    _op("server_restart", does=st.sampled_from(["retain", "reset", "restore"]), **RESTART),
    _op("reset_without_sign", pattern=PATTERNS),
    _op("restore", share=SHARE, pattern=PATTERNS, up=st.booleans()),
    _op("cut"),
)


NEXT_ORDER = _op("next_order", lag=st.integers(0, 15), pattern=PATTERNS, told_first=st.booleans())


@st.composite
def scripts(draw: st.DrawFn, kinds: Sequence[str] = PLAIN, most: int = 60) -> Script:
    kind = draw(st.sampled_from(kinds))
    register = REGISTERS[kind][0]
    top = 3000 if register.wraps_at is None else register.wraps_at - 1
    least = register.wraps_to
    start = draw(st.one_of(st.integers(top - 300, top), st.integers(top - 300, top), st.integers(least, top)))
    each = st.one_of(OPS, NEXT_ORDER) if register.by_order else OPS
    ops = draw(st.lists(each, min_size=draw(st.sampled_from([1, most * 5 // 6])), max_size=most))
    return kind, start, draw(st.integers(1, 2)), ops, draw(st.lists(st.integers(1, 9), min_size=1))


class Audit:
    """The engine beside the line: feeds it what the line delivers, and compares."""

    def __init__(self, line: PhysicalLine, batches: list[int], figures: dict[str, Any]) -> None:
        wraps = {"wraps_at": line.register.wraps_at, "wraps_to": line.register.wraps_to}
        rule = counter("count", order=ORDER, **wraps | figures)
        self.engine = Engine(tag_map(rule))
        self.stepwise = Stepwise(tag_map(rule))
        self.line = line
        self.state = State()
        self.journal = Journal()
        self.folded: list[Delivery] = []
        self._batches = batches
        self._audited = 0

    def fold(self) -> None:
        """Fold what was delivered, in batches; now and then as after a failed commit, twice."""
        waiting, self.line.deliveries = self.line.deliveries, []
        self.folded += waiting
        while waiting:
            size = self._batches[0]
            self._batches = [*self._batches[1:], size]
            batch, waiting = [one for delivery in waiting[:size] for one in delivery], waiting[size:]
            outcome = self.engine.fold(self.state, batch)
            assert self.stepwise.fold(self.state, batch) == outcome
            if size % 3 == 0:
                assert self.engine.fold(self.state, batch) == outcome
            self.journal.take(outcome)
            self.state.adopt(outcome.changed)

    def check(self) -> None:
        """What holds at any time."""
        self.journal.check()
        pending = [mark.line for mark in self.journal.lines.values() if mark.state is LineState.PENDING]
        assert pending == [line for rule in self.state.rules.values() for line in rule.pending]
        made = self.line.total
        for order in {mark.line.key.order for mark in self.journal.lines.values()}:
            assert self.journal.booked(order, any_order=False) <= made[order or ""], f"more than made of {order}"
        for review in list(self.journal.reviews.values())[self._audited :]:
            self._check_review(review)
        self._audited = len(self.journal.reviews)

    def check_end(self) -> None:
        """What holds once everything has settled."""
        self.check()
        signal = self.state.rules["count"].signal
        assert isinstance(signal, CounterState)
        assert signal.hold is None
        found = {order: int(self.journal.booked(order, any_order=False)) for order in self.line.total}
        reviewed: set[int] = set()
        for review in self.journal.reviews.values():
            since, until = self._steps(review)
            reviewed |= set(range(since + 1, until + 1))
            resets = [reset for reset in self.line.resets if since <= reset <= until]
            is_of_before = review.cause is Cause.FINAL_TOTAL or Flag.FINAL_TOTAL in review.line.evidence.flags
            if resets and is_of_before:
                until = resets[-1]
            elif not review.quantity_doubted:
                was_reset = Flag.RESET in review.line.evidence.flags  # and not after its last reading, in the same step
                since = max([since, *(reset for reset in self.line.resets if reset < until + was_reset)])
            for order, units in self.line.truth(since, until).items():
                found[order] += units
        doubted = {
            (one.line.start_time, one.line.time) for one in self.journal.reviews.values() if one.quantity_doubted
        }
        for gap in self.journal.gaps:
            since, until = self.line.at(gap.since), self.line.at(gap.until)
            unseen = self._unseen(since, until, int(gap.seen))
            if gap.cause is Cause.SATURATED:
                unseen = self.line.lost_in(step for step in range(since + 1, until + 1) if step not in reviewed)
            assert gap.minimum <= unseen.total() <= (gap.maximum if gap.maximum is not None else unseen.total())
            if (gap.since, gap.until) in doubted:  # what the gap says of a reset is a part of what the review is about
                continue
            for order, units in unseen.items():
                found[order] += units
        if signal.stop is not None:  # and is there still: that gap is open
            for order, units in self.line.lost_in(
                range(self.line.at(signal.stop.time) + 1, self.line.step + 1)
            ).items():
                found[order] += units
        assert found == self.line.total
        self._check_batches()

    def _unseen(self, since: int, until: int, seen: int) -> Tally[str]:
        """What ran in a gap before the last reset in it, by order, less what of that was counted all the same."""
        last_reset = max((reset for reset in self.line.resets if since <= reset <= until), default=since)
        seen -= self.line.truth(last_reset, until).total()
        unseen: Tally[str] = Tally()
        for order, units in reversed(self.line.made[since:last_reset]):
            counted = min(units, max(seen, 0))
            seen -= counted
            unseen[order] += units - counted
        return unseen

    def _check_batches(self) -> None:
        """Other batches, same books."""
        state, journal = State(), Journal()
        for size, start in ((len(self.folded) // 2, 0), (len(self.folded), len(self.folded) // 2)):
            outcome = self.engine.fold(state, [one for delivery in self.folded[start:size] for one in delivery])
            journal.take(outcome)
            state.adopt(outcome.changed)
        assert (journal.events, journal.gaps, journal.reviews) == (
            self.journal.events,
            self.journal.gaps,
            self.journal.reviews,
        )
        assert (journal.epochs, state) == (self.journal.epochs, self.state)

    def _check_review(self, review: Review) -> None:
        since, until = self._steps(review)
        doubtful = any(began <= until and since <= ended for began, ended in self.line.doubtful)
        assert doubtful, f"nothing doubtful happened in steps {since} to {until}: {review.message}"
        truth = self.line.truth(since, until)
        resets = [reset for reset in self.line.resets if since <= reset <= until]
        upsets = [upset for upset in self.line.upsets if since <= upset <= until]
        unseen = self.line.truth(since, resets[-1]).total() if resets else 0
        if unseen or (upsets and (resets or truth.total())):
            return  # no single cause explains it
        order = next((order for order, units in truth.items() if units), review.key.order)
        offered = {(one.quantity, one.key.order) for one in review.candidates}
        counted = truth.total() - self.line.lost_in(range(since + 1, until + 1)).total()
        assert (Decimal(counted), order) in offered, f"{truth} ran, offered are {sorted(offered)}: {review.message}"

    def _steps(self, review: Review) -> tuple[int, int]:
        return self.line.at(review.line.start_time), self.line.at(review.line.time)


def play(script: Script) -> Audit:
    """Run a script to its end, checking after every operation."""
    kind, start, publish, ops, batches = script
    register, figures = REGISTERS[kind]
    line = PhysicalLine(replace(register, value=start), publish)
    audit = Audit(line, batches, figures)
    for name, drawn in ops:
        getattr(line, name)(**drawn)
        audit.fold()
        audit.check()
    line.come_to_rest()
    audit.fold()
    audit.check_end()
    return audit
