"""A stream's account of itself, by model; and whose turn it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.errors import StoreCorrupt
from edge_agent.model.event import StoredEvent
from edge_agent.publishing.drain import Drain, Turns
from tests.publishing.samples import NOON


def _event(sequence: int) -> StoredEvent:
    return StoredEvent("urn:edgeagent:a:b:s", "s", sequence, str(sequence), "t", "topic", b"x", NOON)


class DrainMachine(RuleBasedStateMachine):
    """The model: a set of what the broker has taken. The store has `head` events."""

    @initialize(delivered=st.integers(0, 5))
    def begin(self, delivered: int) -> None:
        self.drain = Drain("s", delivered)
        self.head = delivered
        self.taken = set(range(1, delivered + 1))
        self.flying: list[int] = []
        self.order: list[int] = []
        self.now = 0.0

    @rule(count=st.integers(1, 10))
    def commit(self, count: int) -> None:
        self.head += count

    @rule(limit=st.integers(1, 5))
    def send(self, limit: int) -> None:
        after = self.drain.fetch_after
        if after is not None and self.drain.ready(self.now):
            self.drain.feed([_event(after + 1 + n) for n in range(min(limit, self.head - after))])
        event = self.drain.next
        if event is None or not self.drain.ready(self.now):
            return
        self.drain.sent()
        assert event.sequence not in self.flying
        assert event.sequence not in self.taken, "acknowledged events are not sent again"
        assert not self.flying or self.drain.held is None, "a held event goes alone"
        self.flying.append(event.sequence)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), accepted=st.booleans())
    def answer(self, data: st.DataObject, accepted: bool) -> None:
        sequence = data.draw(st.sampled_from(self.flying))
        self.flying.remove(sequence)
        if accepted:
            self.taken.add(sequence)
            self.drain.accepted(sequence)
        else:
            self.drain.hold(sequence, "refused", self.now)

    @rule()
    def lose(self) -> None:
        self.flying.clear()
        self.drain.rewind()

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def the_cursor_is_the_end_of_the_first_run(self) -> None:
        if hasattr(self, "drain"):
            assert set(range(1, self.drain.cursor + 1)) <= self.taken
            assert self.drain.cursor + 1 not in self.taken
            assert self.drain.in_flight == frozenset(self.flying)

    def teardown(self) -> None:
        """Whatever happened, with a willing broker everything goes out."""
        if not hasattr(self, "drain"):
            return
        self.drain.rewind()
        self.flying.clear()
        for _ in range(4 * self.head + 4):
            self.now += 100
            self.send(5)
            for sequence in list(self.flying):
                self.flying.remove(sequence)
                self.taken.add(sequence)
                self.drain.accepted(sequence)
        assert self.drain.cursor == self.head
        assert self.drain.held is None


TestDrain = DrainMachine.TestCase
TestDrain.settings = settings(max_examples=200, stateful_step_count=40)


def test_a_missing_sequence_is_not_passed_over() -> None:
    drain = Drain("routine", 3)
    drain.feed([_event(4)])

    with pytest.raises(StoreCorrupt, match="event 6 follows 4"):
        drain.feed([_event(6)])


def test_pauses_double_up_to_a_minute() -> None:
    drain = Drain("s", 0)
    pauses = []
    for _ in range(9):
        drain.feed([_event(1)])
        drain.sent()
        drain.hold(1, "refused", 1000.0)
        assert drain.held is not None
        pauses.append(drain.held.resume_at - 1000)
        assert not drain.ready(drain.held.resume_at - 0.001)
        assert drain.ready(drain.held.resume_at)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_turns_follow_the_shares() -> None:
    turns = Turns(["a", "b", "c"])

    assert Counter(turns.pick(["a", "b", "c"]) for _ in range(70)) == {"a": 40, "b": 20, "c": 10}


@given(st.lists(st.sets(st.sampled_from("abcde"), min_size=1), min_size=1, max_size=200))
def test_a_lane_that_stays_ready_is_never_passed_over_for_long(history: list[set[str]]) -> None:
    turns = Turns("abcde")
    waiting = Counter[str]()
    for ready in history:
        chosen = turns.pick([name for name in "abcde" if name in ready])
        assert chosen in ready
        waiting = Counter({name: waiting[name] + 1 for name in ready if name != chosen})
        assert all(rounds <= 62 for rounds in waiting.values())
