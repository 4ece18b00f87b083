"""A counter is followed while its order or condition is not known: only the books wait."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import Flag
from edge_agent.model.reading import Quality
from edge_agent.model.signal_state import CounterState
from tests.derivation.plant import EPOCH, ORDER, Bench, counter


def unread(rule: Rule, first: int, last: int) -> Bench:
    """It runs at 10 counts a second, and nobody knows for which order."""
    bench = Bench(rule).read(1, EPOCH).read(first)
    for shown in range(first + 2, last + 1, 2):
        bench.after(0.2).read(shown % 65_536)
    return bench


def told(bench: Bench, *also: Any) -> Bench:
    """The order tag is read: it has been A all the time."""
    return bench.feed(bench.reading("A", ORDER, age=3600), *also)


def test_what_ran_is_booked_as_soon_as_it_is_known_whose_it_is() -> None:
    bench = unread(counter(order=ORDER), 100, 700)
    assert (bench.booked, bench.journal.counts["order_unknown"]) == (0, 300)

    assert (told(bench).rest(0.2).of("A"), bench.doubts(), bench.journal.flags()) == (600, [], set())
    assert bench.read(702).of("A") == 602


def test_a_wrap_seen_while_it_waits_is_a_wrap() -> None:
    bench = told(unread(counter(order=ORDER), 65_500, 65_600)).rest(3)

    assert (bench.of("A"), bench.doubts(), bench.journal.flags()) == (100, [], {Flag.WRAPPED})


@pytest.mark.parametrize("false", [0, 600])
def test_a_false_value_that_ends_the_wait_is_held_against_the_value_before(false: int) -> None:
    bench = unread(counter(order=ORDER), 100, 400).after(0.2)
    told(bench, bench.reading(false)).after(0.2).read(404)

    assert (bench.of("A"), bench.doubts()) == (304, [])


@pytest.mark.parametrize("false", [0, 600])
def test_a_false_value_that_is_the_last_of_the_wait_is_not_booked(false: int) -> None:
    bench = unread(counter(order=ORDER), 100, 400).after(0.2).read(false)
    told(bench).after(0.2).tick()
    assert (bench.of("A"), bench.doubts()) == (300, [])

    assert (bench.after(0.2).read(404).of("A"), bench.doubts()) == (304, [])


def test_what_was_seen_before_a_reset_in_the_wait_is_not_unseen() -> None:
    bench = unread(counter(order=ORDER, epoch_tag=EPOCH), 1000, 1600).after(0.2).read(2, EPOCH).read(2).rest(3)

    assert bench.doubts() == [("order-unknown", [600]), ("order-unknown", [2])]
    ((cause, least, most),) = bench.holes()
    assert (cause, least) == ("reset", 0)
    assert most is not None
    assert most <= 25 * 0.2 + 5 - 2


def test_a_reading_that_is_none_does_not_end_the_following() -> None:
    bench = unread(counter(order=ORDER), 100, 200).read(None, quality=Quality.BAD).after(0.2).read(204)

    assert (told(bench).rest(0.2).of("A"), bench.journal.flags()) == (104, {Flag.SKIPPED_READINGS})


def test_after_a_restore_what_waited_is_in_doubt_with_the_rest() -> None:
    bench = unread(counter(order=ORDER), 100, 200)
    known = bench.state.rules["u16"]
    assert isinstance(known.signal, CounterState)
    bench.state.rules["u16"] = replace(known, signal=replace(known.signal, restored=True))

    told(bench).rest(1).after(1).read(230)
    assert (bench.booked, bench.doubts()) == (0, [("restored", [0, 130])])


@pytest.mark.parametrize(("first", "last"), [(100, 200), (65_500, 65_600)])
def test_what_waits_goes_along_under_a_new_name(first: int, last: int) -> None:
    bench = unread(counter(order=ORDER), first, last).rest(3)
    bench.map_is(replace(counter(order=ORDER), name="new", was="u16"))
    outcome = bench.engine.inherit(bench.state)
    bench.journal.take(outcome)
    bench.state.adopt(outcome.changed)
    bench.journal.check()

    told(bench).after(0.2).read((last + 2) % 65_536).rest(3)
    assert (bench.of("A"), bench.doubts()) == (last - first + 2, [])
