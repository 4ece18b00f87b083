"""A bench to which LIMS says which lots may be used."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from edge_agent.config.tagmap import LotPolicy, Rule
from edge_agent.model.message import LotMessage, Nonce, SaidLot
from edge_agent.model.movement import Notice
from edge_agent.model.reading import Instant, Scalar, TagRef
from tests.derivation.plant import COUNT, Bench

LOT = TagRef("plc", "lot")
MATERIAL = "300017"
BOOK = LotPolicy("lims", frozenset({"RELEASED"}))
HOLD = replace(BOOK, hold=True)


def asking(rule: Rule, policy: LotPolicy = BOOK) -> Rule:
    """The rule, of a material whose lots have a status."""
    return replace(rule, material=replace(rule.material, lot_tracked=True, lot_status=policy))


def message(now: Instant, *lots: SaidLot, since: datetime | None = None) -> LotMessage:
    """What LIMS says, now, of what holds `since`."""
    nonce = Nonce("lot-status", f"nonce-{now.monotonic_ns}", "d", now.wall + timedelta(minutes=5))
    return LotMessage("lims", lots, since or now.wall, now, nonce)


class Lab(Bench):
    """LIMS tells of the lots of one material. `refusals` are its messages that were not taken, and why."""

    def __init__(self, *rules: Rule, **about: Any) -> None:
        self.refusals: list[str] = []
        super().__init__(*rules, **about)

    def say(self, lot: str, status: str = "RELEASED", *, ago: float = 0, lasts: float | None = None) -> Lab:
        """A lot has had a status since `ago` seconds; its shelf life ends in `lasts` seconds from now."""
        until = None if lasts is None else self.now.wall + timedelta(seconds=lasts)
        material = next(iter(self.map.materials))
        since = self.now.wall - timedelta(seconds=ago)
        said = message(self.now, SaidLot(material, lot, status, until), since=since)
        outcome = self.engine.fold(self.state, (said,))
        if outcome.refused is not None:
            self.refusals.append(outcome.refused)
            assert not any(outcome.changed.kinds().values())
        else:
            self.feed(said)
        return self

    def after(self, seconds: float) -> Lab:
        super().after(seconds)
        return self

    def cut(self) -> Lab:
        super().cut()
        return self

    def read(self, value: Scalar | None, tag: TagRef = COUNT, **about: Any) -> Lab:
        super().read(value, tag, **about)
        return self

    def notices(self) -> list[Notice]:
        """Every exception, in order."""
        return [event.about for event in self.journal.events if isinstance(event.about, Notice)]

    def said(self) -> list[tuple[str, str | None, int]]:
        """Each exception as its cause, its lot and its quantity."""
        return [(str(one.cause), one.key.lot, int(one.quantity)) for one in self.notices()]
