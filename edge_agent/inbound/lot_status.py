"""`cmd/lot-status`: LIMS or MES say which lots may be used, and until when (derivation.md, Context)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge_agent.inbound.command import Moment
from edge_agent.inbound.telling import Name, Statement, Telling
from edge_agent.model import message
from edge_agent.model.message import LotMessage, SaidLot
from edge_agent.model.reading import Instant

NAME = "lot-status"
MOST_LOTS = 100
_TRIMMED = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"


class Lot(BaseModel):
    """The whole of what is said of a lot: its `status`, and when its shelf life ends; without `until`, never."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    material: Name
    lot: Annotated[str, Field(max_length=256, pattern=_TRIMMED)]
    status: Annotated[str, Field(max_length=64, pattern=_TRIMMED)]
    until: Moment | None = None


class LotStatus(Statement):
    """The statuses of lots, each lot once."""

    lots: Annotated[list[Lot], Field(min_length=1, max_length=MOST_LOTS)]

    @model_validator(mode="after")
    def _once_each(self) -> LotStatus:
        if len({(one.material, one.lot) for one in self.lots}) != len(self.lots):
            raise ValueError("two statuses of one lot")
        return self


class TellingLots(Telling[LotStatus, LotMessage]):
    """The verb. Only the source that the tag map names for a material tells of its lots."""

    name = NAME
    model = LotStatus

    def _fault(self, command: LotStatus) -> str | None:
        for one in command.lots:
            material = self._map.materials.get(one.material)
            if material is None or material.lot_status is None or material.lot_status.source != command.source:
                return f"{one.material}: the tag map has no such material with lot_status: {{from: {command.source}}}"
        return None

    def _parts(self, command: LotStatus) -> list[str]:
        return [f"{one.material} lot {one.lot} = {one.status!r}" for one in command.lots]

    def _message(self, command: LotStatus, since: datetime, now: Instant, nonce: message.Nonce) -> LotMessage:
        lots = tuple(
            SaidLot(one.material, one.lot, one.status, one.until and one.until.astimezone(UTC)) for one in command.lots
        )
        return LotMessage(command.source, lots, since, now, nonce)
