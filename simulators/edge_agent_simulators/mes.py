"""The receiving MES as a process: `python -m edge_agent_simulators.mes --host 127.0.0.1 --port 1883 --root mat`.

paho runs on a thread of its own and hands each message to the inbox before it is acknowledged to the broker; what the
inbox misses is asked for on `cmd/replay`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from paho.mqtt import client as paho

from edge_agent_simulators.inbox import Inbox, Replay
from edge_agent_simulators.listener import Listener
from edge_agent_simulators.posting import decimal_string
from edge_agent_simulators.service import Command, Json, log_to_stderr, serve

_POLL_SECONDS = 0.25


class Receiver(Listener):
    """The ear in front of an inbox."""

    def __init__(self, inbox: Inbox, name: str, root: str) -> None:
        super().__init__(name, root)
        self._inbox = inbox
        self._lock = threading.Lock()
        self._name = name

    def received(self, message: paho.MQTTMessage) -> None:
        """Into the inbox, before the broker has its acknowledgement."""
        with self._lock:
            self._inbox.receive(message.topic, bytes(message.payload))

    async def ask_for_gaps(self) -> None:
        """Ask for what is missing, until cancelled."""
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if self.client.is_connected():
                with self._lock:
                    due = self._inbox.requests(time.monotonic())
                for replay in due:
                    self.client.publish(replay.topic, self._command(replay), qos=1)

    def read(self, what: str, *arguments: Any) -> Any:
        """Ask the inbox something while no message is being taken in."""
        with self._lock:
            return getattr(self._inbox, what)(*arguments)

    def _command(self, replay: Replay) -> bytes:
        event = {
            "specversion": "1.0",
            "type": "io.edgeagent.cmd.replay.v1",
            "source": f"urn:mes:{self._name}",
            "id": str(uuid.uuid4()),
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "data": {"source": replay.source, "from": replay.first, "to": replay.last},
        }
        return json.dumps(event).encode()


def commands(receiver: Receiver) -> dict[str, Command]:
    """The control channel's commands; quantities are decimal strings."""

    def totals(_request: Json) -> Json:
        sums = receiver.read("totals")
        return {"totals": {key: decimal_string(sums[key]) for key in sorted(sums)}}

    return {
        "totals": totals,
        "stats": lambda _request: {**receiver.read("stats"), "connects": receiver.connects},
        "events": lambda _request: {"events": receiver.read("events")},
        "wire": lambda _request: {"wire": receiver.read("wire")},
        "reviews": lambda _request: {"reviews": receiver.read("of_type", "movement.inreview")},
        "exceptions": lambda _request: {"exceptions": receiver.read("of_type", "exception.raised")},
    }


async def _main(arguments: argparse.Namespace) -> None:
    inbox = Inbox(arguments.db)
    receiver = Receiver(inbox, arguments.client_id, arguments.root)
    receiver.start(arguments.host, arguments.port)
    asking = asyncio.create_task(receiver.ask_for_gaps(), name="replay")
    try:
        if not await asyncio.to_thread(receiver.wait_until_subscribed):
            msg = f"no subscription at {arguments.host}:{arguments.port} in time"
            raise SystemExit(msg)
        await serve({"client_id": arguments.client_id}, commands(receiver))
    finally:
        asking.cancel()
        await asyncio.wait([asking])
        receiver.stop()
        inbox.close()


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description="An MES that receives inventory events.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--root", default="mat", help="first level of the topics")
    parser.add_argument("--db", default=":memory:", help="file of the inbox; kept across restarts")
    parser.add_argument("--client-id", default="mes")
    log_to_stderr()
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()
