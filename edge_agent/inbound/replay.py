"""The command `replay` {source, from, to}: its form, and nothing else. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_agent.inbound.command import Id, Moment, Source, read_command

HIGHEST = 10**18
"""No store gets that far; what lies above is a mistake, not a request."""


class Replay(BaseModel):
    """The sequences `first` to `last` of `source` are asked for again. The answer repeats `id`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    source: Source
    first: Annotated[int, Field(alias="from", ge=1, le=HIGHEST)]
    last: Annotated[int, Field(alias="to", ge=1, le=HIGHEST)]
    id: Id | None = None
    expires: Moment | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Replay:
        if self.first > self.last:
            raise ValueError(f"from {self.first} is above to {self.last}")
        return self


def parse(payload: bytes) -> tuple[str | None, Replay]:
    """The command in `payload`, a CloudEvent (type `io.edgeagent.cmd.replay.v1`) or its data alone, after its identity.

    Raises PayloadRefused. A CloudEvent is identified by its source and id, bare data by its `id` if it has one.
    """
    command, envelope = read_command(payload, "replay", Replay)
    if envelope is None:
        return command.id, command
    return f"{envelope.source} {envelope.id}", command.model_copy(update={"id": command.id or envelope.id})
