"""The composition root: settings to objects. The only place that names concrete classes."""

from __future__ import annotations

import asyncio
import gc
import pickle
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from edge_agent import __version__
from edge_agent.clock import Clock, SystemClock
from edge_agent.config.loader import load
from edge_agent.config.tagmap import OpcUaSource, SerialLine, TagMap
from edge_agent.control import Control
from edge_agent.control_verbs import Verbs
from edge_agent.derivation.engine import Engine
from edge_agent.errors import ConfigurationError
from edge_agent.inbound.commands import Commands
from edge_agent.measuring import Measuring, measured
from edge_agent.model.event import Render
from edge_agent.mqtt.network import PahoBroker
from edge_agent.pipeline import Pipeline, Probe, no_probe
from edge_agent.publishing.encoding import Renderer
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.relay import Relay
from edge_agent.publishing.topics import Topics
from edge_agent.reload import Reload, Sources, handshakes_of
from edge_agent.service import Restraint, Service
from edge_agent.sources.base import Source
from edge_agent.sources.modbus import Modbus
from edge_agent.sources.modbus_wire import Wire
from edge_agent.sources.opcua import OpcUa
from edge_agent.sources.opcua_pki import Pki
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
from edge_agent.telemetry.progress import Progress
from edge_agent.telemetry.sd_notify import Notifier
from edge_agent.telemetry.status import Status
from edge_agent.telemetry.tags import TagBoard
from edge_agent.web.probes import pages
from edge_agent.web.responder import Responder

_PRUNE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says: tag maps, data directory, seconds between heartbeats, where metrics are served."""

    maps: tuple[Path, ...]
    data: Path
    heartbeat: float = 10.0
    log_json: bool = False
    metrics: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What may be exchanged: tests run the agent with probes that kill it, and with bugs that they must catch."""

    probe: Probe = no_probe
    pipeline: type[Pipeline] = Pipeline
    unit_of_work: type[UnitOfWork] = UnitOfWork
    relay: type[Relay] = Relay
    clock: Clock = field(default_factory=SystemClock)


