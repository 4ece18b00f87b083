"""The bottling line as a process: `python -m edge_agent_simulators.line --for 60 --seed 7`.

In real time the plant moves by the wall clock: a tick of 50 ms is one tick of plant time, and a stall of the host is
never caught up. See `service` for the control channel, `_Control` for the commands.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime, timedelta

from edge_agent_simulators.faults import Kind
from edge_agent_simulators.ledger import key_of
from edge_agent_simulators.machine import KEYS
from edge_agent_simulators.opcua import NAMESPACE, LineServer
from edge_agent_simulators.physics import ticks
from edge_agent_simulators.plc import Pallet
from edge_agent_simulators.service import Command, Json, log_to_stderr, serve
from edge_agent_simulators.virtual import TICK, Change, Event, Lost, Up, VirtualLine

_LEAST = timedelta(microseconds=1)


class LiveLine:
    """A virtual line moved by the wall clock, `speedup` times as fast, and published over OPC UA."""

    def __init__(self, line: VirtualLine, speedup: int = 1) -> None:
        self.line = line
        self._speedup = speedup
        self.server = LineServer(self._written)
        self.listening = False

    async def open(self, port: int) -> None:
        """Start serving; the plant is at rest."""
        await self.server.start(port, self.line.snapshot())
        self.listening = True

    async def run(self) -> None:
        """Tick until cancelled: at least 50 ms apart on average, never two at once."""
        due = time.monotonic()
        while True:
            due += TICK.total_seconds()
            late = time.monotonic() - due
            if late > 0:
                due += late
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            for event in self._ticked():
                await self._tell(event)

    def _ticked(self) -> list[Event]:
        """What a client is told of this tick; where many are one, of each register its last value."""
        events: list[Event] = []
        began = self.line.now
        step = max(datetime.now(UTC) - began, self._speedup * _LEAST) / self._speedup
        for turn in range(1, self._speedup + 1):
            self.line.tick(max(began + turn * step, self.line.now + _LEAST), events)
        if self._speedup == 1 or not all(isinstance(event, Change) for event in events):
            return events
        return list({event.name: event for event in events if isinstance(event, Change)}.values())

    async def _tell(self, event: Event) -> None:
        if isinstance(event, Change):
            await self.server.publish(event)
        elif isinstance(event, Lost):
            await self.server.go_down()
            self.listening = False
        else:
            assert isinstance(event, Up)  # noqa: S101 - there are no others
            await self.server.come_up(event.start_time, self.line.snapshot())
            self.listening = True

    def _written(self, name: str, value: int) -> None:
        if self.line.online:
            self.line.write(name, value)


class _Control:
    """The commands. Times are ISO 8601 with zone, quantities decimal strings."""

    def __init__(self, live: LiveLine) -> None:
        self._live = live
        self._line = live.line

    @property
    def commands(self) -> dict[str, Command]:
        """By name."""
        return {
            "start": self.start,
            "stop": self.stop,
            "status": self.status,
            "ledger": self.ledger,
            "faults": self.faults,
            "truth": self.truth,
            "handshakes": self.handshakes,
            "inject": self.inject,
            "set": self.set,
            "forget": self.forget,
            "next_order": self.next_order,
            "restart_server": self.restart_server,
        }

    def start(self, _request: Json) -> Json:
        """Run the line, or run it on."""
        self._line.start()
        return {"at": self._line.now.isoformat()}

    def stop(self, _request: Json) -> Json:
        """Let the line come to rest; `status` says when it has."""
        self._line.stop()
        return {"at": self._line.now.isoformat()}

    def status(self, _request: Json) -> Json:
        """Where everything stands."""
        return {**self._line.status(), "online": self._live.listening}

    def ledger(self, _request: Json) -> Json:
        """The truth: units by key."""
        return {"ledger": {key: str(units) for key, units in self._line.totals().items()}}

    def faults(self, _request: Json) -> Json:
        """Every fault so far."""
        return {"faults": [fault.as_json() for fault in self._line.faults]}

    def truth(self, request: Json) -> Json:
        """Units of `key` made after `from` and not after `to`."""
        since, until = (datetime.fromisoformat(request[name]) for name in ("from", "to"))
        return {"truth": str(self._line.truth(request["key"], since, until))}

    def handshakes(self, _request: Json) -> Json:
        """Every pallet that was raised, in order."""
        return {"handshakes": [_pallet(pallet) for pallet in self._line.pallets]}

    def inject(self, request: Json) -> Json:
        """A fault now: `glitch` {counter, value, seconds} or a restart {counter, value, seconds, reraise, forgets}."""
        kind, length = Kind(request["fault"]), ticks(request.get("seconds", 1.5))
        counter, value = request.get("counter"), request.get("value", 0)
        if kind is Kind.GLITCH:
            fault = self._line.inject_glitch(request["counter"], value, length)
        else:
            how = {name: bool(request.get(name, False)) for name in ("reraise", "forgets")}
            fault = self._line.inject_restart(kind, length, counter, value, **how)
        return {"fault": fault.as_json()}

    def set(self, request: Json) -> Json:
        """Preset a counter (`counter`, `value`) or the order (`order`), at rest."""
        if "order" in request:
            self._line.set_order(request["order"])
        else:
            self._line.set_register(request["counter"], request["value"])
        return {"set": True}

    def forget(self, _request: Json) -> Json:
        """Begin the count of pallets anew, without a restart; while none waits."""
        self._line.forget()
        return {"forgot": True}

    def next_order(self, request: Json) -> Json:
        """End the present order and run `number`."""
        self._line.next_order(request["number"])
        return {"next": request["number"]}

    def restart_server(self, request: Json) -> Json:
        """A PLC restart that retains everything."""
        fault = self._line.inject_restart(Kind.PLC_RESTART, ticks(request.get("seconds", 1.5)))
        return {"fault": fault.as_json()}


def _pallet(pallet: Pallet) -> Json:
    return {
        "number": pallet.number,
        "cases": pallet.cases,
        "sscc": pallet.sscc,
        "raised": pallet.raised.isoformat() if pallet.raised else None,
        "acknowledged": pallet.acknowledged.isoformat() if pallet.acknowledged else None,
        "result": pallet.result,
        "acknowledgements": pallet.acknowledgements,
        "reraised": pallet.reraised,
        "overruns": pallet.overruns,
    }


async def _main(arguments: argparse.Namespace) -> None:
    duration = None if arguments.no_script else timedelta(seconds=arguments.seconds)
    line = VirtualLine(arguments.seed, duration, datetime.now(UTC), cases_per_pallet=arguments.cases_per_pallet)
    live = LiveLine(line, arguments.speedup)
    await live.open(arguments.port)
    running = asyncio.create_task(live.run(), name="plant")
    answering = asyncio.create_task(serve(_ready(live), _Control(live).commands), name="control")
    try:
        await asyncio.wait({running, answering}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (running, answering):
            task.cancel()
        ended = await asyncio.gather(running, answering, return_exceptions=True)
        await live.server.stop()
    for outcome in ended:
        if isinstance(outcome, Exception):
            raise outcome


def _ready(live: LiveLine) -> Json:
    return {
        "port": live.server.port,
        "url": f"opc.tcp://127.0.0.1:{live.server.port}",
        "namespace": NAMESPACE,
        "orders": [order.number for order in live.line.plan.orders],
        "keys": {counter: key_of(what, "{order}") for counter, what in KEYS.items()},
    }


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description="A bottling line as an OPC UA server.")
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--for", dest="seconds", type=float, default=60.0, help="duration of the script in seconds")
    parser.add_argument("--no-script", action="store_true", help="one order for ever, no faults but injected ones")
    parser.add_argument("--cases-per-pallet", type=int, default=4, help="of a full pallet, without a script")
    parser.add_argument("--speedup", type=int, default=1, help="how many times faster than life the plant moves")
    log_to_stderr()
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
