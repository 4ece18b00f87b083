"""How each part is made of the others: the agent's concrete classes, named here and in `bootstrap` alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from edge_agent import __version__
from edge_agent.clock import Clock, SystemClock
from edge_agent.config.devices import OpcUaSource, SerialLine
from edge_agent.config.tagmap import TagMap
from edge_agent.control import Handler
from edge_agent.control_verbs.entries import EntryVerbs
from edge_agent.control_verbs.letters import LetterVerbs
from edge_agent.control_verbs.verbs import Verbs
from edge_agent.derivation.engine import Engine
from edge_agent.inbound.acks import Acknowledging
from edge_agent.inbound.confirm import Confirming
from edge_agent.inbound.context import TellingContext
from edge_agent.inbound.intake import Handled, Intake, Limit, Verb
from edge_agent.inbound.lot_status import TellingLots
from edge_agent.inbound.positions import Stating
from edge_agent.inbound.replaying import Replaying
from edge_agent.measuring import Measuring, measured
from edge_agent.model.ack import Taken
from edge_agent.model.event import Render
from edge_agent.model.message import Answered, ConfirmationMessage, ContextMessage, LotMessage
from edge_agent.mqtt.network import PahoBroker
from edge_agent.pipeline import Pipeline, Probe, no_probe
from edge_agent.publishing.encoding import Renderer
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.relay import Relay
from edge_agent.publishing.topics import Topics
from edge_agent.reload import handshakes_of
from edge_agent.service import Service
from edge_agent.settling import Settling
from edge_agent.sources.base import Source
from edge_agent.sources.modbus import Modbus
from edge_agent.sources.modbus_wire import Wire
from edge_agent.sources.opcua import OpcUa
from edge_agent.sources.opcua_pki import Pki
from edge_agent.store.answers import AnswerBook
from edge_agent.store.audit import Audit
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.corrections import Corrections
from edge_agent.store.database import Database
from edge_agent.store.dead import DeadLetters
from edge_agent.store.ledger import Ledger
from edge_agent.store.messages import MessageBook
from edge_agent.store.outbox import Outbox
from edge_agent.store.statements import StatementBook
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.supervisor import Supervisor
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.progress import Progress
from edge_agent.telemetry.sd_notify import Notifier
from edge_agent.telemetry.status import Status
from edge_agent.telemetry.tags import TagBoard
from edge_agent.web.probes import pages
from edge_agent.web.responder import Responder

_COMMANDS = Limit()
_ACKS = Limit(burst=2_000, per_second=200.0, waiting=1_000)
"""An answer to every event, and a bulk of them after an outage."""
_CONTEXT = Limit(burst=200, per_second=20.0, waiting=200)
_CONFIRMATIONS = Limit(burst=1_000, per_second=100.0, waiting=500)
"""What SCADA could not send while the broker was away comes at once."""

C = TypeVar("C")


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


@dataclass(frozen=True, slots=True)
class Shell:
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


def renderer(tag_map: TagMap) -> Render:
    """What turns drafts into bytes under a map."""
    return Renderer(tag_map, __version__).render


def presence(settings: Settings, tag_map: TagMap) -> Presence:
    """What the agent says of itself under a map."""
    return Presence(tag_map, __version__, timedelta(seconds=settings.heartbeat))


def new_pipeline(shell: Shell) -> Pipeline:
    """The flow from sources to the store."""
    parts = shell.parts
    probe = measured(parts.probe, shell.progress, shell.counts)
    return parts.pipeline(
        Engine(shell.tag_map),
        Checkpoint(shell.database),
        parts.unit_of_work(shell.database, probe),
        renderer(shell.tag_map),
        clock=parts.clock,
        status=shell.status,
        counts=shell.counts,
        probe=probe,
        observe=shell.tags.observe,
    )


def new_settling(shell: Shell, pipeline: Pipeline) -> Settling:
    """What time and other people's words settle."""
    database = shell.database
    return Settling(
        shell.tag_map,
        pipeline,
        outbox=shell.outbox,
        answers=AnswerBook(database),
        corrections=Corrections(database),
        dead=DeadLetters(database),
        ledger=Ledger(database),
        statements=StatementBook(database),
        audit=shell.audit,
        clock=shell.parts.clock,
        status=shell.status,
        counts=shell.counts,
    )


def handlers(shell: Shell, pipeline: Pipeline, settling: Settling, relay: Relay) -> Mapping[str, Handler]:
    """What the control socket answers to."""
    database, audit, clock, ledger = shell.database, shell.audit, shell.parts.clock, Ledger(shell.database)
    verbs = Verbs(
        pipeline,
        ledger,
        shell.outbox,
        audit,
        streams=shell.outbox.streams,
        rules=shell.tag_map.rules,
        clock=clock,
        status=shell.status,
        counts=shell.counts,
    )
    letters = LetterVerbs(
        AnswerBook(database),
        DeadLetters(database),
        Corrections(database),
        shell.outbox,
        settling,
        resend=relay.resend,
        audit=audit,
        clock=clock,
    )
    entries = EntryVerbs(shell.tag_map, pipeline, ledger, audit, clock)
    return {**verbs.handlers(), **letters.handlers(), **entries.handlers()}