async def run_agent(settings: Settings, parts: Parts | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP takes a changed map over.

    Raises:
        ConfigurationError: the tag map is invalid, or asks for what this version does not do.
        StoreError: the store cannot be used.
    """
    parts = parts or Parts()
    configure_log(json=settings.log_json)
    tag_map = _checked(settings.maps)
    settings.data.mkdir(parents=True, exist_ok=True)
    notifier = Notifier()
    restraint = Restraint(notifier)
    await restraint.hold_back()
    async with AsyncExitStack() as stack:
        supervisor, service, reload = await _compose(settings, parts, tag_map, notifier, stack)
        supervisor.fatal("restraint", restraint.settle)

        def stop() -> None:
            service.stopping()
            supervisor.stop()

        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop)
        loop.add_signal_handler(signal.SIGHUP, reload.ask)
        await supervisor.run()
    restraint.forget()


def _checked(maps: tuple[Path, ...]) -> TagMap:
    packed = _packed(maps)
    gc.collect()
    tag_map: TagMap = pickle.loads(packed)  # noqa: S301 - made by ourselves, just now
    return tag_map


def _packed(maps: tuple[Path, ...]) -> bytes:
    """The checked map in one piece: made anew of it, it takes a tenth of the memory that reading it has strewn it over.

    Raises ConfigurationError.
    """
    loaded = load(maps)
    refused = (*loaded.errors, *loaded.unsupported)
    if loaded.tag_map is None or refused:
        raise ConfigurationError("\n".join(finding.render() for finding in refused))
    return pickle.dumps(loaded.tag_map)


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
    tags: TagBoard
    progress: Progress


async def _compose(
    settings: Settings, parts: Parts, tag_map: TagMap, notifier: Notifier, stack: AsyncExitStack
) -> tuple[Supervisor, Service, Reload]:
    clock = parts.clock
    path = settings.data / DATABASE_NAME
    database = await open_store(path, agent=tag_map.agent, max_size=tag_map.buffer.max_size, now=clock.now())
    stack.push_async_callback(database.close)
    outbox = Outbox(database, tag_map.streams)
    await outbox.load()
    status, audit = Status(clock), Audit(database, clock)
    tags = TagBoard(tag.ref for tag in tag_map.tags.values())
    shell = _Shell(settings, parts, tag_map, status, Counts(), database, outbox, audit, tags, Progress())
    supervisor = Supervisor(status)
    pipeline = _pipeline(shell)
    sources = Sources(tag_map, _source_factory(shell), supervisor, pipeline)
    stack.push_async_callback(sources.close_all)
    await pipeline.start(sources.running)
    if orphans := pipeline.orphans():
        raise ConfigurationError(
            f"rules {', '.join(orphans)} are gone from the tag map but have quantities not yet sent; "
            "put them back, cut, then remove them (a new name takes over with `was:`)"
        )
    control = Control(settings.data, _verbs(shell, pipeline).handlers())
    supervisor.fatal("pipeline", pipeline.run)
    supervisor.fatal("ticks", pipeline.tick)
    supervisor.fatal("audit", audit.run)
    supervisor.fatal("control", control.run)
    supervisor.restarted("pruner", Pruner(database, tag_map.buffer.keep_sent, clock, _PRUNE_SECONDS).run)
    sources.start(*sources.running)
    relay = _add_publishing(shell, supervisor)
    service = _add_service(shell, supervisor, notifier, relay)

    async def taken_over(new: TagMap) -> None:
        """What else hangs on the map."""
        control.serve(_verbs(replace(shell, tag_map=new), pipeline).handlers())
        tags.expect(tag.ref for tag in new.tags.values())
        await relay.introduce(_presence(settings, new))

    reload = Reload(
        tag_map,
        partial(_checked, settings.maps),
        sources,
        pipeline,
        renderer=_renderer,
        taken_over=taken_over,
        service=service,
        audit=audit,
    )
    supervisor.fatal("reload", reload.run)
    return supervisor, service, reload


def _renderer(tag_map: TagMap) -> Render:
    return Renderer(tag_map, __version__).render


def _presence(settings: Settings, tag_map: TagMap) -> Presence:
    return Presence(tag_map, __version__, timedelta(seconds=settings.heartbeat))


def _pipeline(shell: _Shell) -> Pipeline:
    parts = shell.parts
    probe = measured(parts.probe, shell.progress, shell.counts)
    return parts.pipeline(
        Engine(shell.tag_map),
        Checkpoint(shell.database),
        parts.unit_of_work(shell.database, probe),
        _renderer(shell.tag_map),
        clock=parts.clock,
        status=shell.status,
        counts=shell.counts,
        probe=probe,
        observe=shell.tags.observe,
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


def _add_publishing(shell: _Shell, supervisor: Supervisor) -> Relay:
    """The relay and the commands that come in over the same session."""
    tag_map, parts = shell.tag_map, shell.parts
    relay = parts.relay(
        PahoBroker(tag_map.mqtt, f"edge-agent-{tag_map.agent}"),
        shell.outbox,
        _presence(shell.settings, tag_map),
        status=shell.status,
        clock=parts.clock,
        streams=shell.outbox.streams,
        probe=parts.probe,
        latency=partial(shell.counts.observe, "publish_latency_seconds"),
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
    return relay


def _add_service(shell: _Shell, supervisor: Supervisor, notifier: Notifier, relay: Relay) -> Service:
    """What tells systemd, people and Prometheus how the agent stands."""
    measuring = Measuring(
        shell.database,
        shell.outbox,
        shell.tags,
        relay=relay.report,
        clock=shell.parts.clock,
        status=shell.status,
        counts=shell.counts,
        progress=shell.progress,
    )
    service = Service(notifier, shell.progress, shell.status, measuring.line)
    supervisor.fatal("readiness and watchdog", service.watch)
    supervisor.fatal("status line", service.tell)
    supervisor.restarted("figures", measuring.run)
    if shell.settings.metrics is not None:
        served = pages(measuring.exposition, service.not_ready, service.unhealthy)
        told = partial(shell.status.up, "metrics", f"http://{':'.join(map(str, shell.settings.metrics))}/metrics")
        supervisor.restarted("metrics", partial(Responder(*shell.settings.metrics, served).run, told))
    return service


def _source_factory(shell: _Shell) -> Callable[[TagMap, str], Source]:
    """Makes the sources of a map; devices on one serial line share the way there."""
    lines: dict[tuple[str, SerialLine], Wire] = {}
    clock, status, counts = shell.parts.clock, shell.status, shell.counts

    def make(tag_map: TagMap, name: str) -> Source:
        reference, handshakes = tag_map.sources[name], handshakes_of(tag_map, name)
        tags = [tag for tag in tag_map.tags.values() if tag.ref.source == name]
        if isinstance(reference, OpcUaSource):
            pki = Pki(shell.settings.data / "pki", tag_map.agent, clock)
            return OpcUa(reference, tags, handshakes, clock, status, counts=counts, pki=pki)
        wire = Wire(reference)
        if reference.serial is not None:
            wire = lines.setdefault((reference.url, reference.serial), wire)
        return Modbus(reference, tags, handshakes, clock, status, wire=wire, counts=counts)

    return make
