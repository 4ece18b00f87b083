"""A line that counts physical units, and what an agent would be told of it. It knows nothing of the engine's formulas.

Every unit is one increment of a register, made in one step of 100 ms for one order; the ledger of `made` units is the
truth. The register wraps, forgets, is restored and glitches; sessions break, the server and the agent restart. No more
is made than 25 units a second, and no more than 5 at once.

What no evidence can show, the line does not do: a glitch or a restored value so near that the line could have run there
by itself, a reset without any sign that could be taken for a wrap or that nobody saw before it climbed back.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, islice

from edge_agent.model.reading import Cut, Instant, Link, Quality, Reading, Scalar, SourceChange, Tick
from tests.derivation.plant import BOOTED, COUNT, FINAL, NOON, ORDER

STEP = timedelta(milliseconds=100)
SETTLED = 28
"""Steps after which what is seen has settled (2 s), with what delivery and ticks may add."""
Delivery = tuple[Reading | SourceChange | Tick | Cut, ...]


@dataclass
class Register:
    """A totalizer as hardware: it counts one by one, and shows `wraps_to` instead of `wraps_at`.

    `stops_at` is where it stops, `lost` what has run since and was never counted. `shows` is what its tag says of a
    value. It may begin anew `by_order`, and keep the total of the order before (`keeps_total`).
    """

    value: int
    wraps_at: int | None
    wraps_to: int
    stops_at: int | None = None
    shows: Callable[[int], Scalar] = int
    by_order: bool = False
    keeps_total: bool = False
    lost: int = 0

    def pulse(self) -> bool:
        """One unit; answers whether the register wrapped."""
        if self.value == self.stops_at:
            self.lost += 1
            return False
        self.value += 1
        if self.value != self.wraps_at:
            return False
        self.value = self.wraps_to
        return True

    @property
    def distinct(self) -> float:
        """How many values it shows before the same one comes again."""
        return float("inf") if self.wraps_at is None else self.wraps_at - self.wraps_to

    @property
    def top(self) -> int:
        """The highest value it shows, or what is high enough."""
        return (self.wraps_at or 1 << 20) - 1 if self.stops_at is None else self.stops_at


class PhysicalLine:
    """The line and its session with the agent; `deliveries` is what the agent has been told and not yet folded."""

    def __init__(self, register: Register, publish: int) -> None:
        self.register = register
        self.made: list[tuple[str, int]] = []
        self.total: Tally[str] = Tally()
        self.resets: list[int] = []
        self.upsets: list[int] = []
        self.doubtful: list[tuple[int, int]] = []
        self.deliveries: list[Delivery] = []
        self._publish = publish
        self.lost: list[int] = []
        self._order = 0
        self._told_order = 0
        self._total = 0
        self._mask: int | None = None
        self._good = True
        self._tags = (COUNT, ORDER, FINAL) if register.keeps_total else (COUNT, ORDER)
        self._changed = {COUNT: 0, ORDER: 0, FINAL: 0}
        self._told: dict[object, object] = {}
        self._queue: list[Reading] = []
        self._up = False
        self._agent = True
        self._boot = 1
        self._booted_at = -10_000
        self._start_time = BOOTED
        self._start_known = True
        self._troubled = 0
        self._sure = 0
        self._weighed = (0, 0)
        self._connect(BOOTED)

    # the truth

    @property
    def step(self) -> int:
        """Steps so far."""
        return len(self.made)

    @property
    def order(self) -> str:
        """The order that runs now."""
        return f"order-{self._order}"

    def truth(self, since: int, until: int) -> Tally[str]:
        """Units made by order in the steps (since, until]."""
        total: Tally[str] = Tally()
        for order, units in self.made[since:until]:
            total[order] += units
        return total

    def lost_in(self, steps: Iterable[int]) -> Tally[str]:
        """Units made by order in some steps that a register at its end did not count."""
        total: Tally[str] = Tally()
        for step in steps:
            total[self.made[step - 1][0]] += self.lost[step - 1]
        return total

    def at(self, moment: datetime) -> int:
        """The step that ended at a moment."""
        return round((moment - NOON) / STEP)

    # what the script does

    def run(self, steps: int, pattern: Sequence[int] = (0,)) -> None:
        """Make units by a repeating pattern, one entry a step."""
        for units in islice(cycle(pattern), steps):
            value, lost = self.register.value, self.register.lost
            for _ in range(units):
                if self.register.pulse():
                    self._troubled = self.step + SETTLED
                    if self.step < self._weighed[1]:  # it turns over while what a restart has left is being weighed
                        self.doubtful.append((self._weighed[0], self._troubled))
            self.made.append((self.order, units))
            self.lost.append(self.register.lost - lost)
            self.total[self.order] += units
            if self.register.value != value and self._mask is None:
                self._changed[COUNT] = self.step
            self._sample()
            if self._agent and self.step % 2 == 0:
                self.deliveries.append((Tick(self._now()),))

    def change_order(self) -> None:
        """The next order, with the line at rest."""
        if self.register.by_order:
            self.next_order(0, (0,), told_first=False)
            return
        self.run(SETTLED)
        self._order += 1
        self._tell_order()
        self.run(3)

    def next_order(self, lag: int, pattern: Sequence[int], *, told_first: bool) -> None:
        """The next order, with which the register begins anew; its number comes `lag` steps later, or, at rest, before.

        Without a calm line, or from so small a count that it soon climbs past, there is more than one explanation, or
        none that could be seen: the line then waits for the number.
        """
        if not self.register.by_order or not self._up:
            return
        if told_first:
            self.run(SETTLED)
            self._order += 1
            self._tell_order()
            self.run(lag)
            self._order -= 1
        value, reach = self.register.value, self._reach()
        began, is_plain = self._changed[COUNT], self.calm and reach < value < self.register.distinct - reach
        self._order += 1
        self.resets.append(self.step)
        self._total, self.register.value = self.register.value, 0
        self._changed[COUNT] = self._changed[FINAL] = self.step
        self.run(0 if is_plain else 1)
        self.run(0 if told_first else lag, pattern if is_plain else (0,))
        if not told_first:
            self._tell_order()
        if not is_plain:
            self.doubtful.append((began, self.step + SETTLED))
        self._troubled = self.step + SETTLED
        self.run(SETTLED, pattern)

    def glitch(self, share: float, steps: int, pattern: Sequence[int], *, up: bool) -> None:
        """Show another value for a moment, clearly below the true one or out of its reach."""
        value = self.register.value
        least, top = self.register.wraps_to, self.register.top
        low, high = (value + self._reach(), top) if up else (min(least, 0) if least < 0 else 0, value - 1)
        if self.calm and low <= high:
            self._show(low + round(share * (high - low)))
            self.run(steps, pattern)
            self._show(None)
        self.run(1, pattern)

    def bad_quality(self, steps: int, pattern: Sequence[int]) -> None:
        """The tag has no good value for a while."""
        began, calm = self._changed[COUNT], self.calm
        self._good = False
        self.run(steps, pattern)
        self._good = True
        if not calm or self._reach() >= self.register.distinct:
            self.doubtful.append((began, self.step + 1))
        self._troubled = self.step + SETTLED
        self.run(1, pattern)

    def reset_without_sign(self, pattern: Sequence[int]) -> None:
        """Back to zero with nothing to show for it, in full view."""
        if self.calm and self.register.value > 200 and self.register.distinct - self.register.value > self._reach():
            self.resets.append(self.step)
            self._upset(0, pattern)

    def restore(self, share: float, pattern: Sequence[int], *, up: bool) -> None:
        """Someone writes another value into the register, in full view."""
        value, top = self.register.value, self.register.top - 199
        low, high = (value + self._reach(), top) if up else (max(self.register.wraps_to, 0), value - 150)
        target = low + round(share * (high - low))
        if self.calm and low <= high and (up or self.register.distinct - (value - target) > self._reach()):
            self.upsets.append(self.step)
            self._upset(target, pattern)

    def outage(self, steps: int, pattern: Sequence[int], *, agent_down: bool = False, reboot: bool = False) -> None:
        """The session is lost and comes back; the server ran on."""
        began = self._changed[COUNT]
        calm = self.calm and self._changed[ORDER] < self._sure and self._start_known
        self._disconnect(agent_down=agent_down)
        self.run(steps, pattern)
        if not calm or self._reach() >= self.register.distinct:
            self.doubtful.append((began, self.step))
        if reboot:
            self._boot, self._booted_at = self._boot + 1, self.step - 1
        self._start_known = True
        self._connect(self._start_time)

    def server_restart(self, before: int, after: int, pattern: Sequence[int], *, told: bool, does: str) -> None:
        """The server restarts in an outage and the counter with it: retained, reset or restored.

        `told` is whether its StartTime can be read afterwards.
        """
        began, went, last = self._changed[COUNT], self.step, self.register.value
        calm = self.calm and self._changed[ORDER] < self._sure
        self._disconnect(agent_down=False)
        self.run(before, pattern)
        if does == "reset":
            self.resets.append(self.step)
            self.register.value = 0
            self._changed[COUNT] = self.step
        if does == "restore" and calm:
            self._restore_old(last, after)
        restarted, wrapped = self.step, self._troubled > went + SETTLED
        self.run(after, pattern)
        if not self._is_plain(last, does, calm=calm, wrapped=wrapped or self._troubled > restarted + SETTLED):
            self.doubtful.append((began, self.step))
        self._start_time = NOON + restarted * STEP - timedelta(milliseconds=1)
        self._start_known = told
        self._connect(self._start_time if told else None)
        self._weighed = (began, self.step + SETTLED)
        if does == "restore":
            self.run(SETTLED, pattern)

    def cut(self) -> None:
        """Someone asks for a cut."""
        self.deliveries.append((Cut(self._now()),))

    def come_to_rest(self) -> None:
        """The end of the script: everything settles."""
        self.run(2 * SETTLED)

    # how it is seen

    @property
    def calm(self) -> bool:
        """Nothing has happened that the agent may still be waiting for."""
        return self.step > self._troubled and self._good and self._mask is None

    def _reach(self) -> int:
        """Clearly more than the line can make until what is seen next has settled."""
        seconds = 2.0 if self._up and self.calm else (self.step - self._sure) / 10
        return round(25 * (seconds + 8)) + 60

    def _is_plain(self, last: int, does: str, *, calm: bool, wrapped: bool) -> bool:
        """Whether the evidence of a restart leaves one explanation only."""
        value, reach = self.register.value, self._reach()
        if not calm or wrapped or reach >= self.register.distinct:
            return False
        if does == "reset":
            return value + 100 < last and self.register.distinct - last + value > reach
        return does == "retain" and value > reach

    def _restore_old(self, last: int, after: int) -> None:
        """An older value that is out of the line's reach by any reckoning, or none."""
        reach = self._reach() + 3 * after
        drop = 150 + 3 * after
        older = last - drop
        if reach < older and self.register.distinct - drop > reach:
            self.upsets.append(self.step)
            self.register.value = older
            self._changed[COUNT] = self.step

    def _upset(self, value: int, pattern: Sequence[int]) -> None:
        self.doubtful.append((self.step, self.step + SETTLED))
        self.register.value = value
        self._changed[COUNT] = self.step
        self._troubled = self.step + SETTLED
        self.run(SETTLED, pattern)

    def _show(self, mask: int | None) -> None:
        self._mask = mask
        self._troubled = self.step + SETTLED
        self._changed[COUNT] = self.step

    def _tell_order(self) -> None:
        self._told_order, self._changed[ORDER] = self._order, self.step

    def _now(self) -> Instant:
        since_boot = (self.step - self._booted_at) * 100_000_000
        return Instant(NOON + self.step * STEP, since_boot, f"boot-{self._boot}")

    def _reading(self, tag: object, *, continuous: bool) -> Reading:
        time = NOON + (self.step if continuous else self._changed[tag]) * STEP  # type: ignore[index]  # all tags are in it
        if tag == ORDER:
            return Reading(ORDER, f"order-{self._told_order}", Quality.GOOD, self._now(), 0, time, None, continuous)
        if tag == FINAL:
            total = self.register.shows(self._total)
            return Reading(FINAL, total, Quality.GOOD, self._now(), 0, time, None, continuous)
        shown = self.register.shows(self.register.value if self._mask is None else self._mask)
        quality = Quality.GOOD if self._good else Quality.BAD
        return Reading(COUNT, shown if self._good else None, quality, self._now(), 0, time, None, continuous)

    def _sample(self) -> None:
        """The server samples, queues what changed, and publishes now and then."""
        if not self._up:
            return
        for tag in self._tags:
            reading = self._reading(tag, continuous=True)
            if self._told[tag] != (reading.value, reading.quality):
                self._told[tag] = (reading.value, reading.quality)
                self._queue.append(reading)
        if self._queue and self.step % self._publish == 0:
            self._deliver(self._queue)
            self._queue = []

    def _deliver(self, readings: list[Reading]) -> None:
        now = self._now()
        arrived = (Reading(r.tag, r.value, r.quality, now, 0, r.source_time, None, r.continuous) for r in readings)
        self.deliveries.append(tuple(arrived))
        if self.calm and any(reading.tag == COUNT for reading in readings):
            self._sure = self.step

    def _disconnect(self, *, agent_down: bool) -> None:
        self._up, self._agent, self._queue = False, not agent_down, []
        self._troubled = max(self._troubled, self.step)
        self.deliveries.append((SourceChange("plc", Link.LOST, self._now()),))

    def _connect(self, start_time: datetime | None) -> None:
        """A new session: everything is read."""
        self._up = self._agent = True
        self.deliveries.append((SourceChange("plc", Link.UP, self._now(), start_time),))
        readings = [self._reading(tag, continuous=False) for tag in self._tags]
        self._told = {reading.tag: (reading.value, reading.quality) for reading in readings}
        self._deliver(readings)
        self._troubled = self.step + SETTLED
