"""The script as data: orders, pauses, changes of pace and faults for a given duration, all from a seed.

Where the time is short, wraps and glitches come first, then a signed reset and a restored retain value (from 44 s on),
then a third order (58 s), then a plain restart and a second restored value (85 s). Restarts come before the wraps: a
retained counter must not get through its wrap while nobody reads it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from edge_agent_simulators.faults import BOOT_LEAD, Kind
from edge_agent_simulators.physics import TICK_MS, TICKS_PER_SECOND, TRANSIT_TICKS, ticks
from edge_agent_simulators.plc import UINT16, UINT32

REST = ticks(3.2)
"""At rest around a change of order, half before and half after it."""
_GOOD = 0.988
_LONG = 600
"""Seconds from which orders are filled with faults in rotation."""
_ENOUGH_FOR_RESTARTS = 44
_ENOUGH_FOR_THREE = 58
_ENOUGH_FOR_ALL = 85


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """At `at` ticks of its order. A restored counter comes back `drop` units lower, or `near` units before its wrap.

    `handover` sends the pallet away right before a restart, so that the restart falls between Seq and Ack.
    """

    kind: Kind
    at: int
    length: int
    counter: str | None = None
    drop: int = 0
    near: int = 0
    reraise: bool = False
    handover: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """A micro stop (`halt`: the machine stands still as it is) or a stop (the infeed is off, the belt runs empty)."""

    at: int
    length: int
    halt: bool


@dataclass(frozen=True, slots=True)
class Pace:
    """From `at` on the line runs at `speed` millibottles per second."""

    at: int
    speed: int


@dataclass(frozen=True, slots=True)
class Order:
    """One order: ticks of running, then `rest` ticks at rest around the change to the next."""

    number: str
    length: int
    speed: int
    rest: int = REST
    faults: tuple[PlannedFault, ...] = ()
    pauses: tuple[Pause, ...] = ()
    paces: tuple[Pace, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that will happen. `seconds` is None for a line that runs without a script."""

    seed: int
    seconds: float | None
    orders: tuple[Order, ...]
    preforms: int
    bottles: int
    transaction: int
    cases_per_pallet: int


def make_plan(seed: int, seconds: float) -> Plan:
    """The script for `seconds` of plant time.

    Raises:
        ValueError: there is no time for two orders.
    """
    if seconds < 20:
        msg = f"a script of {seconds} s: at least 20 s are needed for two orders"
        raise ValueError(msg)
    chance = random.Random(f"plan {seed} {seconds}")
    orders = _orders(chance, seconds)
    first = random.Random(seed).randrange(100_000, 900_000)
    orders = [replace(order, number=str(first + 7 * place)) for place, order in enumerate(orders)]
    wraps = _when_to_wrap(seconds)
    return Plan(
        seed=seed,
        seconds=seconds,
        orders=tuple(_restore_before_wrap(orders, *wraps)),
        preforms=UINT16 - (200 if seconds >= _LONG else _to_preform_wrap(orders, *wraps)),
        bottles=UINT32 - _to_bottle_wrap(orders, seconds),
        transaction=chance.randrange(1_000, 9_000),
        cases_per_pallet=4 if seconds < _LONG else 20,
    )


def plain_plan(seed: int, speed: int = 10_000, cases_per_pallet: int = 4) -> Plan:
    """A line that runs one order for ever and has no faults but those injected."""
    order = Order(str(random.Random(seed).randrange(100_000, 900_000)), 1 << 62, speed)
    return Plan(seed, None, (order,), UINT16 - 300, UINT32 - 300, 1_000, cases_per_pallet)


def _when_to_wrap(seconds: float) -> tuple[int, int]:
    """The order and its tick in which both counters wrap; early enough for the wraps to settle before its end."""
    if seconds < _ENOUGH_FOR_RESTARTS:
        return 0, ticks(3.6)
    if seconds < _ENOUGH_FOR_THREE:
        return 1, ticks(6.5)
    return 2, ticks(9 if seconds < _ENOUGH_FOR_ALL else 11)


def _orders(chance: random.Random, seconds: float) -> list[Order]:
    if seconds >= _LONG:
        return list(_long(chance, seconds))
    if seconds >= _ENOUGH_FOR_ALL:
        return list(_three(chance, seconds, (24.5, 22.5, 21.0), 85, full=True))
    if seconds >= _ENOUGH_FOR_THREE:
        return list(_three(chance, seconds, (15.0, 14.0, 13.0), 60, full=False))
    return list(_two(chance, seconds))


