"""Acknowledged publishes: the relay from the store, beside paho alone on the same loop at the same window."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from benchmarks.inputs import outcomes
from benchmarks.paho_alone import publish_all
from benchmarks.plant import Plant
from benchmarks.processes import Missing, Mosquitto, mosquitto
from benchmarks.report import Goal, Result, figures, ratio
from benchmarks.scale import Scale, settle
from edge_agent import __version__
from edge_agent.broker import Message
from edge_agent.clock import SystemClock
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.engine import Engine
from edge_agent.model.outcome import Outcome
from edge_agent.mqtt.network import Limits, PahoBroker
from edge_agent.publishing.encoding import Renderer
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.pump import event_message
from edge_agent.publishing.relay import Relay
from edge_agent.store.outbox import Outbox
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.telemetry.status import Status

NAME = "publishes"
TITLE = "QoS 1 publishes acknowledged by mosquitto, MQTT 5, one connection"
WINDOW = 100

_PAHO = "paho alone, the same messages"
_BARE = "paho alone, without content type and user properties"
_RELAY = "relay from the store, marks included"
_TARGET = 0.9


def run(scale: Scale) -> Result:
    """The same events thrice: by the relay, by paho with everything in memory, by paho without MQTT 5 properties."""
    tags, groups = scale.of(200, 5), scale.of(75, 3)
    with scale.scratch() as folder:
        tag_map = Plant(tags, send="at-once").load(folder)
    made = list(outcomes(Engine(tag_map), tags, groups))
    rounds = []
    try:
        for _ in range(scale.repeats):
            with scale.scratch() as folder, mosquitto(folder, WINDOW) as broker:
                rounds.append(asyncio.run(_round(folder, broker, tag_map, made)))
    except Missing as missing:
        return Result(NAME, TITLE, notes=(str(missing),))
    found = figures(dict.fromkeys((_BARE, _PAHO, _RELAY), "acks/s"), rounds)
    over = ratio("relay / paho alone, the same messages", found[_RELAY], found[_PAHO])
    over_bare = ratio("relay / paho alone, without properties", found[_RELAY], found[_BARE])
    note = f"{tags * groups} events of about 1.6 kB, window {WINDOW}, broker in a process of its own"
    return Result(NAME, TITLE, (*found.values(), over, over_bare), (Goal(over, _TARGET, at_least=True),), (note,))


async def _round(folder: Path, broker: Mosquitto, tag_map: TagMap, made: Sequence[Outcome]) -> dict[str, float]:
    clock = SystemClock()
    database = await open_store(folder / DATABASE_NAME, agent="bench", max_size=1 << 32, now=clock.now())
    try:
        outbox = Outbox(database, tag_map.streams)
        await outbox.load()
        unit_of_work, render = UnitOfWork(database), Renderer(tag_map, __version__).render
        for outcome in made:
            await unit_of_work.commit(outcome, render, clock.now().wall)
        events = await outbox.unsent("routine", 0, 10**9)
        messages = [event_message(event) for event in events]
        bare = [Message(message.topic, message.payload) for message in messages]
        settle()
        paho = await publish_all("127.0.0.1", broker.port, messages, WINDOW)
        unadorned = await publish_all("127.0.0.1", broker.port, bare, WINDOW)
        relay = await _relay(tag_map, broker.port, outbox)
        return {_PAHO: len(messages) / paho, _BARE: len(bare) / unadorned, _RELAY: len(messages) / relay}
    finally:
        await database.close()


async def _relay(tag_map: TagMap, port: int, outbox: Outbox) -> float:
    """Seconds from the session's first publish until everything is acknowledged and marked in the store."""
    connected: list[float] = []
    clock = SystemClock()

    class Board(Status):
        def up(self, component: str, detail: str = "") -> None:
            if component == "broker":
                connected.append(time.perf_counter())
            super().up(component, detail)

    relay = Relay(
        PahoBroker(replace(tag_map.mqtt, port=port), "bench-relay", Limits(window=WINDOW)),
        outbox,
        Presence(tag_map, __version__, timedelta(seconds=60)),
        status=Board(clock),
        clock=clock,
        streams=outbox.streams,
    )
    task = asyncio.create_task(relay.run())
    try:
        while any(outbox.delivered(stream) < outbox.head(stream) for stream in outbox.streams):
            await asyncio.sleep(0.002)
            if task.done():
                task.result()
        return time.perf_counter() - connected[0]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
