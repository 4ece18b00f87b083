"""A line whose every piece knows for which order and lot it ran, and whether it should have run at all.

The line moves in steps of 100 ms; in each it makes some pieces with the order, lot and state of that step. The agent is
told what a subscription would tell: changes as they are published, a little late, never in the order of their causes;
and nothing at all while a session is down. The truth is kept by piece, in the order in which they were counted, so that
positions of the agent's lines are looked up in it. It knows nothing of the engine's formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, SourceChange, TagRef, Tick
from tests.derivation.plant import BOOTED, COUNT, NOON, ORDER

STEP = timedelta(milliseconds=100)
LOT, STATE = TagRef("plc", "lot"), TagRef("plc", "state")
EXECUTE = 6
Delivery = tuple[Reading | SourceChange | Tick, ...]


@dataclass(frozen=True)
class Piece:
    """One piece: what it was made under, the step in which it was counted, whether the agent could see that."""

    order: str
    lot: str
    runs: bool
    step: int
    seen: bool


@dataclass
class Line:
    """`lag` is in steps or, with `pipe`, in pieces: a piece is counted so much after it was made."""

    lag: int = 0
    pipe: int = 0
    made: list[tuple[str, str]] = field(default_factory=list)
    counted: list[Piece] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    turns: list[tuple[int, int]] = field(default_factory=list)
    """Steps in which the state changed, or in which nobody knew it."""
    step: int = 0
    state: int = EXECUTE
    number: int = 1
    charge: int = 1
    up: bool = True
    good: bool = True
    since: dict[TagRef, int] = field(default_factory=lambda: dict.fromkeys((COUNT, ORDER, LOT, STATE), -10_000))
    told: dict[TagRef, object] = field(default_factory=dict)
    queue: list[Reading] = field(default_factory=list)
    history: list[tuple[str, str]] = field(default_factory=list)
    orders_told: set[Scalar | None] = field(default_factory=set)
    lots_told: set[Scalar | None] = field(default_factory=set)
    """What came and went while nobody looked is in no candidate: nobody can know it."""

    def __post_init__(self) -> None:
        self.deliveries.append((SourceChange("plc", Link.UP, self.now, BOOTED),))
        self.sample(fresh=True)
        self.publish()

    @property
    def now(self) -> Instant:
        """The machine's clock at the end of the present step."""
        return Instant(NOON + self.step * STEP, 10**12 + self.step * 10**8, "boot-1")

    def run(self, steps: int, pieces: Sequence[int], *, publish: int) -> None:
        """Make and count pieces by a repeating pattern."""
        for n in range(steps):
            self.step += 1
            runs = self.state == EXECUTE
            self.history.append((f"O{self.number}", f"L{self.charge}"))
            for _ in range(pieces[n % len(pieces)]):
                self.made.append((f"O{self.number}", f"L{self.charge}"))
                order, lot = self._came_out()
                self.counted.append(Piece(order, lot, runs, self.step, self.up))
                self.since[COUNT] = self.step
            self.sample()
            if self.step % publish == 0:
                self.publish()

    def change(self, what: str) -> None:
        """Another order, lot or state from the next step on."""
        if what == "order":
            self.number += 1
            self.since[ORDER] = self.step
        elif what == "lot":
            self.charge += 1
            self.since[LOT] = self.step
        else:
            self.state = EXECUTE if self.state != EXECUTE else 11
            self.since[STATE] = self.step
            self.turns.append((self.step, self.step + 1))
        self.sample()

    def blind(self, steps: int, pieces: Sequence[int], publish: int) -> None:
        """The state's tag has no good value for a while."""
        self.good, self.since[STATE] = False, self.step
        began = self.step
        self.sample()
        self.run(steps, pieces, publish=publish)
        self.good, self.since[STATE] = True, self.step
        self.turns.append((began, self.step + 1))
        self.sample()

    def outage(self, steps: int, pieces: Sequence[int], changes: Sequence[str], publish: int) -> None:
        """The session is lost; the line goes on, and changes while nobody looks: an order or lot at most once.

        What came and went unseen leaves no trace; with a lag it would be counted in full view later.
        """
        self.publish()
        began = self.step
        self.deliveries.append((SourceChange("plc", Link.LOST, self.now),))
        self.up, self.queue = False, []
        changes = [what for n, what in enumerate(changes) if what == "state" or what not in changes[:n]]
        share = max(1, steps // (len(changes) + 1))
        for what in changes:
            self.run(share, pieces, publish=publish)
            self.change(what)
        self.run(share, pieces, publish=publish)
        self.up = True
        self.turns.append((began, self.step + 1))
        self.deliveries.append((SourceChange("plc", Link.UP, self.now, BOOTED),))
        self.sample(fresh=True)
        self.publish()

    def sample(self, *, fresh: bool = False) -> None:
        """What the server notices: changed values, with the time of the step in which they changed."""
        if not self.up:
            return
        shown: dict[TagRef, Scalar | None] = {
            COUNT: len(self.counted),
            ORDER: f"O{self.number}",
            LOT: f"L{self.charge}",
            STATE: self.state if self.good else None,
        }
        self.orders_told.add(shown[ORDER])
        self.lots_told.add(shown[LOT])
        for tag, value in shown.items():
            if not fresh and self.told.get(tag, self) == value:
                continue
            self.told[tag] = value
            quality = Quality.BAD if value is None else Quality.GOOD
            at = NOON + self.since[tag] * STEP
            self.queue.append(Reading(tag, value, quality, self.now, source_time=at, continuous=not fresh))

    def publish(self) -> None:
        """What was noticed since the last time arrives, in one delivery."""
        now, waiting = self.now, self.queue
        self.queue = []
        if self.up and waiting:
            self.deliveries.append(
                tuple(
                    Reading(r.tag, r.value, r.quality, now, source_time=r.source_time, continuous=r.continuous)
                    for r in waiting
                )
            )
        if self.step % 5 == 0:
            self.deliveries.append((Tick(now),))

    def _came_out(self) -> tuple[str, str]:
        """The order and lot of the piece that is counted now."""
        if self.pipe:
            place = len(self.made) - 1 - self.pipe
            return self.made[place] if place >= 0 else ("?", "?")
        place = len(self.history) - 1 - self.lag
        return self.history[place] if place >= 0 else self.history[0]
