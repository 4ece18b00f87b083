"""The dosing skid without any protocol: advance it, read its registers, give it an order, ask for the truth.

The Modbus shell moves the very same object by the wall clock; tests move it by a clock of their own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

from edge_agent_simulators.ledger import Ledger, key_of
from edge_agent_simulators.physics import TICK_MS, TICKS_PER_SECOND, ticks
from edge_agent_simulators.plc import UINT32, CounterRegister
from edge_agent_simulators.skid_faults import AFTERMATH, OUTAGES, Fault, Kind, WireFaults, parameters_of
from edge_agent_simulators.skid_physics import PORTION_GRAMS, Dosing
from edge_agent_simulators.skid_registers import Manners, Values, answer, shows_dosed
from edge_agent_simulators.skid_script import Planned

SYRUP = ("consumed", "100200", "L3-SYRUP")
KG_PER_COUNT = Decimal("0.1")
TICK = timedelta(milliseconds=TICK_MS)
_LIFETIME = 2**53 + 1
"""Milligrams dosed before the run."""
_MG_PER_COUNT = PORTION_GRAMS * 1000
_SURE_SECONDS = 8
"""A totalizer set to zero from more than it counts in this time has not climbed back before it is read again."""
_SURE_TO_WRAP_SECONDS = 600
"""A totalizer further from its wrap than it counts in this time has not wrapped unseen."""
_FASTEST = Decimal("1.2")
"""The flow's greatest multiple of its mean."""


@dataclass(slots=True)
class _Restart:
    """`down_at`, `up_at` and `over_at` are ticks from its beginning; between them it is calm, gone, calm."""

    fault: Fault
    down_at: int
    up_at: int
    over_at: int
    ticks: int = 0


