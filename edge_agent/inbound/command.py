"""The form that all commands share: a CloudEvent or its data alone, read strictly. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from edge_agent.inbound.payload import PayloadRefused, decode_object

M = TypeVar("M", bound=BaseModel)

LONGEST_VALIDITY = timedelta(hours=24)
"""How far ahead `expires` may lie: so long a nonce is remembered."""


def _instant(value: object) -> object:
    """RFC 3339 text only: pydantic alone would take numbers too (`strict` refuses text)."""
    if not isinstance(value, str):
        raise ValueError("is not RFC 3339 text")  # noqa: TRY004 - pydantic turns only ValueError into its own
    return datetime.fromisoformat(value)


Id = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")]
Moment = Annotated[AwareDatetime, BeforeValidator(_instant)]
Source = Annotated[str, Field(max_length=512, pattern=r"^urn:edgeagent:[!-9;-~]+:[!-9;-~]+:[!-9;-~]+$")]
System = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Nonce = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[\x21-\x7e]+$")]


class Envelope(BaseModel):
    """The envelope a command may come in; further attributes are let be."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    specversion: Literal["1.0"]
    type: str
    source: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]
    id: Id
    data: dict[str, Any]


def read_command(payload: bytes, name: str, model: type[M]) -> tuple[M, Envelope | None]:
    """The command `name` in `payload`, and the envelope it came in. Raises PayloadRefused."""
    found = decode_object(payload)
    try:
        if "specversion" not in found:
            return model.model_validate(found), None
        envelope = Envelope.model_validate(found)
        if envelope.type != f"io.edgeagent.cmd.{name}.v1":
            raise PayloadRefused(f"type: Input should be 'io.edgeagent.cmd.{name}.v1'")
        return model.model_validate(envelope.data), envelope
    except ValidationError as error:
        raise PayloadRefused("; ".join(_explained(problem) for problem in error.errors(include_input=False))) from error


def _explained(problem: Any) -> str:
    where = ".".join(str(part)[:64].encode("ascii", "replace").decode() for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else str(problem["msg"])


def expiry_fault(expires: datetime, now: datetime) -> str | None:
    """What is wrong with a command's `expires`; None if nothing is."""
    if expires <= now:
        return "it has expired"
    if expires > now + LONGEST_VALIDITY:
        return f"it expires more than {LONGEST_VALIDITY.total_seconds() / 3600:.0f} hours from now"
    return None
