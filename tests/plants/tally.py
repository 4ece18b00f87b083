"""Many plants, one after the other: what was wrong, and what each kind of signal came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.plant import KINDS, Maker, Plant
from tests.plants.books import derived
from tests.plants.verdict import INFINITE, faults, open_range

STEPS = 50


@dataclass
class Kind:
    """Sums over all machines of one kind: the truth, what the naive rule books, what the agent does and leaves open."""

    machines: int = 0
    exact: int = 0
    reviews: int = 0
    gaps: int = 0
    moved: Fraction = Fraction(0)
    naive: Fraction = Fraction(0)
    naive_wrong: int = 0
    booked: Fraction = Fraction(0)
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    """The least and the most that reviews and gaps leave open."""

    def add(self, other: Kind) -> None:
        """Take another's sums in."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass
class Tally:
    """`wrong` names every plant whose books are wrong, with what is."""

    kinds: dict[str, Kind] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @classmethod
    def together(cls, parts: Iterable[Tally]) -> Tally:
        """The sum of tallies."""
        whole = cls()
        for part in parts:
            whole.wrong += part.wrong
            for name, kind in part.kinds.items():
                whole.kinds.setdefault(name, Kind()).add(kind)
        return whole


def tally(
    seeds: Iterable[int], folder: Path, steps: int = STEPS, *, shorten: bool = True, kinds: Sequence[Maker] = KINDS
) -> Tally:
    """Make up the plants of `seeds`, have the agent read what was recorded of each, and compare with the truth."""
    found = Tally()
    for seed in seeds:
        for fault in _judged(seed, steps, folder, found, kinds):
            fewest = f"; the shortest plant like it has {_shortest(seed, steps, folder)} steps" if shorten else ""
            found.wrong.append(f"{fault}{fewest}")
    return found


def _judged(seed: int, steps: int, folder: Path, into: Tally, kinds: Sequence[Maker] = KINDS) -> list[str]:
    plant = Plant(seed, steps, kinds)
    movements = derived(plant, folder)
    wrong = []
    for machine in plant.machines:
        books = movements[machine.movement]
        wrong += [f"plant {seed}, {machine.movement} ({machine.kind}): {fault}" for fault in faults(machine, books)]
        into.kinds.setdefault(machine.kind, Kind()).add(_figures(machine, plant.naive[machine.movement], books))
    return wrong


def _figures(machine: Machine, naive: Fraction, books: Mapping[str, Any]) -> Kind:
    moved = sum(machine.moved.values(), Fraction(0))
    booked = sum((Fraction(text) for text in books["booked"].values()), Fraction(0))
    low, high = open_range(books)
    return Kind(
        machines=1,
        exact=int(abs(moved - booked) <= machine.tolerance and not books["review"]),
        reviews=len(books["review"]),
        gaps=len(books["gaps"]),
        moved=moved,
        naive=naive,
        naive_wrong=int(abs(naive - moved) > machine.tolerance),
        booked=booked,
        low=low,
        high=high,
    )


def _shortest(seed: int, steps: int, folder: Path) -> int:
    """How few of the steps show the fault: a plant of the same seed begins alike."""
    return next((few for few in range(1, steps) if _judged(seed, few, folder, Tally())), steps)


def rows(found: Tally) -> Iterator[str]:
    """The table of docs/derivation.md, line by line."""
    yield "| signal | machines | truly moved | naive rule books | naive wrong | we book | in review and gaps | exact |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, kind in sorted(found.kinds.items()):
        unbounded, high = divmod(kind.high, INFINITE)
        span = " to ".join(dict.fromkeys((_number(kind.low), _number(high))))
        beside = f", and {unbounded} without a bound" if unbounded else ""
        open_ = f"{kind.reviews} + {kind.gaps}: {span}{beside}" if kind.reviews or kind.gaps else "nothing"
        yield (
            f"| {name} | {kind.machines} | {_number(kind.moved)} | {_number(kind.naive)} | {kind.naive_wrong} |"
            f" {_number(kind.booked)} | {open_} | {kind.exact} |"
        )


def _number(value: Fraction) -> str:
    return f"{round(value):,}"
