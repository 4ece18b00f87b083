"""A plant made up from a seed: some machines, fifty things that happen to them, and what was recorded of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.bits import Bits
from edge_agent_simulators.plants.events import Events
from edge_agent_simulators.plants.gated import Condition, Gated
from edge_agent_simulators.plants.lots import Batches, Hopper
from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.pallets import Pallets
from edge_agent_simulators.plants.recording import Recording, Value
from edge_agent_simulators.plants.rings import Ring
from edge_agent_simulators.plants.scales import Scale
from edge_agent_simulators.plants.totalizers import REGISTERS, Totalizer
from edge_agent_simulators.plants.vessels import Flow, Tank

Maker = Callable[[str, Random], Machine]

KINDS: Sequence[Maker] = (
    *(lambda name, random, register=register: Totalizer(name, random, register) for register in REGISTERS),
    Pallets,
    *(lambda name, random, numbered=numbered: Bits(name, random, numbered=numbered) for numbered in (False, True)),
    *(lambda name, random, numbered=numbered: Ring(name, random, numbered=numbered) for numbered in (False, True)),
    Events,
    *(lambda name, random, condition=condition: Gated(name, random, condition) for condition in Condition),
    Batches,
    Hopper,
    Tank,
    Scale,
    Flow,
)
_HEAD = """schema: 1
agent: plant
line: {enterprise: acme, site: berlin}
calendar: {time_zone: Europe/Berlin, day_starts: "06:00"}
mqtt: {url: "mqtt://127.0.0.1:1883", root: mat}
buffer: {max_size: 256 MiB, keep_sent: 90 d, when_full: stop-and-alarm}
sources:
  plc: {opcua: "opc.tcp://127.0.0.1:4840", security: None, namespaces: {pv: "urn:plant"}, sample: 1 s}
units: {pcs: {code: H87}, case: {code: XCS, of: 24 pcs}, kg: {code: KGM}, L: {code: LTR}}
materials:
  "1": {name: Piece, class: all, unit: pcs}
  "2": {name: Syrup, class: all, unit: L}
  "3": {name: Preform, class: all, unit: pcs, lot_tracked: true}
  "4": {name: Acid, class: all, unit: kg}
cadence:
  all: {send: every 1 min, stream: routine}
