"""The agent as it is, which also says what it has dealt with; its arguments: MAP DATA GRANTS commit|puback.

It grants the benchmark's device credit for what is committed, or for what the broker has acknowledged; when it ends it
prints one JSON object: milliseconds from each change to its PUBACK, where that was asked for.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from edge_agent.bootstrap import calm_collector, run_agent
from edge_agent.broker import Acknowledged, Broker, Message, PubAck, Session
from edge_agent.composition import Parts, Settings
from edge_agent.derivation.engine import Input
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Reading
from edge_agent.pipeline import Pipeline
from edge_agent.publishing.relay import Relay

_TOGETHER = 20
"""Acknowledgements per datagram; what is left over goes with the next commit."""


class Grants:
    """Credit for the device, in UDP datagrams."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._waiting = 0

    def give(self, number: int, *, at_least: int = 1) -> None:
        """Grant what has been dealt with, once it is `at_least` so many."""
        self._waiting += number
        if self._waiting >= at_least:
            self._socket.send(str(self._waiting).encode())
            self._waiting = 0


class CommitGrants(Pipeline):
    """Grants the changes of each group when it is committed."""

    grants: ClassVar[Grants]

    async def process(self, inputs: Sequence[Input]) -> Outcome:
        """Fold, commit, and grant what a subscription brought; what was read at the beginning is nobody's change."""
        outcome = await super().process(inputs)
        changes = sum(isinstance(item, Reading) and item.continuous for item in inputs)
        if changes:
            self.grants.give(changes)
        return outcome


class _Timed:
    """A session that notes when each event is acknowledged."""

    def __init__(self, session: Session, grants: Grants, seen: list[tuple[int, bytes]]) -> None:
        self._session = session
        self._grants = grants
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        """Hand on; what is retained or expires is the agent's word of itself, no event."""
        if message.retain or message.expiry is not None:
            self._session.publish(message, acknowledged)
            return

        def noted(puback: PubAck) -> None:
            self._seen.append((time.time_ns(), message.payload))
            self._grants.give(1, at_least=_TOGETHER)
            acknowledged(puback)

        self._session.publish(message, noted)


class _TimedBroker:
    def __init__(self, broker: Broker, grants: Grants, seen: list[tuple[int, bytes]]) -> None:
        self._broker = broker
        self._grants = grants
        self._seen = seen

    async def connect(self, will: Message) -> Any:
        """A session that notes."""
        return _Timed(await self._broker.connect(will), self._grants, self._seen)


class PubackGrants(Relay):
    """Grants each event when the broker has acknowledged it."""

    grants: ClassVar[Grants]
    seen: ClassVar[list[tuple[int, bytes]]] = []

    def __init__(self, broker: Broker, *arguments: Any, **options: Any) -> None:
        super().__init__(_TimedBroker(broker, self.grants, self.seen), *arguments, **options)


def _milliseconds(acknowledged: int, payload: bytes) -> float:
    """From the device's time of the change to its PUBACK."""
    evidence = json.loads(payload)["data"]["materialActual"][0]["evidence"]
    return acknowledged / 1e6 - datetime.fromisoformat(evidence["lastSourceTime"]).timestamp() * 1e3


def main() -> None:
    """Run until SIGTERM."""
    config, data, port, when = sys.argv[1:]
    CommitGrants.grants = PubackGrants.grants = Grants(int(port))
    parts = Parts(pipeline=CommitGrants) if when == "commit" else Parts(relay=PubackGrants)
    calm_collector()
    asyncio.run(run_agent(Settings((Path(config),), Path(data)), parts))
    print(json.dumps({"milliseconds": [_milliseconds(at, payload) for at, payload in PubackGrants.seen]}))


if __name__ == "__main__":
    main()