def add_publishing(
    shell: Shell, supervisor: Supervisor, settling: Settling, pipeline: Pipeline
) -> tuple[Relay, Callable[[TagMap], None]]:
    """The relay and the commands that come in over the same session; and what tells these of another map."""
    tag_map, parts = shell.tag_map, shell.parts
    agent, streams = tag_map.agent, shell.outbox.streams
    relay = parts.relay(
        PahoBroker(tag_map.mqtt, f"edge-agent-{tag_map.agent}"),
        shell.outbox,
        presence(shell.settings, tag_map),
        status=shell.status,
        clock=parts.clock,
        streams=shell.outbox.streams,
        probe=parts.probe,
        latency=partial(shell.counts.observe, "publish_latency_seconds"),
        void=settling.void,
    )
    systems = set(tag_map.systems)
    _add_command(shell, supervisor, relay, "replay", Replaying(agent, streams, shell.outbox, relay.resend))
    acknowledging = Acknowledging(
        agent, systems, AnswerBook(shell.database), parts.clock, partial(_answered, shell, settling)
    )
    _add_command(shell, supervisor, relay, "ack", acknowledging, limit=_ACKS)
    _add_command(shell, supervisor, relay, "positions", Stating(agent, systems, settling.stated))
    supervisor.fatal("relay", relay.run)
    supervisor.restarted("settling", settling.run)
    supervisor.restarted("events for busy systems", partial(settling.resend_busy, relay.resend))
    spoken = _add_messages(shell, supervisor, pipeline, relay)

    def introduce(new: TagMap) -> None:
        systems.clear()
        systems.update(new.systems)
        for verb in spoken:
            verb.introduce(new)

    return relay, introduce


def _add_messages(
    shell: Shell, supervisor: Supervisor, pipeline: Pipeline, relay: Relay
) -> tuple[TellingContext, TellingLots, Confirming]:
    """What MES, SCADA and LIMS say comes in over the relay's session."""

    async def confirm(message: ConfirmationMessage) -> Answered | None:
        return (await pipeline.ask(message)).answered

    async def tell(message: ContextMessage | LotMessage) -> str | None:
        return (await pipeline.ask(message)).refused

    def answered(rule: str, result: str) -> None:
        shell.counts.add("confirmations", rule=rule, result=result)

    book, clock = MessageBook(shell.database), shell.parts.clock
    telling = TellingContext(shell.tag_map, book, tell, clock)
    of_lots = TellingLots(shell.tag_map, book, tell, clock)
    confirming = Confirming(shell.tag_map, book, confirm, clock, answered)
    _add_command(shell, supervisor, relay, "context", telling, limit=_CONTEXT)
    _add_command(shell, supervisor, relay, "lot-status", of_lots, limit=_CONTEXT)
    _add_command(shell, supervisor, relay, "confirm", confirming, limit=_CONFIRMATIONS)
    return telling, of_lots, confirming


def _add_command(
    shell: Shell, supervisor: Supervisor, relay: Relay, name: str, verb: Verb[C], *, limit: Limit = _COMMANDS
) -> None:
    """Take a command on its topic."""
    topic = Topics(shell.tag_map).command(name)
    audit = partial(_audited, shell)

    def counted(outcome: str) -> None:
        shell.counts.add("commands", command=name, outcome=outcome)

    intake = Intake(topic, verb, reply=relay.send, clock=shell.parts.clock, audit=audit, limit=limit, counted=counted)
    relay.subscribe(topic, intake.received)
    supervisor.fatal(f"command {name}", intake.run)


def _audited(shell: Shell, handled: Handled) -> None:
    shell.audit.note("mqtt", handled.command, asdict(handled))


def _answered(shell: Shell, settling: Settling, taken: Taken) -> None:
    """Count what receiving systems answered; it may be what a correction waits for."""
    settling.wake()
    for outcome, number in (("taken", taken.taken), ("repeated", taken.repeated), ("refused", len(taken.refused))):
        shell.counts.add("answers", number, outcome=outcome)


def add_service(shell: Shell, supervisor: Supervisor, notifier: Notifier, relay: Relay) -> Service:
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


def source_factory(data: Path, clock: Clock, status: Status, counts: Counts) -> Callable[[TagMap, str], Source]:
    """Makes the sources of a map; devices on one serial line share the way there. `data` is the data directory."""
    lines: dict[tuple[str, SerialLine], Wire] = {}

    def make(tag_map: TagMap, name: str) -> Source:
        reference, handshakes = tag_map.devices[name], handshakes_of(tag_map, name)
        tags = [tag for tag in tag_map.tags.values() if tag.ref.source == name]
        if isinstance(reference, OpcUaSource):
            pki = Pki(data / "pki", tag_map.agent, clock)
            return OpcUa(reference, tags, handshakes, clock, status, counts=counts, pki=pki)
        wire = Wire(reference)
        if reference.serial is not None:
            wire = lines.setdefault((reference.url, reference.serial), wire)
        return Modbus(reference, tags, handshakes, clock, status, wire=wire, counts=counts)

    return make
