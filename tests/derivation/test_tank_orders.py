"""A tank, and a drum on a scale with a stable flag, out of sight while the order changes: whose what ran then was.

The tank knows to the litre what each order used. For certain no order is given more than it used, to one deadband: what
ran unseen across a change is a person's to give, all of it, unless `split` says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.tagmap import Split
from edge_agent.derivation import level_findings, levelling
from edge_agent.model.movement import LineState
from edge_agent.model.reading import Link, Quality, Reading, SourceChange, TagRef
from tests.derivation.plant import BOOTED, ORDER, Bench
from tests.derivation.tank import Tank
from tests.derivation.test_tank_oracle import DEADBAND, LAG, TREMBLING, Step
from tests.derivation.vessels import LEVEL, STABLE, level

NEAR = DEADBAND + TREMBLING + LAG
BOOKED = (LineState.PENDING, LineState.CUT, LineState.BOOKED_BY_REVIEW)


@dataclass
class Shared(Tank):
    """Orders use it one after the other. The server stamps a value when it was written."""

    used_by: dict[str, float] = field(default_factory=dict)
    number: int = 1
    written: dict[TagRef, datetime] = field(default_factory=dict)
    unreadable: bool = False

    @property
    def order(self) -> str:
        return f"order-{self.number}"

    def run(self, seconds: int, rate: float = 0.0, fill: float = 0.0) -> None:
        self.used_by[self.order] = self.used_by.get(self.order, 0.0) + rate * seconds
        super().run(seconds, rate, fill)

    def changes_order(self) -> None:
        """Another order, in full view and at rest."""
        self.run(20)
        self._next()
        self.run(20)

    def unseen(self, seconds: int, rate: float, then: int, *, handled: bool) -> None:
        """The session is lost; the order changes, and the drum may be touched: then it becomes stable anew."""
        self._fold(SourceChange("plc", Link.LOST, self._now()))
        self.up = False
        self._spent(seconds, rate, then, handled=handled)
        self.up = True
        self._fold(SourceChange("plc", Link.UP, self._now(), BOOTED))
        self._show()

    def bad_value(self, seconds: int, rate: float, then: int, *, handled: bool) -> None:
        """The level alone has no good value, which is told once, and the order changes meanwhile."""
        self._fold(Reading(LEVEL, None, Quality.BAD, self._now()))
        self.unreadable = True
        self._spent(seconds, rate, then, handled=handled)
        self.unreadable = False

    def _spent(self, seconds: int, rate: float, then: int, *, handled: bool) -> None:
        self.run(seconds, rate)
        if handled:
            self._write(STABLE)
        self.run(then - 1, rate)
        self._next()
        self.run(1, rate)

    def _next(self) -> None:
        self.number += 1
        self._write(ORDER)

    def _write(self, tag: TagRef) -> None:
        self.written[tag] = self._now().wall
        if self.unreadable:
            self._fold(self._context(tag))

    def _show(self) -> None:
        if self.up and self.unreadable:
            self._fold()
        elif self.up:
            self._fold(self._context(ORDER), self._context(STABLE), self._reading(self.shown()))

    def _context(self, tag: TagRef) -> Reading:
        since = self.written.setdefault(tag, self._now().wall)
        return Reading(tag, self.order if tag == ORDER else True, Quality.GOOD, self._now(), 0, since)

    def given(self, order: str) -> float:
        """Litres that are the order's for certain."""
        lines = (mark.line for mark in self.journal.lines.values() if mark.state in BOOKED)
        return float(sum(line.quantity for line in lines if line.key.order == order))


def use(steps: list[Step], *, flag: bool, seed: int = 1, **changes: Any) -> Shared:
    tank = Shared(level(order=ORDER, **({"stable": STABLE} if flag else {}), **changes), 3000.0, seed=seed)
    tank.run(40)
    for name, about in steps:
        getattr(tank, name)(**about)
        tank.run(60)
    tank.journal.check()
    return tank