def _spare(seconds: float, least: float) -> float:
    """What the orders may take longer; the rest is for faults and pallets that have to wait."""
    left = max(0.0, seconds - least)
    return max(0.8 * left, left - 6)


def _two(chance: random.Random, seconds: float) -> Iterator[Order]:
    """Two orders: with time for it, restarts in the first and the wraps in the second; else wraps, then glitches."""
    if seconds >= _ENOUGH_FOR_RESTARTS:
        spare = _spare(seconds, _ENOUGH_FOR_RESTARTS) / 2
        faults = (*_glitches(chance, 3.2), _signed_reset(chance, 7.6), _restored_bottles(chance, 14.6))
        yield _order(chance, 21.5 + spare, faults)
        yield _order(chance, 10.2 + spare, ())
    else:
        spare = _spare(seconds, 23) / 2
        yield _order(chance, 7.0 + spare, ())
        yield _order(chance, 6.6 + spare, _glitches(chance, 3.2))


def _three(
    chance: random.Random, seconds: float, lengths: tuple[float, float, float], least: float, *, full: bool
) -> Iterator[Order]:
    """Reset and restored values in the first order and the second, both wraps in the third."""
    spare = _spare(seconds, least) / 3
    reset = _signed_reset(chance, 16.5 if full else 7.6)
    first = [*_glitches(chance, 3.2), *([_restored_preforms(chance, 8.0)] if full else []), reset]
    second = [_restored_bottles(chance, 4.5), *([_plain_restart(14.5, reraise=True)] if full else [])]
    third = [g for at in range(17, int(lengths[2] + spare) - 3, 20) for g in _glitches(chance, at)] if full else []
    for length, faults in zip(lengths, (first, second, third), strict=True):
        yield _order(chance, length + spare, faults)


def _long(chance: random.Random, seconds: float) -> Iterator[Order]:
    """Orders in threes: one with resets, one with restored values, one with nothing that loses evidence."""
    number = max(3, min(24, round(seconds / 600)))
    rests = [ticks(chance.uniform(4, min(40.0, seconds / 60))) for _ in range(number)]
    left = seconds * 0.98 - 6 - sum(rests) / TICKS_PER_SECOND - number * 4
    weights = [chance.uniform(0.85, 1.15) for _ in range(number)]
    for place, (weight, rest) in enumerate(zip(weights, rests, strict=True)):
        length = left * weight / sum(weights)
        order = _order(chance, length, ())
        faults = tuple(_rotation(chance, place % 3, length))
        pauses, paces = tuple(_pauses(chance, length)), tuple(_paces(chance, length))
        yield replace(order, rest=rest, faults=faults, pauses=pauses, paces=paces)


def _order(chance: random.Random, seconds: float, faults: tuple[PlannedFault, ...] | list[PlannedFault]) -> Order:
    micro = Pause(ticks(0.8), ticks(chance.uniform(0.2, 0.6)), halt=True)
    speed = chance.randrange(9_600, 11_400, 50)
    return Order("", ticks(seconds), speed, faults=tuple(faults), pauses=(micro,))


def _rotation(chance: random.Random, turn: int, seconds: float) -> Iterator[PlannedFault]:
    """Faults of one long order, one after the other."""
    yield from _glitches(chance, 3.2)
    at = 10.0
    place = 0
    while at < seconds - 20:
        yield _turn(chance, turn, place, at)
        place += 1
        at += chance.uniform(30, 80)


def _turn(chance: random.Random, turn: int, place: int, at: float) -> PlannedFault:
    glitch = _glitch(chance, at, chance.choice(("preforms", "bottles")))
    if turn == 2:
        return glitch
    restart = _plain_restart(at, reraise=chance.random() < 0.5)
    lower = _restored_preforms(chance, at)
    if turn == 0:
        return (lower, _signed_reset(chance, at), glitch, restart, glitch)[place % 5]
    bottles = replace(_restored_bottles(chance, at), near=chance.randrange(400, 1_200))
    preforms = replace(lower, drop=0, near=chance.randrange(400, 1_200))
    bottles_lower = replace(lower, counter="bottles")
    return (bottles, preforms, glitch, restart, lower, glitch, bottles_lower)[place % 7]


def _glitches(chance: random.Random, at: float) -> tuple[PlannedFault, PlannedFault]:
    return _glitch(chance, at, "preforms"), _glitch(chance, at + 0.1, "bottles")


