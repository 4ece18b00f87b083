"""`cmd/context`: MES or SCADA say what runs: order, lot, operator, as values of tags (derivation.md, Context)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from edge_agent.clock import Clock
from edge_agent.config.devices import WHOLE, CommandSource, Tag, TagType
from edge_agent.config.tagmap import TagMap
from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.inbound.command import Moment, Nonce, expiry_fault, read_command
from edge_agent.inbound.intake import Done
from edge_agent.model import message
from edge_agent.model.message import ContextMessage
from edge_agent.model.reading import Scalar, TagRef

NAME = "context"
MOST_VALUES = 100
LONGEST_VALUE = 256
_FRACTION = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Name = Annotated[str, Field(min_length=1, max_length=200)]
Said = str | int | bool
_Value = Annotated[str, Field(max_length=LONGEST_VALUE)] | int | bool


class Context(BaseModel):
    """Values of tags of `source` since `time`; without one, since the message is taken."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    source: Name
    nonce: Nonce
    expires: Moment
    time: Moment | None = None
    values: Annotated[dict[Name, _Value], Field(min_length=1, max_length=MOST_VALUES)]

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


class Telling:
    """The verb. `tell` has the values taken in, and says after the commit why not, or None. `introduce` another map."""

    def __init__(
        self, tag_map: TagMap, memory: Memory, tell: Callable[[ContextMessage], Awaitable[str | None]], clock: Clock
    ) -> None:
        self._map = tag_map
        self._memory = memory
        self._tell = tell
        self._clock = clock

    def introduce(self, tag_map: TagMap) -> None:
        """Another map is in force."""
        self._map = tag_map

    def parse(self, payload: bytes) -> Context:
        """The command in `payload`. Raises PayloadRefused."""
        return read_command(payload, NAME, Context)[0]

    def about(self, command: Context) -> dict[str, Any]:
        """What an answer repeats of it."""
        return {"nonce": command.nonce, "source": command.source}

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal says: nothing of it was taken."""
        return {"taken": 0, "repeated": False, "reason": f"refused: {why}"}

    def admit(self, command: Context, now: datetime) -> str | None:
        """Why it is not taken; None if it is. All of its values are, or none."""
        if not isinstance(self._map.sources.get(command.source), CommandSource):
            return f"the tag map has no source {command.source} that says mqtt: commands"
        for name, value in command.values.items():
            tag = self._map.tags.get(TagRef(command.source, name))
            if tag is None:
                return f"{name}: the source has no such tag"
            try:
                _scalar(tag, value)
            except ValueError as error:
                return f"{name}: {error}"
        if command.time is not None and command.time > now + self._map.max_skew:
            return "its time is in the future; set the clocks"
        return expiry_fault(command.expires, now)

    async def carry_out(self, command: Context) -> Done:
        """Take the values in, unless that was done before."""
        known = await self._memory.nonce(NAME, command.nonce)
        if known is not None and known != command.digest:
            why = "its nonce was used for another message"
            return Done(self.refused(why), f"refused: {why}")
        if known is not None:
            return Done({"taken": len(command.values), "repeated": True, "reason": None})
        # the map may be another one by now
        why_not = self.admit(command, self._clock.now().wall)
        if why_not is not None:
            return Done(self.refused(why_not), f"refused: {why_not}")
        try:
            why_not = await self._tell(self._message(command))
        except StoreCorrupt:
            raise
        except StoreError as error:
            return Done(self.refused(f"{error}; send it again later"))
        if why_not is not None:
            return Done(self.refused(why_not), f"refused: {why_not}")
        said = ", ".join(f"{name} = {value!r}" for name, value in command.values.items())
        return Done({"taken": len(command.values), "repeated": False, "reason": None}, said)

    def _message(self, command: Context) -> ContextMessage:
        now = self._clock.now()
        values = {
            name: _scalar(self._map.tags[TagRef(command.source, name)], value) for name, value in command.values.items()
        }
        nonce = message.Nonce(NAME, command.nonce, command.digest, command.expires)
        since = now.wall if command.time is None else command.time.astimezone(UTC)
        return ContextMessage(command.source, values, since, now, nonce)


def _scalar(tag: Tag, said: Said) -> Scalar:
    """The value as a source would read it: what has fractions is a decimal. Raises ValueError where it is none."""
    match tag.type:
        case TagType.STRING:
            value: Scalar = _text(said)
        case TagType.BOOL if isinstance(said, bool):
            value = said
        case TagType.BOOL:
            raise ValueError("it is true or false")
        case TagType.FLOAT32 | TagType.FLOAT64:
            value = _fraction(said)
        case whole:
            value = _whole(whole, said)
    if isinstance(value, int | Decimal) and not tag.in_range(value):
        raise ValueError("it is not in the range of the tag")
    return value


def _text(said: Said) -> str:
    if not isinstance(said, str):
        raise ValueError("it is a string")  # noqa: TRY004 - of what was said, one error
    if _CONTROL.search(said):
        raise ValueError("it holds control characters")
    return said


def _fraction(said: Said) -> Decimal:
    if isinstance(said, bool) or not _FRACTION.fullmatch(str(said)):
        raise ValueError('it is a number: whole, or quoted as in "17.5"')
    return Decimal(said)


def _whole(kind: TagType, said: Said) -> int:
    held = WHOLE[kind]
    if isinstance(said, bool) or not isinstance(said, int) or said not in held:
        raise ValueError(f"it is a whole number from {held.start} to {held.stop - 1}")
    return said
