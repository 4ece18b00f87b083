"""The receiving ERP as a process: `python -m edge_agent_simulators.erp --port 1883 --folder DIR --system erp`.

An `Erp` behind MQTT 5: paho hands each message to the inbox before the broker has its acknowledgement; every quarter
of a second it posts what is ready and says what it has to say. Its control channel makes it misbehave.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho

from edge_agent_receiver.inbox import Outgoing
from edge_agent_receiver.timing import Timing
from edge_agent_simulators.erp_faults import Fault
from edge_agent_simulators.erp_system import Crashed, Erp, restore
from edge_agent_simulators.listener import Listener
from edge_agent_simulators.posting import decimal_string
from edge_agent_simulators.service import Command, Json, log_to_stderr, serve

_POLL_SECONDS = 0.1
_TIMING = Timing(first=0.5, longest=5.0, refused=5.0, gather=0.2, hello=1.0)
"""Quicker than in a plant: tests wait for it."""


class Front(Listener):
    """Ear and mouth. `erp` may be exchanged while it runs; what comes while there is none stays at the broker."""

    def __init__(self, name: str, root: str) -> None:
        super().__init__(name, root, manual_ack=True)
        self.lock = threading.Lock()
        self.erp: Erp | None = None
        self._publishing: list[tuple[paho.MQTTMessageInfo, Outgoing]] = []

    def received(self, message: paho.MQTTMessage) -> None:
        """Into the inbox; acknowledged to the broker after its commit."""
        with self.lock:
            if self.erp is None:
                return
            self.erp.receive([(message.topic, bytes(message.payload))], time.time())
        self.client.ack(message.mid, message.qos)

    async def work(self) -> None:
        """Post and speak for ever. A crash that was asked for ends the process, as kill -9 does."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self.client.is_connected():
                with self.lock:
                    self._work()

    def _work(self) -> None:
        if self.erp is None:
            return
        now = time.time()
        try:
            for message in self.erp.step(now):
                self._publishing.append((self.client.publish(message.topic, message.payload, qos=1), message))
        except Crashed:
            os.kill(os.getpid(), signal.SIGKILL)
        for info, message in self._publishing:
            if info.is_published():
                self.erp.sent(message, now)
        self._publishing = [(info, message) for info, message in self._publishing if not info.is_published()]


class Channel:
    """The control channel's commands; quantities are decimal strings."""

    def __init__(self, front: Front, arguments: argparse.Namespace) -> None:
        self._front = front
        self._arguments = arguments
        self._folder = Path(arguments.folder)

    def open(self) -> Erp:
        """A new run over the folder. Raises BooksBehind."""
        with self._front.lock:
            former = self._front.erp
            if former is not None:
                former.close()
            self._front.erp = None
            self._front.erp = Erp(
                self._folder,
                self._arguments.system,
                run=uuid.uuid4().hex[:16],
                now=time.time(),
                root=self._arguments.root,
                prove=self._arguments.prove,
                documents=not self._arguments.cumulative,
                timing=_TIMING,
                faults=None if former is None else former.faults,
                voice=None if former is None else former.voice,
            )
            return self._front.erp

    def close(self) -> None:
        """Close what is open."""
        with self._front.lock:
            if self._front.erp is not None:
                self._front.erp.close()
            self._front.erp = None

    def commands(self) -> dict[str, Command]:
        """By name."""
        return {
            "totals": lambda _request: {"totals": self._totals()},
            "documents": lambda _request: {"documents": self._documents()},
            "status": lambda _request: self._read().status() | {"posted_twice": self._read().books.posted_twice()},
            "discrepancies": lambda _request: {"discrepancies": self._read().discrepancies()},
            "fault": self._fault,
            "put-right": self._put_right,
            "voice": self._voice,
            "restart": lambda _request: {"highest": self.open().books.highest},
            "backup": self._backup,
            "restore": self._restore,
        }

    def _read(self) -> Erp:
        if self._front.erp is None:
            raise RuntimeError("it is closed: restart it")
        return self._front.erp

    def _totals(self) -> Json:
        with self._front.lock:
            sums = self._read().books.balances()
        return {"/".join(stock): decimal_string(quantity) for stock, quantity in sorted(sums.items())}

    def _documents(self) -> list[Any]:
        with self._front.lock:
            documents = self._read().books.documents()
        return [{"number": one.number, "event": one.event, "type": one.type, "day": one.day} for one in documents]

    def _fault(self, request: Json) -> Json:
        with self._front.lock:
            said = {key: value for key, value in request.items() if key not in {"cmd", "name"}}
            return {"name": self._read().faults.put(Fault.of(said), request.get("name"))}

    def _put_right(self, request: Json) -> Json:
        with self._front.lock:
            return {"ended": self._read().faults.put_right(request.get("name"))}

    def _voice(self, request: Json) -> Json:
        with self._front.lock:
            self._read().voice.set(request["manner"], float(request.get("seconds", 0)))
        return {"manner": request["manner"]}

    def _backup(self, request: Json) -> Json:
        with self._front.lock:
            self._read().backup(Path(request["into"]))
        return {"into": request["into"]}

    def _restore(self, request: Json) -> Json:
        """Restores files of a backup and opens the system again: `inbox`, `books`, both by default."""
        inbox, books = bool(request.get("inbox", True)), bool(request.get("books", True))
        self.close()
        restore(self._folder, Path(request["from"]), inbox=inbox, books=books)
        return {"highest": self.open().books.highest}


async def _main(arguments: argparse.Namespace) -> None:
    front = Front(arguments.system, arguments.root)
    channel = Channel(front, arguments)
    channel.open()
    front.start(arguments.host, arguments.port)
    work = asyncio.create_task(front.work(), name="work")
    try:
        if not await asyncio.to_thread(front.wait_until_subscribed):
            msg = f"no subscription at {arguments.host}:{arguments.port} in time"
            raise SystemExit(msg)
        await serve({"system": arguments.system}, channel.commands())
    finally:
        work.cancel()
        await asyncio.wait([work])
        front.stop()
        channel.close()


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description="An ERP that receives inventory events, and misbehaves on demand.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", required=True, help="where inbox and books are kept")
    parser.add_argument("--root", default="mat", help="first level of the topics")
    parser.add_argument("--system", default="erp")
    parser.add_argument("--prove", action="store_true", help="post only what the chain has proven")
    parser.add_argument("--cumulative", action="store_true", help="answer without document numbers")
    log_to_stderr()
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
