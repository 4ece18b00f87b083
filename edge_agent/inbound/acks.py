"""`cmd/ack`: what a receiving system answers to events, cumulative and single (events.md, States)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import date, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from edge_agent.clock import Clock
from edge_agent.inbound.command import Moment, Nonce, Source, System, expiry_fault, read_command
from edge_agent.inbound.intake import Done
from edge_agent.inbound.replay import HIGHEST
from edge_agent.model.ack import Answer, Answers, AnswerStatus, Code, Taken

MOST_ANSWERS = 200
_AUDITED = 10
"""Refused answers of one message that the audit log names."""

_Sequence = Annotated[int, Field(ge=1, le=HIGHEST)]
_Text = Annotated[str, Field(min_length=1, max_length=500)]


class Desk(Protocol):
    """Where answers are kept."""

    async def take(self, message: Answers, now: datetime) -> Taken:
        """Take one message of answers, whole."""
        ...


def _day(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("is not a date")  # noqa: TRY004 - pydantic turns only ValueError into its own
    return date.fromisoformat(value)


def _code(value: object) -> object:
    return Code(value) if isinstance(value, str) else value


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    sequence: _Sequence
    id: Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]


class Accepted(_Form):
    """Posted, as `document` where there is one; `duplicate`: it was posted before."""

    status: Literal["accepted"]
    document: _Text | None = None
    duplicate: bool = False
    posted_on: Annotated[date | None, BeforeValidator(_day), Field(alias="postedOn")] = None

    def answer(self) -> Answer:
        """As the model has it."""
        return Answer(
            *(self.sequence, self.id, AnswerStatus.ACCEPTED),
            document=self.document,
            duplicate=self.duplicate,
            posted_on=self.posted_on,
        )


class Rejected(_Form):
    """Not posted, and why."""

    status: Literal["rejected"]
    code: Annotated[Code, BeforeValidator(_code)]
    text: _Text | None = None

    def answer(self) -> Answer:
        """As the model has it."""
        return Answer(self.sequence, self.id, AnswerStatus.REJECTED, code=self.code, text=self.text)


class Busy(_Form):
    """Not now: to be sent again unchanged, after so many seconds."""

    status: Literal["busy"]
    retry_after: Annotated[int | None, Field(alias="retryAfter", ge=1, le=86_400)] = None

    def answer(self) -> Answer:
        """As the model has it."""
        return Answer(self.sequence, self.id, AnswerStatus.BUSY, retry_after=self.retry_after)


class Ack(BaseModel):
    """One message of answers to events of `source`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    system: System
    nonce: Nonce
    expires: Moment
    source: Source
    up_to: Annotated[_Sequence | None, Field(alias="upTo")] = None
    answers: Annotated[
        list[Annotated[Accepted | Rejected | Busy, Field(discriminator="status")]], Field(max_length=MOST_ANSWERS)
    ] = []

    def message(self) -> Answers:
        """As the model has it."""
        return Answers(
            *(self.system, self.source, self.nonce, self.model_dump_json().encode(), self.expires, self.up_to),
            answers=tuple(answer.answer() for answer in self.answers),
        )

    @model_validator(mode="after")
    def _says_something(self) -> Ack:
        if self.up_to is None and not self.answers:
            raise ValueError("neither upTo nor answers")
        if len({answer.sequence for answer in self.answers}) != len(self.answers):
            raise ValueError("two answers to one event")
        return self


class Acknowledging:
    """The verb. `systems` are those whose word some event of the map needs."""

    def __init__(
        self,
        agent: str,
        systems: Collection[str],
        desk: Desk,
        clock: Clock,
        taken: Callable[[Taken], None] = lambda _taken: None,
    ) -> None:
        self._own = f"urn:edgeagent:{agent}:"
        self.systems = systems
        self._desk = desk
        self._clock = clock
        self._taken = taken

    def parse(self, payload: bytes) -> Ack:
        """The command in `payload`. Raises PayloadRefused."""
        return read_command(payload, "ack", Ack)[0]

    def about(self, command: Ack) -> dict[str, Any]:
        """What an answer repeats of it."""
        return {"nonce": command.nonce, "system": command.system, "source": command.source}

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal says."""
        return {"upTo": 0, "taken": 0, "repeated": 0, "refused": [], "reason": f"refused: {why}"}

    def admit(self, command: Ack, now: datetime) -> str | None:
        """Why it is not taken; None if it is."""
        if command.system not in self.systems:
            return f"no event needs the word of system {command.system}"
        if not command.source.startswith(self._own):
            return "its source is not one of this agent"
        return expiry_fault(command.expires, now)

    async def carry_out(self, command: Ack) -> Done:
        """Take the answers in; what is refused of them is audited."""
        report = await self._desk.take(command.message(), self._clock.now().wall)
        self._taken(report)
        refused = [{"sequence": sequence, "reason": why} for sequence, why in report.refused]
        answer = {
            "upTo": report.up_to,
            "taken": report.taken,
            "repeated": report.repeated,
            "refused": refused,
            "reason": None if report.reason is None else f"refused: {report.reason}",
        }
        if report.reason is not None:
            return Done(answer, f"refused: {report.reason}")
        wrong = "; ".join(f"{sequence or 'upTo'}: {why}" for sequence, why in report.refused[:_AUDITED])
        return Done(answer, f"refused {len(refused)}: {wrong}" if wrong else None)
