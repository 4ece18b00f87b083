"""The composition root: settings to a running agent."""

from __future__ import annotations

import asyncio
import gc
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from edge_agent.composition import (
    Parts,
    Settings,
    Shell,
    add_publishing,
    add_service,
    handlers,
    new_pipeline,
    new_settling,
    presence,
    renderer,
    source_factory,
)
from edge_agent.config.loader import load
from edge_agent.config.packing import packed, unpacked
from edge_agent.config.tagmap import TagMap
from edge_agent.control import Control
from edge_agent.errors import ConfigurationError
from edge_agent.pipeline import Pipeline
from edge_agent.reload import Reload, Sources
from edge_agent.service import Restraint, Service
from edge_agent.store.audit import Audit
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from edge_agent.supervisor import Supervisor
from edge_agent.telemetry.log import configure_log
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.progress import Progress
from edge_agent.telemetry.sd_notify import Notifier
from edge_agent.telemetry.status import Status
from edge_agent.telemetry.tags import TagBoard

_PRUNE_SECONDS = 60
_COLLECT_AFTER = 20_000
"""Objects more than before until cycles are looked for; with Python's 700 each group was looked through in vain."""


def calm_collector() -> None:
    """For a process that is the agent: what is imported stays, and what a group makes goes by itself once committed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


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
    small = _packed(maps)
    gc.collect()
    return unpacked(small)


def _packed(maps: tuple[Path, ...]) -> bytes:
    """The checked map in one piece. Raises ConfigurationError."""
    loaded = load(maps)
    refused = (*loaded.errors, *loaded.unsupported)
    if loaded.tag_map is None or refused:
        raise ConfigurationError("\n".join(finding.render() for finding in refused))
    return packed(loaded.tag_map)


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
    tags = TagBoard(tag_map.read_tags)
    shell = Shell(settings, parts, tag_map, status, Counts(), database, outbox, audit, tags, Progress())
    supervisor = Supervisor(status)
    pipeline = new_pipeline(shell)
    sources = Sources(tag_map, source_factory(settings.data, clock, status, shell.counts), supervisor, pipeline)
    stack.push_async_callback(sources.close_all)
    await pipeline.start(sources.running)
    _refuse_orphans(pipeline)
    settling = new_settling(shell, pipeline)
    relay, introduce = add_publishing(shell, supervisor, settling, pipeline)
    control = Control(settings.data, handlers(shell, pipeline, settling, relay))
    supervisor.fatal("pipeline", pipeline.run)
    supervisor.fatal("ticks", pipeline.tick)
    supervisor.fatal("audit", audit.run)
    supervisor.fatal("control", control.run)
    supervisor.restarted("pruner", Pruner(database, tag_map.buffer.keep_sent, clock, _PRUNE_SECONDS).run)
    sources.start(*sources.running)
    service = add_service(shell, supervisor, notifier, relay)

    async def taken_over(new: TagMap) -> None:
        """What else hangs on the map."""
        settling.introduce(new)
        introduce(new)
        control.serve(handlers(replace(shell, tag_map=new), pipeline, settling, relay))
        tags.expect(new.read_tags)
        await relay.introduce(presence(settings, new))

    reload = Reload(
        tag_map,
        partial(_checked, settings.maps),
        sources,
        pipeline,
        renderer=renderer,
        taken_over=taken_over,
        service=service,
        audit=audit,
    )
    supervisor.fatal("reload", reload.run)
    return supervisor, service, reload


def _refuse_orphans(pipeline: Pipeline) -> None:
    """Raises ConfigurationError where a rule is gone that still has something to send."""
    if orphans := pipeline.orphans():
        raise ConfigurationError(
            f"rules {', '.join(orphans)} are gone from the tag map but have quantities not yet sent; "
            "put them back, cut, then remove them (a new name takes over with `was:`)"
        )
