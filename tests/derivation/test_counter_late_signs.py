"""A sign of a reset that comes after the fall was decided: nothing is counted twice, and nothing is in doubt twice.

The oracle is a line that makes units and a register that begins anew; what tells of it comes up to three times `settle`
later. It never looks at raw differences: whatever candidates a person picks, no more is booked than was made, and one
choice, with what ran unseen in the step of a reset, is what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edge_agent.config.signals import Counter, Resets
from edge_agent.derivation import counter_decisions, counter_fall, counting
from edge_agent.model.movement import Cause, Notice
from edge_agent.model.signal_state import CounterState
from tests.derivation.plant import EPOCH, ORDER, Bench, counter

STEP, SETTLED, LATEST = 0.1, 24, 60
"""Seconds of a step; steps until a fall is decided; steps that a sign may be late."""
KINDS = ("epoch-tag", "order", "order-stamped", "shift", "day")
CALENDAR = {"shift": timedelta(hours=2), "day": timedelta(hours=18)}
"""From noon until the shift and the posting day begin."""


class Line:
    """A line whose register begins anew, with its sign `late` steps after that."""

    def __init__(self, kind: str, late: int, *, value: int, resets: list[int], name: str = "plain") -> None:
        signs = frozenset({Resets(kind.removesuffix("-stamped"))} if kind != "epoch-tag" else {Resets.NEVER})
        tags: dict[str, Any] = {"epoch_tag": EPOCH} if kind == "epoch-tag" else {}
        self.bench = Bench(counter(name, order=ORDER, resets=signs, **tags))
        if kind in CALENDAR:
            self.bench.after(CALENDAR[kind].total_seconds() - (resets[0] + late) * STEP)
        self.kind, self.late, self.resets = kind, late, resets
        self.value, self.made, self.unseen, self.step = value, 0, 0, 0
        self.bench.order("o-0").read(0, EPOCH).read(value)

    def run(self, steps: int, pattern: tuple[int, ...]) -> None:
        """Make units by a repeating pattern; those of a reset's step come half before it, half after."""
        for _ in range(steps):
            self.step += 1
            self.bench.after(STEP)
            units = pattern[self.step % len(pattern)]
            before = self.value
            if self.step in self.resets:
                self.unseen += units // 2
                self.value = units - units // 2
            else:
                self.value += units
            self.made += units
            if self.step - self.late in self.resets:
                self._tell(self.resets.index(self.step - self.late) + 1)
            if self.value != before:
                self.bench.read(self.value)
            if self.step % 2 == 0:
                self.bench.tick()

    def _tell(self, number: int) -> None:
        if self.kind == "epoch-tag":
            self.bench.read(number, EPOCH)
        elif self.kind == "order":
            self.bench.order(f"o-{number}")
        elif self.kind == "order-stamped":
            self.bench.order(f"o-{number}", age=min(self.late * STEP, 4.9))

    @property
    def state(self) -> CounterState:
        """What the rule remembers."""
        signal = next(rule.signal for name, rule in self.bench.state.rules.items() if name[0] != "@")
        assert isinstance(signal, CounterState)
        return signal

    def sums(self) -> set[int]:
        """What may come to be booked, one for each choice of one candidate per review."""
        ways = [{int(way.quantity) for way in one.candidates} for one in self.bench.journal.reviews.values()]
        return {int(self.bench.booked) + sum(one) for one in product(*ways)}

    def most_unseen(self) -> int:
        """The upper bound of all gaps."""
        assert all(gap.minimum == 0 and gap.maximum is not None for gap in self.bench.journal.gaps)
        return sum(int(gap.maximum or 0) for gap in self.bench.journal.gaps)

    def check(self) -> None:
        """Nothing is counted twice, whatever a person chooses, and the truth can be chosen."""
        sums = self.sums()
        assert max(sums) <= self.made, f"{sorted(sums)} of {self.made} made: {told(self.bench)}"
        most = self.most_unseen()  # what was weighed when the next reset came is in a gap, too
        assert any(self.unseen <= self.made - one <= most for one in sums), f"{sums} and {most} of {self.made}"


def told(bench: Bench) -> list[str]:
    """What people are told."""
    return [one.message for one in bench.journal.reviews.values()] + [one.message for one in notices(bench)]


def notices(bench: Bench) -> list[Notice]:
    """The exceptions that are no gaps."""
    return [event.about for event in bench.journal.events if isinstance(event.about, Notice)]


PATTERNS = st.sampled_from([(1,), (2,), (0, 1), (0, 0, 0, 2), (1, 0, 0, 0, 0, 0, 0, 0)])


@st.composite
def lines(draw: st.DrawFn, kinds: Sequence[str] = KINDS) -> tuple[Line, tuple[int, ...]]:
    kind, late = draw(st.sampled_from(kinds)), draw(st.one_of(st.integers(0, LATEST), st.integers(SETTLED, LATEST)))
    first = draw(st.integers(3, 20))
    resets = [first]
    if kind not in CALENDAR and draw(st.booleans()):
        beside = st.integers(late, late + SETTLED)  # while the first sign is weighed
        resets.append(first + max(SETTLED + 2, draw(st.one_of(beside, st.integers(0, 2 * LATEST)))))
    value = draw(st.integers(400, 60_000))
    return Line(kind, late, value=value, resets=resets), draw(PATTERNS)


ORACLE = settings(max_examples=20, derandomize=True, database=None, deadline=None)


