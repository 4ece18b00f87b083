"""kill -9 at every point that matters: nothing is lost, and nothing is offered twice as if for the first time."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.receiver.agent_log import AgentLog
from tests.receiver.kill_child import POINTS, SCHEMA
from tests.receiver.wires import PYTHONPATH, BrokerProcess, WireAgent, has_mosquitto, until

_EACH = 3
"""How often the process dies at each point."""


class Scene:
    """A broker, an agent and the files of a receiver that dies again and again."""

    def __init__(self, broker: BrokerProcess, url: str, folder: Path) -> None:
        self.log = AgentLog()
        self._broker = broker
        self._url = url
        self._books = folder / "books.db"
        self.kills: Counter[str] = Counter()
        with sqlite3.connect(self._books) as books:
            books.executescript(SCHEMA)
        books.close()

    @contextmanager
    def child(self, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [
            sys.executable,
            "-m",
            "tests.receiver.kill_child",
            str(self._broker.port),
            self._url,
            str(self._books),
        ]
        environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
        process = subprocess.Popen([*command, *options], env=environment, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def die(self, point: str, nth: int, *options: str, heartbeats: bool = True) -> None:
        """A run that ends at `point`, while events come."""
        with WireAgent(self.log, self._broker.port) as agent:
            agent.publish(self.log.consumed() for _ in range(3))
            with self.child("--point", point, "--nth", str(nth), *options) as process:
                until(lambda: process.poll() is not None or self._feed(agent, heartbeats), f"it dies {point}", 60)
                assert process.wait() == -signal.SIGKILL
        self.kills[point] += 1

    def finish(self, *options: str, heartbeats: bool = True) -> None:
        """A run that is left in peace until everything is posted and answered."""
        with WireAgent(self.log, self._broker.port) as agent, self.child(*options) as process:
            until(lambda: self._feed(agent, heartbeats) or self.is_whole(), "all is posted and answered", 60)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0

    def is_whole(self) -> bool:
        events = self.log.streams["routine"]
        return len(self.posted) == len(events) == len(self.log.answers["erp", self.log.source()].single)

    def _feed(self, agent: WireAgent, heartbeats: bool) -> bool:
        if heartbeats:
            agent.heartbeat()
        return False

    @property
    def posted(self) -> list[str]:
        return self._rows("SELECT id FROM posted ORDER BY sequence")

    @property
    def wrong(self) -> list[str]:
        return self._rows("SELECT what FROM wrong")

    def _rows(self, query: str) -> list[str]:
        books = sqlite3.connect(self._books)
        found = [value for (value,) in books.execute(query)]
        books.close()
        return found


@pytest.fixture
def scene(url: str, tmp_path: Path) -> Iterator[Scene]:
    broker = BrokerProcess("mosquitto" if has_mosquitto() else "iotcore")
    broker.start()
    yield Scene(broker, url, tmp_path)
    broker.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_it_dies_at_every_point_and_the_books_are_right(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    for nth in range(1, _EACH + 1):
        for point in POINTS:
            scene.die(point, nth)
    scene.finish()

    assert scene.posted == [sent.id for sent in scene.log.streams["routine"]]
    assert scene.wrong == []
    record_property("kill -9", ", ".join(f"{count} {point}" for point, count in scene.kills.items()))


def test_a_receiver_that_posts_before_recording_is_caught(scene: Scene) -> None:
    for _ in range(3):
        scene.die("after-post", 1, "--plant", "posts-before-recording")
    scene.finish()

    assert "offered again as if for the first time" in scene.wrong


@pytest.mark.skipif(not has_mosquitto(), reason="NOT RUN: mosquitto is not installed")
@pytest.mark.parametrize("plant", [(), ("--plant", "acknowledges-first")])
def test_what_the_broker_was_told_too_early_is_lost(scene: Scene, plant: tuple[str, ...]) -> None:
    """Without an agent that answers: only what the broker keeps can save an event."""
    with scene.child() as process, WireAgent(scene.log, scene._broker.port) as agent:
        agent.publish([scene.log.consumed()])
        until(lambda: agent.heartbeat() and scene.posted, "the session is there")
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    with WireAgent(scene.log, scene._broker.port) as agent:
        agent.publish(scene.log.consumed() for _ in range(5))
    with scene.child("--point", "with-events-in-hand", *plant) as process:
        until(lambda: process.poll() is not None, "it dies with the events in hand")
    with scene.child() as process, WireAgent(scene.log, scene._broker.port) as agent:
        agent.log.gone |= {(scene.log.source(), number) for number in range(1, 7)}
        if plant:
            agent.heartbeat()
            until(lambda: "replay" in [name for name, _ in scene.log.commands], "it misses them")
        else:
            until(lambda: len(scene.posted) == 6, "all of them are there")
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    assert len(scene.posted) == (1 if plant else 6)