def _glitch(chance: random.Random, at: float, counter: str) -> PlannedFault:
    return PlannedFault(Kind.GLITCH, ticks(at), chance.randrange(4, 10 if at < 4 else 19), counter)


def _signed_reset(chance: random.Random, at: float) -> PlannedFault:
    return PlannedFault(Kind.SIGNED_RESET, ticks(at), ticks(chance.uniform(1.2, 1.6)), "bottles", handover=True)


def _restored_bottles(chance: random.Random, at: float) -> PlannedFault:
    """Comes back with a value from before the last reset or wrap; how far before is settled by the whole plan."""
    return PlannedFault(Kind.RESTORED_RETAIN, ticks(at), ticks(chance.uniform(1.2, 1.6)), "bottles", near=1)


def _restored_preforms(chance: random.Random, at: float) -> PlannedFault:
    length, drop = ticks(chance.uniform(1.2, 1.6)), chance.randrange(200, 300 if at < 9 else 2_000)
    return PlannedFault(Kind.RESTORED_RETAIN, ticks(at), length, "preforms", drop=drop)


def _plain_restart(at: float, *, reraise: bool) -> PlannedFault:
    return PlannedFault(Kind.PLC_RESTART, ticks(at), ticks(1.5), reraise=reraise, handover=not reraise)


def _pauses(chance: random.Random, seconds: float) -> Iterator[Pause]:
    """Micro stops of seconds, and now and then a stop of up to four minutes."""
    at = 15.0
    while at < seconds - 30:
        halt = chance.random() < 0.9
        length = chance.uniform(0.3, 5.0) if halt else chance.uniform(20, min(240.0, seconds / 5))
        yield Pause(ticks(at), ticks(length), halt)
        at += length + chance.uniform(15, 60)


def _paces(chance: random.Random, seconds: float) -> Iterator[Pace]:
    """Another speed every minute."""
    for minute in range(1, int(seconds / 60)):
        yield Pace(ticks(60 * minute), chance.randrange(6_000, 12_000, 50))


def _restore_before_wrap(orders: list[Order], place: int, at: int) -> list[Order]:
    """Let the first restored bottle counter come back so far before its wrap that it wraps when it is meant to."""
    for index, order in enumerate(orders):
        for fault in order.faults:
            if fault.counter == "bottles" and fault.near == 1:
                boot = fault.at + fault.length - BOOT_LEAD
                near = round(_bottles(orders, place, at) - _bottles(orders, index, boot))
                settled = tuple(replace(fault, near=near) if f is fault else f for f in order.faults)
                return [*orders[:index], replace(order, faults=settled), *orders[index + 1 :]]
    return orders


def _to_preform_wrap(orders: list[Order], place: int, at: int) -> int:
    """Preforms until tick `at` of the order, less those that a restored counter counts a second time."""
    before = [fault for order in orders[:place] for fault in order.faults]
    return round(_preforms(orders, place, at)) - sum(f.drop for f in before if f.counter == "preforms")


def _to_bottle_wrap(orders: list[Order], seconds: float) -> int:
    """Near the wrap; but a signed reset must be further from it than any wrap could explain."""
    if seconds >= _LONG:
        return 30_000
    if seconds >= _ENOUGH_FOR_RESTARTS:
        return 3_000
    return round(_bottles(orders, *_when_to_wrap(seconds)))


def _bottles(orders: list[Order], place: int, at: int) -> float:
    """Bottles expected until tick `at` of the order: preforms one transit earlier, less the rejects."""
    return _GOOD * _preforms(orders, place, at - TRANSIT_TICKS)


def _preforms(orders: list[Order], place: int, at: int) -> float:
    """Preforms expected until tick `at` of the order."""
    return sum(_run(order, order.length) for order in orders[:place]) + _run(orders[place], at)


def _run(order: Order, at: int) -> float:
    """Preforms of one order until its tick `at`: pauses and outages count for nothing, changes of pace do."""
    idle = [(pause.at, pause.length) for pause in order.pauses]
    idle += [(f.at, f.length - BOOT_LEAD) for f in order.faults if f.kind is not Kind.GLITCH]
    turns = [(0, order.speed), *((pace.at, pace.speed) for pace in order.paces if pace.at < at), (at, 0)]
    units = 0.0
    for (since, speed), (until, _) in pairwise(turns):
        lost = sum(max(0, min(until, start + length) - max(since, start)) for start, length in idle)
        units += (until - since - lost) * speed * TICK_MS / 1_000_000
    return units
