"""How each part of the agent stands; logs once on loss and once on recovery."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edge_agent.clock import Clock, SystemClock
from edge_agent.telemetry.log import Code, get_logger

_log = get_logger(__name__)


class Health(StrEnum):
    """Where a component stands."""

    STARTING = "starting"
    UP = "up"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the agent. `since` is when it came to `health`; `detail` is the newest word on it."""

    health: Health
    since: datetime
    detail: str


class Status:
    """The board that `edge-agent status` shows."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._components: dict[str, Component] = {}

    def starting(self, component: str, detail: str = "") -> None:
        """The component has begun its work and has nothing to show yet."""
        self._note(component, Health.STARTING, detail)

    def up(self, component: str, detail: str = "") -> None:
        """The component works."""
        before = self._note(component, Health.UP, detail)
        if before is not Health.UP:
            _log.info("up", code=Code.COMPONENT_UP, component=component, detail=detail)

    def lost(self, component: str, why: str) -> None:
        """The component does not work; said once until it works again, the newest reason stays on the board."""
        before = self._note(component, Health.LOST, why)
        if before is not Health.LOST:
            _log.warning("lost", code=Code.COMPONENT_LOST, component=component, detail=why)

    def health(self, component: str) -> Health | None:
        """Where a component stands; None where it has never been heard of."""
        known = self._components.get(component)
        return None if known is None else known.health

    def snapshot(self) -> dict[str, dict[str, str]]:
        """All components: `state`, `since` (ISO 8601, UTC), `detail`."""
        return {
            name: {"state": known.health.value, "since": known.since.isoformat(), "detail": known.detail}
            for name, known in sorted(self._components.items())
        }

    def _note(self, component: str, health: Health, detail: str) -> Health | None:
        known = self._components.get(component)
        since = known.since if known is not None and known.health is health else self._clock.now().wall
        self._components[component] = Component(health, since, detail)
        return None if known is None else known.health
