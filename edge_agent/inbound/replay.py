"""The command `replay` {source, from, to}: its form, and nothing else. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from edge_agent.inbound.payload import PayloadRefused, decode_object

HIGHEST = 10**18
"""No store gets that far; what lies above is a mistake, not a request."""

_Id = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")]


def _instant(value: object) -> object:
    """RFC 3339 text only: pydantic alone would take numbers too (`strict` refuses text)."""
    if not isinstance(value, str):
        raise ValueError("is not RFC 3339 text")  # noqa: TRY004 - pydantic turns only ValueError into its own
    return datetime.fromisoformat(value)


class Replay(BaseModel):
    """The sequences `first` to `last` of `source` are asked for again. The answer repeats `id`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    source: Annotated[str, Field(max_length=512, pattern=r"^urn:edgeagent:[!-9;-~]+:[!-9;-~]+:[!-9;-~]+$")]
    first: Annotated[int, Field(alias="from", ge=1, le=HIGHEST)]
    last: Annotated[int, Field(alias="to", ge=1, le=HIGHEST)]
    id: _Id | None = None
    expires: Annotated[AwareDatetime | None, BeforeValidator(_instant)] = None

    @model_validator(mode="after")
    def _in_order(self) -> Replay:
        if self.first > self.last:
            raise ValueError(f"from {self.first} is above to {self.last}")
        return self


class _CloudEvent(BaseModel):
    """The envelope a command may come in; further attributes are let be."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    specversion: Literal["1.0"]
    type: Literal["io.edgeagent.cmd.replay.v1"]
    source: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]
    id: _Id
    data: dict[str, Any]


def parse(payload: bytes) -> tuple[str | None, Replay]:
    """The command in `payload`, a CloudEvent (type `io.edgeagent.cmd.replay.v1`) or its data alone, after its identity.

    Raises PayloadRefused. A CloudEvent is identified by its source and id, bare data by its `id` if it has one.
    """
    found = decode_object(payload)
    try:
        if "specversion" not in found:
            bare = Replay.model_validate(found)
            return bare.id, bare
        envelope = _CloudEvent.model_validate(found)
        command = Replay.model_validate(envelope.data)
    except ValidationError as error:
        raise PayloadRefused("; ".join(_explained(problem) for problem in error.errors(include_input=False))) from error
    return f"{envelope.source} {envelope.id}", command.model_copy(update={"id": command.id or envelope.id})


def _explained(problem: Any) -> str:
    where = ".".join(str(part)[:64].encode("ascii", "replace").decode() for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])
