"""`cmd/confirm`: SCADA confirms a physical movement; answered after the commit, alike for ever (derivation.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from edge_agent.clock import Clock
from edge_agent.config.signals import Confirmation
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.messages import natural_keys
from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.inbound.command import Id, Moment, Nonce, expiry_fault, read_command
from edge_agent.inbound.intake import Done
from edge_agent.model.confirmation import Result
from edge_agent.model.message import Answered, ConfirmationMessage

NAME = "confirm"
Text = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Confirm(BaseModel):
    """A movement that happened at `time`. `id` is its own: the same movement again has it again."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rule: Annotated[str, Field(min_length=1, max_length=200)]
    id: Id
    nonce: Nonce
    expires: Moment
    time: Moment
    quantity: Annotated[str, Field(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$")]
    unit: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    container: Text | None = None
    lot: Text | None = None
    order: Text | None = None
    from_: Annotated[Text | None, Field(alias="from")] = None
    to: Text | None = None


class Memory(Protocol):
    """What was answered already."""

    async def answered(self, keys: Iterable[str]) -> Answered | None:
        """What the confirmation with the first of these natural keys that is known was answered."""
        ...


class Confirming:
    """The verb. `introduce` another map.

    `confirm` has a movement booked and returns its answer after the commit, None where the rule is gone by then.
    """

    def __init__(
        self,
        tag_map: TagMap,
        memory: Memory,
        confirm: Callable[[ConfirmationMessage], Awaitable[Answered | None]],
        clock: Clock,
        answered: Callable[[str, str], None] = lambda _rule, _result: None,
    ) -> None:
        self._map = tag_map
        self._memory = memory
        self._confirm = confirm
        self._clock = clock
        self._answered = answered

    def introduce(self, tag_map: TagMap) -> None:
        """Another map is in force."""
        self._map = tag_map

    def parse(self, payload: bytes) -> Confirm:
        """The command in `payload`. Raises PayloadRefused."""
        return read_command(payload, NAME, Confirm)[0]

    def about(self, command: Confirm) -> dict[str, Any]:
        """What an answer repeats of it."""
        return {"nonce": command.nonce, "rule": command.rule, "id": command.id}

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal says: nothing was booked, and nothing is remembered of it."""
        return {"result": None, "repeated": False, "review": None, "reason": f"refused: {why}"}

    def admit(self, command: Confirm, now: datetime) -> str | None:
        """Why it is not taken; None if it is."""
        rule = self._map.rules.get(command.rule)
        if rule is None or not isinstance(rule.signal, Confirmation):
            return f"the tag map has no rule {command.rule} with a confirmation"
        return expiry_fault(command.expires, now)

    async def carry_out(self, command: Confirm) -> Done:
        """Have it booked, or answer it as before."""
        now = self._clock.now()
        why_not = self.admit(command, now.wall)  # the map may be another one by now
        if why_not is not None:
            return Done(self.refused(why_not), f"refused: {why_not}")
        message = ConfirmationMessage(
            *(command.rule, command.id, command.time.astimezone(UTC), Decimal(command.quantity), now),
            unit=command.unit,
            container=command.container,
            lot=command.lot,
            order=command.order,
            from_=command.from_,
            to=command.to,
        )
        try:
            answered, repeated = await self._settle(message)
        except StoreCorrupt:
            raise
        except StoreError as error:
            self._answered(command.rule, Result.BUSY.name.lower())
            return Done(_answer(Answered("", Result.BUSY, reason=f"{error}; send it again"), repeated=False))
        if answered is None:
            why_not = f"the tag map has no rule {command.rule} any more"
            return Done(self.refused(why_not), f"refused: {why_not}")
        self._answered(command.rule, "repeated" if repeated else answered.result.name.lower())
        return Done(_answer(answered, repeated=repeated))

    async def _settle(self, message: ConfirmationMessage) -> tuple[Answered | None, bool]:
        """The answer, and whether it was given before. An id with another content is a movement in conflict."""
        rule = self._map.rules[message.rule]
        known = await self._memory.answered(natural_keys(rule, message))
        if known is not None and known.digest != message.digest:
            message = replace(message, conflicting=True)
            known = await self._memory.answered(natural_keys(rule, message))
        if known is not None:
            return known, True
        return await self._confirm(message), False


def _answer(answered: Answered, *, repeated: bool) -> dict[str, Any]:
    return {
        "result": int(answered.result),
        "repeated": repeated,
        "review": answered.review,
        "reason": answered.reason,
    }
