"""The agent, imported once and forked for every cycle, to be killed at a named point; controlled by JSON lines.

`{"cmd": "run", "kill_at": POINT, "hit": N, "bug": NAME}` forks an agent that kills itself with SIGKILL the Nth time it
passes POINT; `wait` waits for its end, `kill` kills it. The planted bugs are those that the harness must catch.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_agent.bootstrap import run_agent
from edge_agent.composition import Parts, Settings
from edge_agent.derivation.engine import Input
from edge_agent.errors import SourceError
from edge_agent.model.event import Render, StoredEvent
from edge_agent.model.outcome import Outcome
from edge_agent.model.state import State
from edge_agent.pipeline import Pipeline
from edge_agent.publishing.relay import Relay
from edge_agent.store import checkpoint
from edge_agent.store.connection import Connection
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent_simulators.service import Command, serve

PLANTED = "planted"
"""The point that each planted bug passes where a kill makes it lose or double something."""


class Killer:
    """Kills this process the Nth time it passes a point."""

    def __init__(self, point: str | None, hit: int) -> None:
        self._point = point
        self._left = hit

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class AcknowledgesFirst(Pipeline):
    """Planted bug: the PLC is answered before the commit."""

    async def process(self, inputs: Sequence[Input]) -> Outcome:
        outcome = self._engine.fold(self.state, inputs)
        for acknowledgement in outcome.acknowledgements:
            with suppress(SourceError):  # what no longer stands comes again
                await self._sources["filler"].acknowledge(acknowledgement)
            self._probe(PLANTED)
        await self.commit(outcome)
        self.release(replace(outcome, acknowledgements=[]))
        return outcome


class BaselineApart(UnitOfWork):
    """Planted bug: the baseline is stored in a transaction of its own."""

    async def commit(self, outcome: Outcome, render: Render, recorded: datetime) -> list[StoredEvent]:
        changed = outcome.changed

        async def work(connection: Connection) -> None:
            await checkpoint.write(connection, changed)

        await self._database.transaction(work)
        if outcome.events:
            self._probe(PLANTED)
        return await super().commit(replace(outcome, changed=State()), render, recorded)


class _MarkedOnFetch:
    """An outbox whose cursor moves when events are fetched, not when they are acknowledged."""

    def __init__(self, outbox: Any, probe: Callable[[str], None]) -> None:
        self._outbox = outbox
        self._probe = probe

    def __getattr__(self, name: str) -> Any:
        return getattr(self._outbox, name)

    async def unsent(self, stream: str, after: int, limit: int) -> Sequence[StoredEvent]:
        events: Sequence[StoredEvent] = await self._outbox.unsent(stream, after, limit)
        if events:
            await self._outbox.mark({stream: events[-1].sequence})
            self._probe(PLANTED)
        return events

    async def mark(self, delivered: Mapping[str, int]) -> None:
        """Done already."""


class MarksBeforePuback(Relay):
    """Planted bug: an event counts as delivered before its PUBACK."""

    def __init__(self, broker: Any, outbox: Any, presence: Any, **others: Any) -> None:
        super().__init__(broker, _MarkedOnFetch(outbox, others["probe"]), presence, **others)


BUGS: dict[str, Parts] = {
    "acknowledge-before-commit": Parts(pipeline=AcknowledgesFirst),
    "baseline-apart": Parts(unit_of_work=BaselineApart),
    "marked-before-puback": Parts(relay=MarksBeforePuback),
}


class Template:
    """Forks agents, one at a time."""

    def __init__(self, tag_map: Path, data: Path, log: Path) -> None:
        self._settings = Settings((tag_map,), data, heartbeat=0.5)
        self._log = log
        self._pid = 0

    def child_of(self, request: Mapping[str, Any]) -> Parts:
        """The parts of the agent to run."""
        parts = BUGS[request["bug"]] if request.get("bug") else Parts()
        return replace(parts, probe=Killer(request.get("kill_at"), int(request.get("hit", 1))))

    async def wait(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Wait at most `seconds` for the agent's end: `ended` with the signal or code, or not."""
        deadline = time.monotonic() + float(request["seconds"])
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self._pid, os.WNOHANG)  # noqa: ASYNC222 - it does not block
            if pid:
                self._pid = 0
                return {"ended": True, "code": os.waitstatus_to_exitcode(status)}
            await asyncio.sleep(0.01)
        return {"ended": False}

    async def kill(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """kill -9."""
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            return await self.wait({"seconds": 10})
        return {"ended": True, "code": None}

    async def stop(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """SIGTERM."""
        os.kill(self._pid, signal.SIGTERM)
        return await self.wait({"seconds": 20})


def main() -> None:
    """Serve until the input closes; in a forked child, be the agent."""
    parser = argparse.ArgumentParser()
    for name in ("map", "data", "log"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    template = Template(arguments.map, arguments.data, arguments.log)
    asyncio.run(_serve(template))


async def _serve(template: Template) -> None:
    def run(request: Mapping[str, Any]) -> dict[str, Any]:
        pid = os.fork()
        if pid == 0:
            _be_the_agent(template, request)
        template._pid = pid
        return {"pid": pid}

    commands: dict[str, Command] = {"run": run, "wait": template.wait, "kill": template.kill, "stop": template.stop}
    await serve({}, commands)


def _be_the_agent(template: Template, request: Mapping[str, Any]) -> None:
    """In the child: let go of the template's loop and pipes, then run the agent and end the process."""
    log = os.open(template._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    asyncio._set_running_loop(None)
    code = 1
    try:
        asyncio.run(run_agent(template._settings, template.child_of(request)))
        code = 0
    except BaseException as error:
        sys.stderr.write(f"{error!r}\n")
        sys.stderr.flush()
        raise
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
