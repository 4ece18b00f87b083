"""What LIMS says of a lot, in a recording or a case: `cmd/lot-status` as the agent takes it. Pure."""

from __future__ import annotations

from datetime import datetime

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.tagmap import TagMap
from edge_agent.model.message import LotMessage, Nonce, SaidLot
from edge_agent.model.reading import Instant


def lot_message(tag_map: TagMap, lot: SaidLot, at: Instant, since: datetime | None) -> LotMessage | None:
    """The message that says so; None where the map asks nobody about the lot. Raises Unfit: it is of the future."""
    material = tag_map.materials.get(lot.material)
    if since is not None and since > at.wall:
        raise Unfit(Code.BAD_INSTANT, "what is said holds only later", "the agent refuses that: let it begin by then")
    if material is None or material.lot_status is None:
        return None
    nonce = Nonce("lot-status", "recorded", "", at.wall)
    return LotMessage(material.lot_status.source, (lot,), since or at.wall, at, nonce)


class Newest:
    """How far back what is said of each lot may reach."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], datetime] = {}

    def take(self, said: LotMessage) -> None:
        """Raises Unfit where something newer was said before: the agent refuses it."""
        for one in said.lots:
            newest = self._since.get((one.material, one.lot), said.time)
            if newest > said.time:
                message = f"of lot {shown(one.lot)} something newer was said before"
                raise Unfit(Code.TIME_WENT_BACK, message, "the agent refuses that: let it begin later")
            self._since[one.material, one.lot] = said.time