@pytest.mark.parametrize("kind", KINDS)
def test_no_choice_counts_twice_and_one_is_the_truth(kind: str) -> None:
    late = 0

    @ORACLE
    @given(lines([kind]))
    def holds(drawn: tuple[Line, tuple[int, ...]]) -> None:
        nonlocal late
        line, pattern = drawn
        line.run(line.resets[-1] + LATEST + 2 * SETTLED, pattern)
        line.check()
        late += line.bench.journal.counts["late_sign"]

    holds()
    assert late, "no sign came late"


@pytest.mark.parametrize("kind", KINDS)
def test_a_late_sign_is_of_the_fall_in_review_and_says_so(kind: str) -> None:
    line = Line(kind, 30, value=5000, resets=[10])

    line.run(120, (1,))

    (review,) = line.bench.journal.reviews.values()
    assert [cause for cause, _, _ in line.bench.holes()] == ["reset"]
    (notice,) = notices(line.bench)
    assert (notice.cause, int(notice.quantity)) == (Cause.RESET, 0)
    assert f"for the fall in review {review.id}: if it was reset, 21 counts ran since" in notice.message
    assert line.bench.journal.counts["late_sign"] == 1


def test_a_second_reset_with_a_sign_in_time_is_a_reset() -> None:
    line = Line("epoch-tag", 0, value=5000, resets=[60])
    line.value = 3000  # set back, with no sign
    line.bench.after(STEP).read(3000).rest(2.4)

    line.run(160, (1,))

    assert line.bench.doubts()[0][0] == "fell"
    assert len(line.bench.journal.reviews) == 1
    assert line.state.first_raw == 0


def test_the_sign_is_weighed_against_a_second_fall_before_it_is_given_away() -> None:
    line = Line("epoch-tag", 30, value=5000, resets=[10, 45])

    line.run(160, (1,))

    line.check()
    assert len(line.bench.journal.reviews) <= 2


def test_after_the_time_for_late_signs_the_doubt_names_the_review_it_may_be_of() -> None:
    line = Line("epoch-tag", 300, value=5000, resets=[10])
    line.run(40, (1,))

    line.run(270, (0,))
    line.run(60, (1,))

    first, second = line.bench.journal.reviews.values()
    assert f"if that is of the fall in review {first.id}, nothing was reset since, and it ran on" in second.message


def test_a_new_start_time_after_the_fall_may_be_a_second_reset_and_names_the_first() -> None:
    bench = Bench(counter("plain", resets=frozenset({Resets.RESTART})))
    bench.read(5000).after(1).read(4).rest(2.4)

    bench.restarted(3).read(9).rest(2.4)

    first, second = bench.journal.reviews.values()
    assert bench.doubts() == [("fell", [0, 4]), ("reset-or-glitch", [5, 9])]
    assert f"if that is of the fall in review {first.id}, nothing was reset since" in second.message


def test_a_late_sign_of_a_wrap_that_was_booked_says_what_of_it_ran_if_it_was_a_reset() -> None:
    line = Line("epoch-tag", 30, value=65_500, resets=[30], name="u16")

    line.run(120, (1,))

    assert line.bench.journal.reviews == {}
    (notice,) = notices(line.bench)
    (fall,) = line.state.falls
    assert f"booked as a wrap, with {fall.wrap} counts: if it was reset, {fall.ran} ran since" in notice.message
    assert line.bench.booked - (fall.wrap - fall.ran) == line.made  # nothing ran in the step of the reset before it


def test_signs_of_two_kinds_are_both_of_the_one_reset() -> None:
    bench = Bench(counter("plain", order=ORDER, epoch_tag=EPOCH, resets=frozenset({Resets.ORDER})))
    bench.order("a").read(0, EPOCH).read(5000).after(1).read(1, EPOCH).read(4).rest(2.4)
    assert bench.booked == 4

    bench.after(0.5).order("b").read(5).rest(2.4)

    assert (bench.doubts(), bench.booked, notices(bench)) == ([], 5, [])
    assert bench.journal.counts["late_sign"] == 1


def test_a_counter_that_was_out_of_sight_since_may_have_been_reset_again() -> None:
    bench = Bench(counter("plain", epoch_tag=EPOCH))
    bench.read(0, EPOCH).read(5000).after(1).read(4).rest(2.4).read(None).after(0.2).read(5)

    bench.after(0.2).read(1, EPOCH).read(6).rest(2.4)

    assert bench.doubts() == [("fell", [0, 4]), ("reset-or-glitch", [1, 6])]


def takes_every_sign_for_a_new_reset(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(counter_decisions, "late_for", lambda *_: None)


def counts_a_sign_for_two_falls(patch: pytest.MonkeyPatch) -> None:
    """A fall that was decided with the late sign of the one before lacks none of its own."""

    def remember(spec: Counter, before: CounterState, after: CounterState, *about: Any) -> CounterState:
        known = right(spec, before, after, *about)
        if known is after:
            return after
        return replace(known, falls=(*known.falls[:-1], replace(known.falls[-1], signs=before.reset_signs)))

    right = counter_fall.remembered
    patch.setattr(counting, "remembered", remember)


@pytest.mark.slow
@pytest.mark.parametrize("plant", [takes_every_sign_for_a_new_reset, counts_a_sign_for_two_falls])
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(ORACLE, max_examples=1000, phases=[Phase.generate], report_multiple_bugs=False)
    @given(lines())
    def holds(drawn: tuple[Line, tuple[int, ...]]) -> None:
        line, pattern = drawn
        line.run(line.resets[-1] + LATEST + 2 * SETTLED, pattern)
        line.check()

    plant(monkeypatch)

    with pytest.raises(AssertionError):
        holds()