def check(tank: Shared) -> None:
    for order, used in tank.used_by.items():
        assert tank.given(order) <= used + NEAR, f"{tank.given(order)} L are given to {order}, which used {used}"
    low, high = tank.span()
    assert low - NEAR <= tank.used <= high + NEAR, f"{tank.used} L were used, the books say {low} to {high}"


RATE = st.sampled_from([0.0, 0.2, 0.7, 1.5])
BRIEF = st.sampled_from([1, 2, 3, 5, 8, 15, 40])
AWAY = st.fixed_dictionaries({"seconds": BRIEF, "rate": RATE, "then": BRIEF, "handled": st.booleans()})
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("run"), st.fixed_dictionaries({"seconds": BRIEF, "rate": RATE})),
    st.tuples(st.just("changes_order"), st.just({})),
    st.tuples(st.sampled_from(["unseen", "bad_value"]), AWAY),
)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(STEPS, min_size=1, max_size=6), st.booleans(), st.integers(1, 1000))
def test_no_order_is_given_more_than_it_used(steps: list[Step], flag: bool, seed: int) -> None:
    check(use(steps, flag=flag, seed=seed))


UNSEEN = {"seconds": 30, "rate": 1.5, "then": 10, "handled": True}


@pytest.mark.parametrize("way", ["unseen", "bad_value"])
@pytest.mark.parametrize("flag", [True, False], ids=["scale", "tank"])
def test_what_ran_unseen_across_a_change_is_in_review_for_either_order(way: str, flag: bool) -> None:
    tank = use([(way, UNSEEN)], flag=flag)

    check(tank)
    (review,) = tank.journal.reviews.values()
    assert review.cause == "straddled-order"
    assert [way.key.order for way in review.candidates] == ["order-1", "order-2"]
    assert [float(way.quantity) for way in review.candidates] == [pytest.approx(60, abs=DEADBAND)] * 2
    assert tank.given("order-1") + tank.given("order-2") <= DEADBAND


@pytest.mark.parametrize(("split", "whose"), [(Split.OLD, "order-1"), (Split.NEW, "order-2")])
def test_the_rule_may_say_whose_it_is(split: Split, whose: str) -> None:
    tank = use([("unseen", UNSEEN)], flag=True, split=split)

    assert not tank.journal.reviews
    assert tank.given(whose) == pytest.approx(60, abs=DEADBAND)


@pytest.mark.parametrize("read", [True, False], ids=["bad", "not read since the session was lost"])
def test_a_flag_that_is_not_known_is_not_stable(read: bool) -> None:
    bench = Bench(level(stable=STABLE)).read(True, STABLE)
    for _ in range(20):
        bench.after(1).read(Decimal(300), LEVEL)
    if read:
        bench.after(1).read(None, STABLE, quality=Quality.BAD)
    else:
        bench.away(5)
    for _ in range(100):
        bench.after(1).read(Decimal(0), LEVEL)
    assert (bench.booked, bench.doubts(), bench.journal.counts["unstable"]) == (0, [], 100)
    bench.read(Decimal(290), LEVEL).read(True, STABLE).rest(20)
    assert (bench.booked, bench.doubts()) == (10, [])


def takes_what_was_shown_before_for_a_reading(patch: pytest.MonkeyPatch) -> None:
    right = levelling._remember
    patch.setattr(levelling, "_remember", lambda work, tag, value: None if value is None else right(work, tag, value))


def looks_at_the_order_of_the_end_only(patch: pytest.MonkeyPatch) -> None:
    right = level_findings.booked
    patch.setattr(
        level_findings,
        "booked",
        lambda spec, state, here, until: right(spec, replace(state, mark_time=until), here, until),
    )


@pytest.mark.parametrize("bug", [takes_what_was_shown_before_for_a_reading, looks_at_the_order_of_the_end_only])
@pytest.mark.parametrize("way", ["unseen", "bad_value"])
def test_a_bug_planted_in_whose_it_is_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)

    with pytest.raises(AssertionError):
        check(use([(way, UNSEEN)], flag=True))
