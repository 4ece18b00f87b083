"""The topics of a line's agent (events.md, Topics), and what makes a topic unfit. Pure."""

from __future__ import annotations

import unicodedata

from edge_agent.config.tagmap import TagMap
from edge_agent.errors import ConfigurationError
from edge_agent.model.movement import EventType

TOPIC_BYTES = 65_535
"""Most bytes of a topic (MQTT 5, 1.5.4)."""
TOPIC_LEVELS = 200
"""Most levels mosquitto takes before it closes the connection (its TOPIC_HIERARCHY_LIMIT)."""
UNNAMED = "_"

COMMANDS = ("replay", "ack", "positions", "context", "confirm", "lot-status")
"""What may be asked of an agent."""

_LEAVES = {
    EventType.CONSUMED: "_material/consumed",
    EventType.PRODUCED: "_material/produced",
    EventType.MOVED: "_material/moved",
    EventType.RETURNED: "_material/returned",
    EventType.SCRAPPED: "_material/scrapped",
    EventType.SAMPLED: "_material/sampled",
    EventType.REVERSED: "_material/reversed",
    EventType.VOIDED: "_ops/voided",
    EventType.IN_REVIEW: "_ops/review",
    EventType.DECIDED: "_ops/decided",
    EventType.EXCEPTION: "_ops/exception",
    EventType.SNAPSHOT: "_recon/snapshot",
}


class Layout:
    """Every topic of the agent `agent` under `base`, whatever their names are."""

    def __init__(self, base: str, agent: str) -> None:
        self._base = base
        self._events = {event: f"{base}/{leaf}" for event, leaf in _LEAVES.items()}
        self._gateway = f"{base}/_gateway/{agent}"

    def event(self, event: EventType) -> str:
        """Where events of a type go."""
        return self._events[event]

    @property
    def discrepancy(self) -> str:
        """Where receivers say that their books differ from the agent's."""
        return f"{self._base}/_recon/discrepancy"

    @property
    def state(self) -> str:
        """Birth and death, retained; also the last will's."""
        return f"{self._gateway}/state"

    @property
    def heartbeat(self) -> str:
        """The sign of life."""
        return f"{self._gateway}/heartbeat"

    def command(self, name: str) -> str:
        """Where a command to the agent is sent."""
        return f"{self._gateway}/cmd/{name}"

    def reply(self, name: str) -> str:
        """Where the agent answers it."""
        return f"{self._gateway}/cmd/{name}/reply"

    def all(self) -> tuple[str, ...]:
        """Every one of them."""
        commands = (topic for name in COMMANDS for topic in (self.command(name), self.reply(name)))
        return (*self._events.values(), self.discrepancy, self.state, self.heartbeat, *commands)


class Topics(Layout):
    """Every topic the agent of `tag_map` uses. Raises ConfigurationError where a name would break one."""

    def __init__(self, tag_map: TagMap) -> None:
        line = tag_map.line
        names = (line.enterprise, line.site, line.area, line.line, line.cell)
        for name in (*(name for name in names if name is not None), tag_map.agent):
            if "/" in name:
                raise ConfigurationError(f"{name!r} cannot be a topic level: it contains '/'")
        super().__init__("/".join((tag_map.mqtt.root, "v1", *(name or UNNAMED for name in names))), tag_map.agent)
        for topic in self.all():
            fault = topic_fault(topic)
            if fault is not None:
                raise ConfigurationError(f"the tag map's names make the topic {topic!r}: {fault}")


def topic_fault(topic: str) -> str | None:
    """Why brokers would refuse `topic` for a PUBLISH (or close the connection over it); None if it is fit."""
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return "it holds a lone surrogate, which UTF-8 cannot carry"
    if not topic or topic.startswith("$"):
        return "it is empty or starts with '$', which is the broker's own"
    if size > TOPIC_BYTES:
        return f"it has {size} bytes, more than {TOPIC_BYTES}"
    if topic.count("/") >= TOPIC_LEVELS:
        return f"it has more than {TOPIC_LEVELS} levels"
    if any(character in "+#" or _unfit(character) for character in topic):
        return "it holds '+', '#', a control character or a non-character"
    return None


def _unfit(character: str) -> bool:
    """Control characters and non-characters: a receiver may close the connection over them (MQTT 5, 1.5.4)."""
    code = ord(character)
    return unicodedata.category(character) == "Cc" or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
