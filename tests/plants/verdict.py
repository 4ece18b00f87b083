"""Whether books agree with what truly moved. Knows quantities, and no rule by which the agent decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from edge_agent_simulators.plants.machine import Machine

INFINITE = Fraction(10**30)


def faults(machine: Machine, found: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with one movement's books.

    Nothing is booked that did not move; nothing that moved is missing from what is booked, in review and in gaps
    together. Where nothing happened that the signal alone does not explain, everything is booked, and nothing is open.
    """
    booked = {order: Fraction(quantity) for order, quantity in found["booked"].items()}
    truth, near = sum(machine.moved.values(), Fraction(0)), machine.tolerance
    total = sum(booked.values(), Fraction(0))
    low, high = open_range(found)
    if total + low > truth + near:
        yield f"{_number(total)} is booked and at least {_number(low)} open, but only {_number(truth)} moved"
    if total + high < truth - near:
        yield f"{_number(total)} is booked and at most {_number(high)} open, but {_number(truth)} moved"
    for order, quantity in booked.items():
        got = machine.moved.get(order, Fraction(0))
        if quantity > got + near:
            yield f"{_number(quantity)} is booked for {order!r}, which got {_number(got)}"
    yield from _faults_of_parts(machine, found)
    if not machine.upset and (found["review"] or found["gaps"]):
        yield f"nothing happened, and it is in doubt: {found['review']} {found['gaps']}"


def _faults_of_parts(machine: Machine, found: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong by lot, where lots are followed, and with what the movement's condition leaves out."""
    near, left_out = machine.tolerance, Fraction(found["excluded"])
    if left_out > machine.left_out or (left_out < machine.left_out and not machine.upset):
        yield f"{_number(left_out)} is excluded, and {_number(machine.left_out)} should be"
    for lot, quantity in found["lots"].items() if machine.lots else ():
        if not lot and machine.upset:
            continue  # what was used before its lot was told has none, and an exception says so
        used = machine.lots.get(lot, Fraction(0))
        if quantity > used + near:
            yield f"{_number(quantity)} is booked of lot {lot!r}, of which {_number(used)} moved"
    for lot, used in machine.lots.items() if not machine.upset else ():
        if found["lots"].get(lot, Fraction(0)) < used - near:
            yield f"nothing happened, and less than {_number(used)} is booked of lot {lot!r}"


def open_range(found: Mapping[str, Any]) -> tuple[Fraction, Fraction]:
    """The least and the most that reviews and gaps leave open."""
    low = high = Fraction(0)
    for review in found["review"]:
        candidates = [Fraction(text) for text in review["candidates"]]
        low, high = low + min(candidates), high + max(candidates)
    for gap in found["gaps"]:
        low += Fraction(gap["min"])
        high += INFINITE if gap["max"] is None else Fraction(gap["max"])
    return low, high


def _number(value: Fraction) -> str:
    return f"{float(value):g}"
