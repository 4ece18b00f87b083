"""`cmd/positions`: how far a receiver got before this store was restored (reliability.md, invariant 13)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_agent.inbound.command import Moment, Nonce, System, expiry_fault, read_command
from edge_agent.inbound.intake import Done

_WIDEST = 10**19

Held = Mapping[tuple[str, int], int]
"""The highest position by (rule, epoch), in raw units of the rule's signal."""


class Position(BaseModel):
    """The highest `toPosition` held of a rule's epoch."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rule: Annotated[str, Field(min_length=1, max_length=200)]
    epoch: Annotated[int, Field(ge=0, lt=2**63)]
    position: Annotated[int, Field(gt=-_WIDEST, lt=_WIDEST)]


class Positions(BaseModel):
    """What a system holds of an agent, all its stores together."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    system: System
    nonce: Nonce
    expires: Moment
    agent: Annotated[str, Field(min_length=1, max_length=200)]
    positions: Annotated[list[Position], Field(max_length=500)]

    @model_validator(mode="after")
    def _once_each(self) -> Positions:
        if len({(one.rule, one.epoch) for one in self.positions}) != len(self.positions):
            raise ValueError("two positions of one rule and epoch")
        return self


class Stating:
    """The verb. `state` keeps a system's statement and gives the reviews that it has decided."""

    def __init__(
        self, agent: str, systems: Collection[str], state: Callable[[str, Held], Awaitable[Sequence[str]]]
    ) -> None:
        self._agent = agent
        self.systems = systems
        self._state = state

    def parse(self, payload: bytes) -> Positions:
        """The command in `payload`. Raises PayloadRefused."""
        return read_command(payload, "positions", Positions)[0]

    def about(self, command: Positions) -> dict[str, Any]:
        """What an answer repeats of it."""
        return {"nonce": command.nonce, "system": command.system, "agent": command.agent}

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal says."""
        return {"decided": [], "reason": f"refused: {why}"}

    def admit(self, command: Positions, now: datetime) -> str | None:
        """Why it is not taken; None if it is."""
        if command.system not in self.systems:
            return f"no event needs the word of system {command.system}"
        if command.agent != self._agent:
            return "it is for another agent"
        return expiry_fault(command.expires, now)

    async def carry_out(self, command: Positions) -> Done:
        """Keep the statement; it may decide reviews, now or when they are opened."""
        decided = await self._state(command.system, {(one.rule, one.epoch): one.position for one in command.positions})
        said = f"{len(command.positions)} positions of {command.system}, decided {', '.join(decided) or 'nothing'}"
        return Done({"decided": list(decided), "reason": None}, said)