"""
_MACHINES = 4
"""Machines of a plant, each of another kind."""
_TROUBLED = 0.6
"""How likely a plant knows a kind of trouble at all: what none has hit has to be booked, all of it."""
_RUNS_IN = 15
"""Seconds at the beginning in which nothing happens: a level has to be smoothed before there is any."""
_IDLE = 6
"""Seconds at rest before an order changes in full view, and twice that afterwards."""
_RESTS = 30
"""Seconds at rest at the end: whatever is in doubt settles."""


class Plant:
    """`recording` is what was seen, `tag_map` what it means, `machines` know the truth."""

    def __init__(self, seed: int, steps: int = 50, kinds: Sequence[Maker] = KINDS) -> None:
        self.random = Random(seed)
        chosen = self.random.sample(range(len(kinds)), k=min(_MACHINES, len(kinds)))
        made = [kinds[index](f"m{place}", self.random) for place, index in enumerate(chosen)]
        self.machines = [machine for one in made for machine in (*one.parts(), one)]
        self.recording = Recording("plc")
        self.naive = {machine.movement: Fraction(0) for machine in self.machines}
        self._before: dict[str, dict[str, Value]] = {}
        self._order = 1
        self._started = Decimal(-1000)
        self._connected = True
        self.recording.up(self._started)
        self._sample(begins=True)
        self._run(_RUNS_IN)
        acts = [act for act in _ACTS if act not in _TROUBLES or self.random.random() < _TROUBLED]
        for _ in range(steps):
            self.random.choices([act for act, _ in acts], [weight for _, weight in acts])[0](self)
        self._run(self.random.randrange(5, 10))
        unended = [machine for machine in self.machines if machine.ends()]
        if unended:
            self.changes_order()
        while any(machine.waits for machine in self.machines):
            self._run(1, at_rest=True)
        self._run(_RESTS, at_rest=True)

    @property
    def order(self) -> str:
        """The order that runs now."""
        return f"order-{self._order}"

    @property
    def tag_map(self) -> str:
        """The map that a controls engineer would write for it."""
        entries = {"order_no": "{node: 'nsu={pv};s=order', type: string}"}
        rules = []
        for machine in self.machines:
            entries |= machine.tags()
            lines = (
                f"event: {machine.event}",
                f"material: '{machine.material}'",
                *(("order: plc.order_no",) if machine.has_order else ()),
                *machine.rule(),
            )
            rules.append(f"  {machine.movement}:\n" + "".join(f"    {line}\n" for line in lines))
        tags = "".join(f"    {name}: {entry}\n" for name, entry in entries.items())
        return f"{_HEAD}tags:\n  plc:\n{tags}movements:\n{''.join(rules)}"

    def _sample(self, quality: str = "good", *, confused: bool = False, begins: bool = False) -> None:
        """Everything is read, the order first; a session `begins` with it."""
        if not self._connected:
            self._write()
            return
        self.recording.read("order_no", self.order)
        for machine in self.machines:
            shown = machine.shown()
            if confused:
                shown = machine.misread() or shown
            for tag, value in shown.items():
                self.recording.read(tag, value, quality)
            if quality == "good":
                before = self._before.get(machine.movement, shown)
                self.naive[machine.movement] += machine.naive(before, shown)
                self._before[machine.movement] = shown
            for block in machine.heard(begins=begins):
                self.recording.confirm(block)

    def _write(self) -> None:
        """Nobody sees it."""
        self.recording.write("order_no", self.order)
        for machine in self.machines:
            for tag, value in machine.shown().items():
                self.recording.write(tag, value)

    def _run(self, seconds: int, *, at_rest: bool = False) -> None:
        for _ in range(seconds):
            self._pass(1, at_rest=at_rest)
            self._sample()

    def _pass(self, seconds: int, *, at_rest: bool = True) -> None:
        """Time goes by, and nobody looks."""
        for _ in range(seconds):
            self.recording.now += 1
            for machine in self.machines:
                (machine.rest if at_rest else machine.work)(self.order)

    def runs(self) -> None:
        """Work."""
        self._run(self.random.randrange(3, 20))

    def rests(self) -> None:
        """Nothing moves."""
        self._run(self.random.randrange(1, 15), at_rest=True)

    def changes_order(self) -> None:
        """Another order, with the machines at rest for a moment."""
        self._run(_IDLE, at_rest=True)
        self._next_order()
        self._run(2 * _IDLE, at_rest=True)

    def _next_order(self) -> None:
        self._order += 1
        for machine in self.machines:
            machine.order_changed()

    def changes_lots(self) -> None:
        """Other lots are begun, with the machines at rest for a moment."""
        self._run(_IDLE, at_rest=True)
        self._next_lots()
        self._run(2 * _IDLE, at_rest=True)

    def _next_lots(self) -> None:
        for machine in self.machines:
            machine.lot_changed()

    def is_misread(self) -> None:
        """One sample is nonsense."""
        self._run(2)
        self._pass(1)
        self._sample(confused=True)
        self._run(3)

    def is_bad(self) -> None:
        """The server marks some samples as bad."""
        self._hide()
        for _ in range(self.random.randrange(1, 5)):
            self._pass(1, at_rest=False)
            self._sample("bad")
        self._pass(1, at_rest=False)
        self._show()
        self._sample()

    def loses_sight(self) -> None:
        """The session is lost; the plant goes on, now and then with another order."""
        self._disconnect()
        self._run(self.random.randrange(2, 60))
        if self.random.random() < 0.3:
            self._next_order()
            for machine in self.machines:
                machine.upset = True
            self._run(self.random.randrange(2, 30))
        if self.random.random() < 0.2:
            self._next_lots()
            self._run(self.random.randrange(2, 30))
        self._connect()

    def restarts(self) -> None:
        """The PLC restarts, with or without its memory; it may have worked a little since it was last seen."""
        self._disconnect()
        self._run(self.random.randrange(0, 3))
        self._pass(self.random.randrange(2, 10))
        forgets = self.random.random() < 0.5
        for machine in self.machines:
            machine.restarted(forgets=forgets)
        self._started = self.recording.now
        self._connect()
        self._run(6, at_rest=True)

    def is_restored(self) -> None:
        """Somebody loads an old backup into the PLC while it is at rest."""
        self._run(6, at_rest=True)
        changed = [machine.restored() for machine in self.machines]
        if any(changed):
            self._run(8, at_rest=True)

    def _hide(self) -> None:
        for machine in self.machines:
            machine.hidden()

    def _show(self) -> None:
        for machine in self.machines:
            machine.seen_again()

    def _disconnect(self) -> None:
        self._hide()
        self._pass(1)
        self.recording.lost()
        self._connected = False

    def _connect(self) -> None:
        self._pass(1)
        self._connected = True
        self._show()
        self.recording.up(self._started)
        self._sample(begins=True)


_ACTS: Sequence[tuple[Callable[[Plant], None], int]] = (
    (Plant.runs, 8),
    (Plant.rests, 2),
    (Plant.changes_order, 2),
    (Plant.changes_lots, 1),
    (Plant.is_misread, 2),
    (Plant.is_bad, 1),
    (Plant.loses_sight, 2),
    (Plant.restarts, 1),
    (Plant.is_restored, 1),
)
_TROUBLES = frozenset(act for act in _ACTS if act[0] not in {Plant.runs, Plant.rests})
