"""Whether a lot may be used: what LIMS has said of it, and when its shelf life ends (derivation.md, Context).

What happens to what is consumed of one that may not is `Books`' matter: it happened, so it is booked, with an exception
at once; where the tag map says `hold`, a person decides first. Moving, scrapping and sampling such a lot is what
people do about it, so that is let be. Pure: writes to the branch of the state it is given.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from zlib import crc32

from edge_agent.config.tagmap import LotPolicy, TagMap
from edge_agent.derivation.amounts import plain, to_nine_decimals
from edge_agent.model.message import SaidLot
from edge_agent.model.movement import Candidate, Cause, EventType, Key, Line
from edge_agent.model.state import LotStatus, LotStatuses, Sent, SentLines, State

SLOTS = 64
"""Of each material: a message, and what is consumed, writes one of them."""
LOTS = 32
"""Remembered in a slot: with those of all slots, some two thousand. One forgotten has never been told of."""
HISTORY = 8
"""Statuses remembered of a lot. What was so before them is not known."""
CONSUMED = 32
"""Lines remembered of a slot's lots: those that a status told late is about."""
CAUSES = frozenset({Cause.LOT_BLOCKED, Cause.LOT_EXPIRED, Cause.LOT_NOT_TOLD})

Told = tuple[LotStatus, ...]


class Unfit(NamedTuple):
    """Why a lot may not be used, as the end of a sentence about it."""

    cause: Cause
    why: str


def told(state: State, material: str, lot: str) -> Told:
    """What was said of a lot, oldest first."""
    slot = state.statuses.get(slot_of(material, lot), LotStatuses(()))
    return next((said for name, said in slot.lots if name == lot), ())


def remember(state: State, said: SaidLot, since: datetime) -> None:
    """Note a status; the lot of its slot that nobody has told of for the longest time is forgotten."""
    name = slot_of(said.material, said.lot)
    known, status = told(state, said.material, said.lot), LotStatus(said.status, since, said.until)
    if known and (known[-1].status, known[-1].until) == (status.status, status.until):
        known = (*known[:-1], replace(known[-1], again=since))
    else:
        known = (*known, status)[-HISTORY:]
    others = tuple(one for one in state.statuses.get(name, LotStatuses(())).lots if one[0] != said.lot)
    state.statuses[name] = LotStatuses((*others, (said.lot, known))[-LOTS:])


def slot_of(material: str, lot: str) -> str:
    """The name of the slot that has what is known of a lot."""
    return f"{material}/{crc32(lot.encode()) % SLOTS}"


def judged(policy: LotPolicy, told_of: Told, moment: datetime) -> Unfit | None:
    """Why a lot of which this was said could not be used at a moment; None if it could."""
    latest = next((one for one in reversed(told_of) if one.since <= moment), None)
    if latest is None:
        return Unfit(Cause.LOT_NOT_TOLD, "whose status nobody had told by then")
    if latest.status not in policy.usable:
        since = latest.since.isoformat(timespec="milliseconds")
        return Unfit(Cause.LOT_BLOCKED, f"which has been {latest.status} since {since}")
    if latest.until is not None and moment > latest.until:
        return Unfit(Cause.LOT_EXPIRED, f"which expired at {latest.until.isoformat(timespec='milliseconds')}")
    return None


def asks(tag_map: TagMap, key: Key) -> LotPolicy | None:
    """The policy for what was booked under `key`; None where nobody asks for the lot's status."""
    material = tag_map.materials.get(key.material)
    return material.lot_status if material is not None and key.event is EventType.CONSUMED else None


def unfit(tag_map: TagMap, state: State, line: Line) -> Unfit | None:
    """Why the line's lot could not be used at the line's time; None if it could, or nobody asks."""
    policy = asks(tag_map, line.key)
    if policy is None:
        return None
    if line.key.lot is None:
        return Unfit(Cause.LOT_NOT_TOLD, "for that is not known")
    return judged(policy, told(state, line.key.material, line.key.lot), line.time)


def held(tag_map: TagMap, state: State, line: Line) -> Unfit | None:
    """Why a person decides on the line before it is booked; None if nobody has to."""
    policy = asks(tag_map, line.key)
    return unfit(tag_map, state, line) if policy is not None and policy.hold else None


def said(material: str, line: Line, found: Unfit) -> str:
    """What people are told of a line of such a lot that is booked."""
    return f"{material}: {line.quantity} {line.unit} and what follows are of lot {line.key.lot}, {found.why}"


def held_back(material: str, line: Line, found: Unfit) -> tuple[str, tuple[Candidate, ...]]:
    """What they are asked of one that is held."""
    ways = (
        Candidate(line.quantity, "was consumed all the same", line.key),
        Candidate(Decimal(0), "is not to be booked", line.key),
    )
    lot = "of no lot" if line.key.lot is None else f"of lot {line.key.lot}"
    return f"{material}: {line.quantity} {line.unit} are {lot}, {found.why}", ways


def note(tag_map: TagMap, state: State, line: Line) -> None:
    """Remember what an event has carried of a lot: a status may be told late."""
    if line.key.lot is None or asks(tag_map, line.key) is None:
        return
    name, unit = slot_of(line.key.material, line.key.lot), tag_map.materials[line.key.material].unit
    quantity = line.quantity
    if line.unit != unit.name:  # what an order had left is posted in the unit's base
        quantity = plain(to_nine_decimals(quantity * unit.factor.denominator / unit.factor.numerator))
    state.sent[name] = SentLines((*consumed(state, name), Sent.of(line, quantity))[-CONSUMED:])


def consumed(state: State, slot: str) -> tuple[Sent, ...]:
    """What is remembered of what was consumed of a slot's lots."""
    return state.sent.get(slot, SentLines(())).lines
