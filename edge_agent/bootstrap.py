"""The composition root: settings to objects. The only place that names concrete classes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from edge_agent import __version__
from edge_agent.clock import Clock, SystemClock
from edge_agent.config.loader import load
from edge_agent.config.tagmap import Handshake, OpcUaSource, TagMap
from edge_agent.control import Control
from edge_agent.control_verbs import Verbs
from edge_agent.derivation.engine import Engine
from edge_agent.errors import ConfigurationError
from edge_agent.inbound.commands import Commands
from edge_agent.model.state import State
from edge_agent.mqtt import PahoBroker
from edge_agent.pipeline import Pipeline, Probe, no_probe
from edge_agent.publishing.encoding import Renderer
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.relay import Relay
from edge_agent.publishing.topics import Topics
from edge_agent.sources.base import Source
from edge_agent.sources.opcua import OpcUa
from edge_agent.store.audit import Audit
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.supervisor import Supervisor
from edge_agent.telemetry.log import configure_log
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status

_PRUNE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says: tag maps, the data directory, seconds between heartbeats."""

    maps: tuple[Path, ...]
    data: Path
    heartbeat: float = 10.0
    log_json: bool = False


@dataclass(frozen=True, slots=True)
class Parts:
    """What may be exchanged: tests run the agent with probes that kill it, and with bugs that they must catch."""

    probe: Probe = no_probe
    pipeline: type[Pipeline] = Pipeline
    unit_of_work: type[UnitOfWork] = UnitOfWork
    relay: type[Relay] = Relay
    clock: Clock = field(default_factory=SystemClock)


async def run_agent(settings: Settings, parts: Parts | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the tag map is invalid, or asks for what this version does not do.
        StoreError: the store cannot be used.
    """
    parts = parts or Parts()
    configure_log(json=settings.log_json)
    tag_map = _checked(settings.maps)
    settings.data.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        supervisor = await _compose(settings, parts, tag_map, stack)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, supervisor.stop)
        await supervisor.run()


def _checked(maps: tuple[Path, ...]) -> TagMap:
    loaded = load(maps)
    refused = (*loaded.errors, *loaded.unsupported)
    if loaded.tag_map is None or refused:
        raise ConfigurationError("\n".join(finding.render() for finding in refused))
    return loaded.tag_map


@dataclass(frozen=True, slots=True)
class _Shell:
    """What everything else is given: the map, the clock, the board, the open store."""

    settings: Settings
    parts: Parts
    tag_map: TagMap
    status: Status
    counts: Counts
    database: Database
    outbox: Outbox
    audit: Audit


async def _compose(settings: Settings, parts: Parts, tag_map: TagMap, stack: AsyncExitStack) -> Supervisor:
    clock = parts.clock
    path = settings.data / DATABASE_NAME
    database = await open_store(path, agent=tag_map.agent, max_size=tag_map.buffer.max_size, now=clock.now())
    stack.push_async_callback(database.close)
    outbox = Outbox(database, tag_map.streams)
    await outbox.load()
    status, audit = Status(clock), Audit(database, clock)
    shell = _Shell(settings, parts, tag_map, status, Counts(), database, outbox, audit)
    sources = _sources(shell)
    for source in sources.values():
        stack.push_async_callback(source.close)
    pipeline = _pipeline(shell, sources)
    await pipeline.start()
    _refuse_orphans(pipeline.state, tag_map)
    supervisor = Supervisor(status)
    supervisor.fatal("pipeline", pipeline.run)
    supervisor.fatal("ticks", pipeline.tick)
    supervisor.fatal("audit", audit.run)
    supervisor.fatal("control", Control(settings.data, _verbs(shell, pipeline).handlers()).run)
    supervisor.restarted("pruner", Pruner(database, tag_map.buffer.keep_sent, clock, _PRUNE_SECONDS).run)
    for name in sources:
        supervisor.restarted(name, partial(pipeline.pump, name))
        supervisor.fatal(f"{name} acknowledgements", partial(pipeline.acknowledge, name))
    _add_publishing(shell, supervisor)
    return supervisor


def _pipeline(shell: _Shell, sources: Mapping[str, Source]) -> Pipeline:
    parts = shell.parts
    return parts.pipeline(
        Engine(shell.tag_map),
        Checkpoint(shell.database),
        parts.unit_of_work(shell.database, parts.probe),
        Renderer(shell.tag_map, __version__).render,
        sources,
        clock=parts.clock,
        status=shell.status,
        counts=shell.counts,
        probe=parts.probe,
    )


def _verbs(shell: _Shell, pipeline: Pipeline) -> Verbs:
    return Verbs(
        pipeline,
        Ledger(shell.database),
        shell.outbox,
        shell.audit,
        streams=shell.outbox.streams,
        rules=shell.tag_map.rules,
        clock=shell.parts.clock,
        status=shell.status,
        counts=shell.counts,
    )


def _add_publishing(shell: _Shell, supervisor: Supervisor) -> None:
    """The relay and the commands that come in over the same session."""
    tag_map, parts = shell.tag_map, shell.parts
    relay = parts.relay(
        PahoBroker(tag_map.mqtt, f"edge-agent-{tag_map.agent}"),
        shell.outbox,
        Presence(tag_map, __version__, timedelta(seconds=shell.settings.heartbeat)),
        status=shell.status,
        clock=parts.clock,
        streams=shell.outbox.streams,
        probe=parts.probe,
    )
    topic = Topics(tag_map).command("replay")
    commands = Commands(
        tag_map.agent,
        topic,
        shell.outbox.streams,
        shell.outbox,
        resend=relay.resend,
        reply=relay.send,
        clock=parts.clock,
        audit=lambda handled: shell.audit.note("mqtt", handled.command, asdict(handled)),
    )
    relay.subscribe(topic, commands.received)
    supervisor.fatal("relay", relay.run)
    supervisor.fatal("commands", commands.run)


def _sources(shell: _Shell) -> Mapping[str, Source]:
    tag_map = shell.tag_map
    sources: dict[str, Source] = {}
    for name, reference in tag_map.sources.items():
        assert isinstance(reference, OpcUaSource)  # noqa: S101 - `_checked` has refused what is not run yet
        tags = [tag for tag in tag_map.tags.values() if tag.ref.source == name]
        handshakes = {
            rule.name: rule.signal
            for rule in tag_map.rules.values()
            if isinstance(rule.signal, Handshake) and rule.signal.trigger.source == name
        }
        sources[name] = OpcUa(reference, tags, handshakes, shell.parts.clock, shell.status, counts=shell.counts)
    return sources


def _refuse_orphans(state: State, tag_map: TagMap) -> None:
    """Lines of a rule that the map no longer has would never be cut: a change of configuration loses nothing."""
    orphans = [name for name, rule in state.rules.items() if rule.pending and name not in tag_map.rules]
    if orphans:
        raise ConfigurationError(
            f"rules {', '.join(sorted(orphans))} are gone from the tag map but have quantities not yet sent; "
            "put them back, cut, then remove them (a new name takes over with `was:`)"
        )
