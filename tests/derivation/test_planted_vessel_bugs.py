"""The tank and the pipe prove nothing unless they catch these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.signals import Level
from edge_agent.derivation import flow as flow_module
from edge_agent.derivation import level as level_module
from edge_agent.derivation import level_findings, level_window
from edge_agent.model.measured import Window
from tests.derivation import test_pipe_oracle as pipes
from tests.derivation import test_tank_oracle as tanks
from tests.derivation.tank import DAY, Sensor, Tank
from tests.derivation.vessels import level

Patch = pytest.MonkeyPatch


def resting(days: int = 2) -> None:
    """Two days at rest in a thermal swing and noise."""
    slow = {"sampling": timedelta(minutes=1), "window": timedelta(minutes=8), "settle": timedelta(minutes=16)}
    tank = Tank(level(hysteresis=40, **slow), 6000.0, Sensor(noise=20.0, swing=30.0, step=2.0), poll=60)
    tank.run(days * DAY)
    assert tank.journal.booked() == 0
    assert not tank.journal.gaps


def books_noise_without_hysteresis(patch: Patch) -> None:
    """Each fall of the smoothed level is use, each rise is forgotten."""

    def ratchet(spec: Level, state: Any, time: Any, _boundaries: Any) -> Any:
        if state.level >= state.mark:
            by = state.level - state.mark
            return replace(state, mark=state.level, lifted=state.lifted + by), ()
        return level_findings.booked(spec, state, state.level, time)

    patch.setattr(level_module, "_ratchet", ratchet)


def forgets_what_a_swing_gave(patch: Patch) -> None:
    """What rises slowly is a new baseline: each night's fall is use."""

    def rising(spec: Level, state: Any, time: Any) -> Any:
        by = max(state.level - state.mark, 0)
        return replace(state, mark=state.mark + by, lifted=state.lifted + by), ()

    patch.setattr(level_module, "_rising", rising)


def books_a_refill_backwards(patch: Patch) -> None:
    """A refill leaves the mark where it was: what is used next is credited away."""
    patch.setattr(
        level_findings,
        "refilled",
        lambda _spec, state, _by, _since, time: (replace(state, anchor=(state.level, time), top=None), ()),
    )


def rounds_each_delta(patch: Patch) -> None:
    """Each quantity is cut down to whole litres, and the rest is lost."""
    right = level_findings.booked

    def booked(spec: Level, state: Any, here: int, until: Any) -> Any:
        lost = (state.mark - here) % 10**6
        return right(spec, replace(state, mark=state.mark - lost, lifted=state.lifted - lost), here, until)

    patch.setattr(level_findings, "booked", booked)


def smooths_rows_not_time(patch: Patch) -> None:
    """Each row weighs the same, whatever its time."""

    def taken(window: Window, nano: int, _time: Any, _last: Any) -> Window:
        number = window.slots[-1][0] if window.slots else 0
        slots = (*window.slots, (number, 10**6, nano * 10**6))
        return replace(window, recent=(*window.recent, nano)[-3:], slots=slots[-80:])

    patch.setattr(level_window, "taken", taken)


def believes_a_lifted_drum(patch: Patch) -> None:
    patch.setattr(level_module, "_too_far", lambda *_: False)


def takes_the_sensors_end_for_zero_use(patch: Patch) -> None:
    right = level_module.out_of_sight
    patch.setattr(level_module, "out_of_sight", lambda *about, clips, flags: right(*about, clips=False, flags=flags))


def forgets_what_ran_before_the_baseline(patch: Patch) -> None:
    patch.setattr(level_module, "_interrupted", lambda state, _cause: state)


def blends_two_levels_into_one(patch: Patch) -> None:
    patch.setattr(level_module, "_jumped", lambda *_: False)


def takes_what_is_left_of_a_rise_for_all_of_it(patch: Patch) -> None:
    """What a refill had risen by when it was paused is a credit against use."""
    right = level_module._refilling
    patch.setattr(level_module, "_refilling", lambda state, *about: right(replace(state, top=None), *about))


def books_a_tare_step_with_the_pause(patch: Patch) -> None:
    """The last word on why the window fills is the only one."""
    right = level_module._refilling
    patch.setattr(level_module, "_refilling", lambda state, *about: right(replace(state, filling=None), *about))


def unseen_at_first() -> None:
    tanks.unrested([("run", {"seconds": 3}), ("outage", {"seconds": 40, "rate": 1.5})], Sensor())
    tanks.unrested([("pause", {"seconds": 40, "rate": 1.5, "rebase": True})], Sensor())


def lifted_while_unseen() -> None:
    tanks.unrested([("run", {"seconds": 60}), ("outage", {"seconds": 500}), ("lift", {"seconds": 2})], Sensor())


