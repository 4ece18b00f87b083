"""What the commands have in common that tell the agent something: taken whole or not at all, once, since a time."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from edge_agent.clock import Clock
from edge_agent.config.devices import CommandSource
from edge_agent.config.tagmap import TagMap
from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.inbound.command import Moment, Nonce, expiry_fault, read_command
from edge_agent.inbound.intake import Done
from edge_agent.model import message
from edge_agent.model.reading import Instant

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Statement(BaseModel):
    """Something that `source` says, and that holds since `time`; without one, since the message is taken."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    source: Name
    nonce: Nonce
    expires: Moment
    time: Moment | None = None

    @property
    def digest(self) -> str:
        """What it says, in whatever form it was sent."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


class Memory(Protocol):
    """What was taken already."""

    async def nonce(self, command: str, nonce: str) -> str | None:
        """The digest of the message that was taken under that nonce; None where there was none."""
        ...


C = TypeVar("C", bound=Statement)
M = TypeVar("M")


class Telling(ABC, Generic[C, M]):
    """The verb. `tell` has a message taken in, and says after the commit why not, or None. `introduce` another map."""

    name: ClassVar[str]
    model: type[C]

    def __init__(
        self, tag_map: TagMap, memory: Memory, tell: Callable[[M], Awaitable[str | None]], clock: Clock
    ) -> None:
        self._map = tag_map
        self._memory = memory
        self._tell = tell
        self._clock = clock

    def introduce(self, tag_map: TagMap) -> None:
        """Another map is in force."""
        self._map = tag_map

    def parse(self, payload: bytes) -> C:
        """The command in `payload`. Raises PayloadRefused."""
        return read_command(payload, self.name, self.model)[0]

    def about(self, command: C) -> dict[str, Any]:
        """What an answer repeats of it."""
        return {"nonce": command.nonce, "source": command.source}

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal says: nothing of it was taken."""
        return {"taken": 0, "repeated": False, "reason": f"refused: {why}"}

    def admit(self, command: C, now: datetime) -> str | None:
        """Why it is not taken; None if it is. All of it is, or nothing."""
        if not isinstance(self._map.sources.get(command.source), CommandSource):
            return f"the tag map has no source {command.source} that says mqtt: commands"
        fault = self._fault(command)
        if fault is not None:
            return fault
        if command.time is not None and command.time > now + self._map.max_skew:
            return "its time is in the future; set the clocks"
        return expiry_fault(command.expires, now)

    async def carry_out(self, command: C) -> Done:
        """Take it in, unless that was done before."""
        known, parts = await self._memory.nonce(self.name, command.nonce), self._parts(command)
        if known is not None and known != command.digest:
            why = "its nonce was used for another message"
            return Done(self.refused(why), f"refused: {why}")
        if known is not None:
            return Done({"taken": len(parts), "repeated": True, "reason": None})
        # the map may be another one by now
        why_not = self.admit(command, self._clock.now().wall)
        if why_not is not None:
            return Done(self.refused(why_not), f"refused: {why_not}")
        now = self._clock.now()
        since = now.wall if command.time is None else command.time.astimezone(UTC)
        nonce = message.Nonce(self.name, command.nonce, command.digest, command.expires)
        try:
            why_not = await self._tell(self._message(command, since, now, nonce))
        except StoreCorrupt:
            raise
        except StoreError as error:
            return Done(self.refused(f"{error}; send it again later"))
        if why_not is not None:
            return Done(self.refused(why_not), f"refused: {why_not}")
        return Done({"taken": len(parts), "repeated": False, "reason": None}, ", ".join(parts))

    @abstractmethod
    def _fault(self, command: C) -> str | None:
        """What of it does not go with the tag map; None if all does."""

    @abstractmethod
    def _parts(self, command: C) -> list[str]:
        """Each thing that it says, for people."""

    @abstractmethod
    def _message(self, command: C, since: datetime, now: Instant, nonce: message.Nonce) -> M:
        """What the derivation is told; it goes with the tag map."""