class VirtualSkid:
    """The skid by `seed`. `rate` in grams per second, `dosed` what the totalizer shows first. At rest until `dose()`.

    `script` are faults by seconds of dosing time.
    """

    def __init__(
        self,
        seed: int,
        start: datetime,
        *,
        rate: int = 1200,
        dosed: int = UINT32 - 500,
        manners: Manners | None = None,
        name: str = "SYRUP SKID 3",
        script: Sequence[Planned] = (),
    ) -> None:
        self.now = start
        self.order = ""
        self.manners = manners or Manners()
        self.name = name
        self.ledger = Ledger()
        self.faults: list[Fault] = []
        self.wire = WireFaults()
        self._dosing = Dosing(seed, rate)
        self._totalizer = CounterRegister("dosed", UINT32, dosed % UINT32)
        self._wanted = False
        self._rested = 0
        self._elapsed = 0
        self._restart: _Restart | None = None
        self._glitch: tuple[Fault, datetime] | None = None
        self._told: int | None = None
        self._seen: list[tuple[datetime, datetime]] = []
        self._script = list(script)

    @property
    def online(self) -> bool:
        """Whether it answers at all."""
        restart = self._restart
        return restart is None or not restart.down_at <= restart.ticks < restart.up_at

    @property
    def at_rest(self) -> bool:
        """The valve is shut, and stays so until `dose()` or a restart's end."""
        return not self._dosing.open

    @property
    def values(self) -> Values:
        """What the registers show now."""
        dosing = self._dosing
        return Values(
            level=dosing.litres,
            dosed=self._totalizer.shown,
            temperature=dosing.decidegrees,
            dosing=dosing.open,
            refilling=dosing.refilling,
            lifetime=_LIFETIME + dosing.portions * _MG_PER_COUNT,
            name=self.name,
        )

    def dose(self) -> None:
        """Open the valve. Raises ValueError without an order: nothing is dosed for nobody."""
        if not self.order:
            msg = "give the skid an order first"
            raise ValueError(msg)
        self._wanted = True
        self._dosing.open = self._restart is None

    def rest(self) -> None:
        """Shut the valve."""
        self._wanted = self._dosing.open = False

    def set_order(self, number: str) -> None:
        """What is dosed from now on is for `number`. Raises ValueError unless at rest."""
        if self._wanted or not self.at_rest:
            msg = "the order changes at rest only"
            raise ValueError(msg)
        before, self.order = self.order, number
        if before and before != number:
            self._doubtful([key_of(SYRUP, before), self._key])

    def _doubtful(self, keys: list[str]) -> None:
        """Who loses sight of the skid cannot tell whose it was across a change of order, nor a wrap from a reset."""
        for fault in self.faults:
            if fault.kind in OUTAGES and (fault.ended is None or self.now - fault.ended < AFTERMATH):
                fault.may_review = list(dict.fromkeys((*fault.may_review, *keys)))

    def set_dosed(self, counts: int) -> None:
        """Preset the totalizer. Raises ValueError unless at rest."""
        if self._wanted or not self.at_rest:
            msg = "the totalizer is preset at rest only"
            raise ValueError(msg)
        self._totalizer.value = counts % UINT32

    def advance(self, by: timedelta) -> None:
        """Move on by whole ticks of 50 ms of virtual time."""
        count, rest = divmod(by, TICK)
        if rest:
            msg = f"{by} is no whole number of ticks of {TICK_MS} ms"
            raise ValueError(msg)
        for _ in range(count):
            self.tick(self.now + TICK)

    def tick(self, at: datetime) -> None:
        """Move on by one tick that ends at `at`, which must be later than the last."""
        if at <= self.now:
            msg = f"time went back from {self.now.isoformat()} to {at.isoformat()}"
            raise ValueError(msg)
        self.now = at
        self.wire.step(at)
        self._step_glitch()
        self._step_restart()
        self._step_script()
        if portions := self._dosing.tick():
            self.ledger.count(self._key, portions, at)
            if self._totalizer.count(portions):
                wrap = self._begin(Kind.WRAP32)
                wrap.before, wrap.after, wrap.ended = UINT32 - 1, 0, at
                self._doubtful([self._key])
        self._rested = 0 if self._dosing.open else self._rested + 1

    def answer(self, request: bytes, values: Values) -> bytes:
        """The response PDU to a request PDU, with the armed faults of its content."""
        manners = self.manners
        response = answer(request, values, manners)
        for kind in (Kind.TORN, Kind.LIMIT):
            bent = self.wire.bent(manners, kind)
            if bent is not None and (other := answer(request, values, bent)) != response:
                self.wire.hit(kind, self.now)
                response = other
        return self.wire.falsified(response, self.now)

    def told(
        self, request: bytes, response: bytes, values: Values, seen: tuple[datetime, datetime] | None = None
    ) -> None:
        """The response to `request`, made of `values`, has gone out as it should.

        `seen` is when by the clock of the wall, and what of the skid's time it shows.
        """
        if shows_dosed(request, response):
            self._told = values.dosed
            self._seen.append(seen or (self.now, self.now))

    def inject(
        self,
        kind: Kind,
        parameters: dict[str, Any],
        *,
        times: int | None = None,
        seconds: float | None = None,
        planned: float | None = None,
    ) -> Fault:
        """Begin a fault, see `Kind`. Raises ValueError where it cannot be."""
        if kind is Kind.WRAP32 or (self._restart and kind is Kind.RESTART) or (self._glitch and kind is Kind.GLITCH):
            msg = f"{kind} cannot be begun now"
            raise ValueError(msg)
        parameters = parameters_of(kind, parameters)
        if kind is Kind.RESTART and parameters["totalizer"] not in {"kept", "zero", "older"}:
            msg = f"totalizer {parameters['totalizer']!r}: kept, zero or older"
            raise ValueError(msg)
        fault = self._begin(kind, parameters, planned)
        if kind is Kind.RESTART:
            self._begin_restart(fault)
        elif kind is Kind.GLITCH:
            self._totalizer.masked = fault.after = int(parameters["value"])
            self._glitch = fault, self.now + timedelta(seconds=1.0 if seconds is None else seconds)
        elif kind is Kind.RESET:
            fault.ended = self.now  # the shell has done it before it tells
        else:
            self.wire.arm(fault, times, seconds)
        return fault

    def truth(self, key: str, since: datetime, until: datetime) -> Decimal:
        """Kilograms of `key` dosed after `since` and not after `until`."""
        return self.ledger.truth(key, since, until) * KG_PER_COUNT

    def seen(self, key: str, since: datetime, until: datetime) -> Decimal:
        """Kilograms of `key` that the last answer until `until` shows beyond the last one until `since`.

        A client knows no time but that of an answer's arrival, and what was dosed on its way is in the next one.
        """
        return self.truth(key, self._shown(since), self._shown(until))

    def _shown(self, at: datetime) -> datetime:
        """What of the skid's time was known at `at` by the clock of the wall."""
        index = bisect_right(self._seen, at, key=itemgetter(0))
        return self._seen[index - 1][1] if index else at

    def totals(self) -> dict[str, Decimal]:
        """Kilograms dosed, by key."""
        return {key: counts * KG_PER_COUNT for key, counts in self.ledger.totals().items()}

    def status(self) -> dict[str, Any]:
        """For people and tests: where everything stands."""
        return {
            "online": self.online,
            "order": self.order,
            "dosing": self._dosing.open,
            "at_rest": self.at_rest,
            "rested": self._rested / TICKS_PER_SECOND,
            "dosed": self._totalizer.value,
            "told": self._told,
            "portions": self._dosing.portions,
            "level": self._dosing.litres,
            "refilling": self._dosing.refilling,
            "restarting": self._restart is not None,
            "armed": self.wire.active,
            "script": {"elapsed": self._elapsed / TICKS_PER_SECOND, "left": len(self._script)},
        }

    @property
    def _key(self) -> str:
        return key_of(SYRUP, self.order)

    def _begin(self, kind: Kind, parameters: dict[str, Any] | None = None, planned: float | None = None) -> Fault:
        fault = Fault(kind, self.now, self.order, parameters or {}, planned, self._key)
        fault.before, fault.told = self._totalizer.value, self._told
        self.faults.append(fault)
        return fault

    def _begin_restart(self, fault: Fault) -> None:
        calm, down = ticks(fault.parameters["calm"]), ticks(fault.parameters["down"])
        self._restart = _Restart(fault, calm, calm + down, 2 * calm + down)
        self._dosing.open = False

    def _step_restart(self) -> None:
        restart = self._restart
        if restart is None:
            return
        if restart.ticks == restart.down_at:
            self._forget(restart.fault)
        restart.ticks += 1
        if restart.ticks > restart.over_at:
            restart.fault.ended = self.now
            self._restart = None
            self._dosing.open = self._wanted

    def _forget(self, fault: Fault) -> None:
        """Power is gone: the totalizer comes back as the fault says."""
        register, how = self._totalizer, fault.parameters["totalizer"]
        fault.before, fault.told = register.value, self._told
        per_second = self._dosing.rate * _FASTEST / PORTION_GRAMS
        if how == "zero":
            told = register.value if self._told is None else self._told
            fault.unseen = (register.value - told) % UINT32
            fault.gaps = [self._key] if fault.unseen else []
            sure = told > _SURE_SECONDS * per_second and register.to_wrap > _SURE_TO_WRAP_SECONDS * per_second
            fault.may_review = [] if sure else [self._key]
            register.value = 0
        elif how == "older":
            fault.may_review = [self._key]
            register.value = (register.value - fault.parameters["back"]) % UINT32
        fault.after = register.value

    def _step_glitch(self) -> None:
        if self._glitch is None:
            return
        fault, until = self._glitch
        if self.now >= until:
            self._totalizer.masked = None
            self._glitch = None
            fault.ended = self.now

    def _step_script(self) -> None:
        """Begin the next planned fault when its time has come and nothing else is going on."""
        if not self._dosing.open:
            return
        self._elapsed += 1
        if not self._script or self._elapsed < self._script[0].at or self.wire.active or self._glitch:
            return
        planned = self._script[0]
        if planned.after_wrap and self._totalizer.value > UINT32 // 2:
            return
        del self._script[0]
        self.inject(
            planned.kind,
            dict(planned.parameters),
            times=planned.times,
            seconds=planned.seconds,
            planned=planned.at / TICKS_PER_SECOND,
        )