def paused_in_a_refill() -> None:
    tank = tanks.unrested(
        [
            ("run", {"seconds": 60}),
            ("run", {"seconds": 15, "fill": 12.0}),
            ("pause", {"seconds": 25, "fill": 12.0, "rebase": True}),
            ("run", {"seconds": 100, "rate": 1.5}),
        ],
        Sensor(),
    )
    assert not tank.journal.reviews


def tared_in_a_pause() -> None:
    tank = tanks.unrested(
        [("run", {"seconds": 60}), ("tare", {"seconds": 1}), ("pause", {"seconds": 30, "rebase": False})], Sensor()
    )
    assert tank.journal.booked() == 0


def refill(seconds: int = 60) -> None:
    tanks.play([("run", {"seconds": seconds, "fill": 10.0}), ("run", {"seconds": 120, "rate": 1.0})], Sensor())


def used() -> None:
    tanks.play([("run", {"seconds": 300, "rate": 0.7})] * 4, Sensor())


def stuttering() -> None:
    tanks.play([("stutter", {"litres": -20.0, "rows": 60})] * 3, Sensor())


def lifted() -> None:
    tanks.play([("lift", {"seconds": 30}), ("run", {"seconds": 60, "rate": 1.0})], Sensor())


def clipped() -> None:
    steps = [
        ("run", {"seconds": 120, "fill": 12.0}),
        ("run", {"seconds": 400, "rate": 1.5}),
        ("run", {"seconds": 150, "rate": 1.5}),
    ]
    tank = tanks.play(steps, Sensor(top=2000.0))
    assert tank.journal.gaps
    assert tank.journal.gaps[0].cause == "clipped"


@pytest.mark.parametrize(
    ("plant", "scene"),
    [
        (books_noise_without_hysteresis, resting),
        (forgets_what_a_swing_gave, resting),
        (books_a_refill_backwards, refill),
        (rounds_each_delta, used),
        (smooths_rows_not_time, stuttering),
        (believes_a_lifted_drum, lifted),
        (takes_the_sensors_end_for_zero_use, clipped),
        (forgets_what_ran_before_the_baseline, unseen_at_first),
        (blends_two_levels_into_one, lifted_while_unseen),
        (takes_what_is_left_of_a_rise_for_all_of_it, paused_in_a_refill),
        (books_a_tare_step_with_the_pause, tared_in_a_pause),
    ],
)
def test_a_bug_planted_in_a_level_is_found(
    plant: Callable[[Patch], None], scene: Callable[[], None], monkeypatch: Patch
) -> None:
    scene()
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        scene()


def rounds_each_stretch(patch: Patch) -> None:
    """Each stretch is cut down to whole positions."""
    right = flow_module.stretched

    def stretched(*about: Any) -> Any:
        one = right(*about)
        whole = one.after.integral // flow_module.PER_POSITION * flow_module.PER_POSITION
        return replace(one, after=replace(one.after, integral=whole))

    patch.setattr(flow_module, "stretched", stretched)


def draws_a_line_where_the_value_stood(patch: Patch) -> None:
    right = flow_module.stretched

    def stretched(run: Any, seen: Any, *rest: Any) -> Any:
        return right(run, replace(seen, continuous=False), *rest)

    patch.setattr(flow_module, "stretched", stretched)


def gives_all_to_the_newest_order(patch: Patch) -> None:
    right = flow_module.observe
    patch.setattr(flow_module, "observe", lambda spec, state, seen, _boundaries: right(spec, state, seen, ()))


def counts_through_a_gap(patch: Patch) -> None:
    right = flow_module.stretched
    patch.setattr(
        flow_module, "stretched", lambda run, seen, sampling, _gap: right(run, seen, sampling, timedelta(days=1))
    )


def keeps_the_order_of_the_wire(patch: Patch) -> None:
    patch.setattr("edge_agent.derivation.engine.Engine._sort_flows", lambda _engine, _delivery: None)


@pytest.mark.parametrize(
    "plant",
    [
        rounds_each_stretch,
        draws_a_line_where_the_value_stood,
        gives_all_to_the_newest_order,
        counts_through_a_gap,
        keeps_the_order_of_the_wire,
    ],
)
def test_a_bug_planted_in_a_flow_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    fast, slow = Fraction(40), Fraction("7.3")
    seen: pipes.Steps = [("run", 30, fast, 5), ("stand", 5, fast, 1), ("order", 4, fast, 1), ("run", 11, slow, 3)]

    def scenes() -> None:
        assert pipes.play([*seen, *seen]).journal.gaps == []
        pipe = pipes.play([("run", 5, fast, 1), ("outage", 60, Fraction(0), 1)])
        assert len(pipe.journal.gaps) == 1
        assert abs(Fraction(pipe.journal.booked()) - (pipe.flowed - pipe.hidden)) <= pipes.GRAIN

    scenes()
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        scenes()
