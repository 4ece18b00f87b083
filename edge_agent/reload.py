"""SIGHUP: a checked tag map takes the place of the running one; no reading and no baseline is lost.

What came before the swap is folded by the old map, what came after it by the new one. Sources that the new map leaves
as they are keep their sessions; the others begin a new one. Rules that are gone send what they still have first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.engine import Engine
from edge_agent.errors import ConfigurationError
from edge_agent.model.event import Render
from edge_agent.pipeline import Pipeline, Swap
from edge_agent.service import Service
from edge_agent.sources.base import Source
from edge_agent.store.audit import Audit
from edge_agent.supervisor import Supervisor
from edge_agent.telemetry.log import Code, get_logger

_FIXED = ("agent", "line", "mqtt", "buffer", "streams")
"""What a running agent cannot change: its store, its topics and its session with the broker hang on it."""

_log = get_logger(__name__)


class Sources:
    """The running sources by name, with their tasks. `make` builds one for a map."""

    def __init__(
        self, tag_map: TagMap, make: Callable[[TagMap, str], Source], supervisor: Supervisor, pipeline: Pipeline
    ) -> None:
        self.make = make
        self._supervisor = supervisor
        self._pipeline = pipeline
        self.running: Mapping[str, Source] = {name: make(tag_map, name) for name in tag_map.devices}

    def start(self, *names: str) -> None:
        """Start the tasks of these."""
        for name in names:
            self._supervisor.restarted(name, partial(self._pipeline.pump, name))
            self._supervisor.fatal(_acknowledging(name), partial(self._pipeline.acknowledge, name))

    async def close(self, *names: str) -> None:
        """End the tasks of these, and their sessions."""
        for name in names:
            await self._supervisor.remove(name, _acknowledging(name))
            await self.running[name].close()

    async def close_all(self) -> None:
        """End every session; the tasks have ended."""
        for source in self.running.values():
            await source.close()


class Reload:
    """Takes over what `load` finds, once for each time it is asked to."""

    def __init__(
        self,
        tag_map: TagMap,
        load: Callable[[], TagMap],
        sources: Sources,
        pipeline: Pipeline,
        *,
        renderer: Callable[[TagMap], Render],
        taken_over: Callable[[TagMap], Awaitable[None]],
        service: Service,
        audit: Audit,
    ) -> None:
        self._map = tag_map
        self._load = load
        self._sources = sources
        self._pipeline = pipeline
        self._renderer = renderer
        self._taken_over = taken_over
        self._service = service
        self._audit = audit
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """The signal has come. Several that come together are one."""
        self._asked.set()

    async def run(self) -> None:
        """Take maps over, for ever; one that is refused changes nothing."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._service.reloading()
            before = self._map.config_hash
            try:
                await self._take_over(await asyncio.to_thread(self._load))
            except ConfigurationError as error:
                _log.error("the new tag map is refused, the old one stays", code=Code.RELOAD_REFUSED, detail=str(error))
                self._audit.note("SIGHUP", "configuration refused", {"config": before, "why": str(error)})
            else:
                _log.info("the new tag map is in force", code=Code.RELOADED, config=self._map.config_hash)
                self._audit.note("SIGHUP", "configuration", {"before": before, "after": self._map.config_hash})
            self._service.reloaded()

    async def _take_over(self, new: TagMap) -> None:
        """Raises ConfigurationError where only a restart can take it over."""
        changed = [name for name in _FIXED if getattr(self._map, name) != getattr(new, name)]
        if changed:
            raise ConfigurationError(f"{', '.join(changed)}: a running agent cannot change these; restart the service")
        old = self._sources.running
        kept = {name for name in old if _reads(self._map, name) == _reads(new, name)}
        replaced, begun = old.keys() - kept, new.devices.keys() - kept
        await self._sources.close(*replaced)
        wanted = {name: old[name] if name in kept else self._sources.make(new, name) for name in new.devices}
        await self._pipeline.ask(Swap(Engine(new), self._renderer(new), wanted, frozenset(replaced)))
        self._map, self._sources.running = new, wanted
        self._sources.start(*begun)
        await self._taken_over(new)


def _reads(tag_map: TagMap, name: str) -> Any:
    """All that a source is made of; None where the map has it no more."""
    if name not in tag_map.devices:
        return None
    tags = [tag for tag in tag_map.tags.values() if tag.ref.source == name]
    return tag_map.devices[name], tags, handshakes_of(tag_map, name)


def handshakes_of(tag_map: TagMap, source: str) -> dict[str, Handshake]:
    """The handshakes of a source, by rule."""
    return {
        rule.name: rule.signal
        for rule in tag_map.rules.values()
        if isinstance(rule.signal, Handshake) and rule.signal.trigger.source == source
    }


def _acknowledging(name: str) -> str:
    return f"{name} acknowledgements"
