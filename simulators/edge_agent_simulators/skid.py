"""The dosing skid as a process: `python -m edge_agent_simulators.skid --seed 7`, with `--for 60` faults by plan.

In real time the skid moves by the wall clock: a tick of 50 ms is one tick of its time, and a stall of the host is never
caught up. See `service` for the control channel, `_Control` for the commands, `skid_registers` for the registers,
`skid_faults` for the faults.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from edge_agent_simulators.ledger import key_of
from edge_agent_simulators.plc import UINT32
from edge_agent_simulators.service import Command, Json, log_to_stderr, serve
from edge_agent_simulators.skid_device import KG_PER_COUNT, SYRUP, TICK, VirtualSkid
from edge_agent_simulators.skid_faults import Kind
from edge_agent_simulators.skid_registers import ORDERS, Manners
from edge_agent_simulators.skid_script import plan
from edge_agent_simulators.skid_wire import Station

_LEAST = timedelta(microseconds=1)
_WRAP_AFTER = Decimal("0.35")
"""Of the script's duration: about then the totalizer wraps."""
_COUNTS_TO_WRAP = 500
"""Without a script."""
_OWN_WORDS = frozenset({"cmd", "fault", "times", "seconds"})


class LiveSkid:
    """A virtual skid moved by the wall clock, and its station."""

    def __init__(self, skid: VirtualSkid, unit: int) -> None:
        self.skid = skid
        self.station = Station(skid, unit)

    async def run(self) -> None:
        """Tick until cancelled: at least 50 ms apart on average, never two at once."""
        due = time.monotonic()
        while True:
            due += TICK.total_seconds()
            late = time.monotonic() - due
            if late > 0:
                due += late
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.skid.tick(max(datetime.now(UTC), self.skid.now + _LEAST))
            if self.station.listening and not self.skid.online:
                await self.station.go_down()
            elif self.skid.online and not self.station.listening:
                await self.station.listen(self.station.port)


class _Control:
    """The commands. Times are ISO 8601 with zone, quantities decimal strings in kg."""

    def __init__(self, live: LiveSkid) -> None:
        self._live = live
        self._skid = live.skid

    @property
    def commands(self) -> dict[str, Command]:
        """By name."""
        return {
            "dose": self.dose,
            "rest": self.rest,
            "order": self.order,
            "set": self.set,
            "status": self.status,
            "ledger": self.ledger,
            "truth": self.truth,
            "seen": self.seen,
            "faults": self.faults,
            "inject": self.inject,
            "clear": self.clear,
        }

    def dose(self, _request: Json) -> Json:
        """Open the valve."""
        self._skid.dose()
        return {"at": self._skid.now.isoformat()}

    def rest(self, _request: Json) -> Json:
        """Shut the valve; `status` says for how long it has been (`rested`, seconds)."""
        self._skid.rest()
        return {"at": self._skid.now.isoformat()}

    def order(self, request: Json) -> Json:
        """What is dosed from now on is for `number`; at rest only."""
        self._skid.set_order(request["number"])
        return {"order": self._skid.order}

    def set(self, request: Json) -> Json:
        """Preset the totalizer to `dosed` counts of 0.1 kg; at rest only."""
        self._skid.set_dosed(request["dosed"])
        return {"set": True}

    def status(self, _request: Json) -> Json:
        """Where everything stands."""
        return {**self._skid.status(), "listening": self._live.station.listening}

    def ledger(self, _request: Json) -> Json:
        """The truth: kilograms by key."""
        return {"ledger": {key: str(kg) for key, kg in self._skid.totals().items()}}

    def truth(self, request: Json) -> Json:
        """Kilograms of `key` dosed after `from` and not after `to`."""
        since, until = (datetime.fromisoformat(request[name]) for name in ("from", "to"))
        return {"truth": str(self._skid.truth(request["key"], since, until))}

    def seen(self, request: Json) -> Json:
        """Kilograms of `key` dosed between what clients knew at `from` and at `to`."""
        since, until = (datetime.fromisoformat(request[name]) for name in ("from", "to"))
        return {"truth": str(self._skid.seen(request["key"], since, until))}

    def faults(self, _request: Json) -> Json:
        """Every fault so far."""
        return {"faults": [fault.as_json() for fault in self._skid.faults]}

    def inject(self, request: Json) -> Json:
        """A fault now: `fault`, for `times` answers or `seconds`, and what else `skid_faults.Kind` says of it."""
        kind = Kind(request["fault"])
        parameters = {name: value for name, value in request.items() if name not in _OWN_WORDS}
        fault = self._skid.inject(kind, parameters, times=request.get("times"), seconds=request.get("seconds"))
        if kind is Kind.RESET:
            fault.hits = self._live.station.reset()
        return {"fault": fault.as_json()}

    def clear(self, request: Json) -> Json:
        """End a fault of the wire (`fault`), or all."""
        kind = Kind(request["fault"]) if "fault" in request else None
        return {"cleared": self._skid.wire.clear(self._skid.now, kind)}


def _skid(arguments: argparse.Namespace) -> VirtualSkid:
    rate = int(arguments.rate * 1000)
    counts, script = _COUNTS_TO_WRAP, []
    if arguments.seconds is not None:
        counts = int(arguments.rate / KG_PER_COUNT * Decimal(arguments.seconds) * _WRAP_AFTER)
        script = plan(arguments.seed, arguments.seconds, serial=arguments.serial is not None)
    return VirtualSkid(
        arguments.seed,
        datetime.now(UTC),
        rate=rate,
        dosed=UINT32 - counts if arguments.dosed is None else arguments.dosed,
        manners=Manners(arguments.order, arguments.most_registers),
        script=script,
    )


async def _main(arguments: argparse.Namespace) -> None:
    live = LiveSkid(_skid(arguments), arguments.unit)
    tasks: list[asyncio.Task[None]] = []
    try:
        await live.station.listen(arguments.port)
        if arguments.serial is not None:
            await live.station.open_serial(arguments.serial, arguments.baud)
        tasks = [
            asyncio.create_task(live.run(), name="skid"),
            asyncio.create_task(serve(_ready(live, arguments), _Control(live).commands), name="control"),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        await live.station.close()
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


def _ready(live: LiveSkid, arguments: argparse.Namespace) -> Json:
    return {
        "port": live.station.port,
        "url": f"tcp://127.0.0.1:{live.station.port}",
        "serial": live.station.serial,
        "unit": arguments.unit,
        "order": arguments.order,
        "dosed": live.skid.values.dosed,
        "keys": {"dosed": key_of(SYRUP, "{order}")},
    }


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description="A dosing skid as a Modbus device.")
    parser.add_argument("--port", type=int, default=0, help="of Modbus TCP; 0 (default) takes a free one")
    parser.add_argument("--serial", help="also answer RTU on this tty; `pty` makes one, see `serial` of the first line")
    parser.add_argument("--baud", type=int, default=19200)
    parser.add_argument("--unit", type=int, default=1)
    parser.add_argument("--order", choices=ORDERS, default="CDAB", help="of the words and bytes of long values")
    parser.add_argument("--most-registers", type=int, default=125, help="at once, else exception 3")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rate", type=Decimal, default=Decimal("1.2"), help="mean flow in kg/s")
    parser.add_argument("--dosed", type=int, help="what the totalizer shows first; by itself it soon wraps")
    parser.add_argument("--for", dest="seconds", type=float, help="faults by plan over so many seconds of dosing")
    log_to_stderr()
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
