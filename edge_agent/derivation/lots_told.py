"""What LIMS says of lots; and what of it comes late, after some of a lot was consumed (derivation.md, Context).

What was consumed of a lot since it could no longer be used is said, with the events that carry it; nothing is reversed
by itself. What is only pending may still be held, where the tag map says `hold`: then it is judged when it is cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from edge_agent.config.tagmap import LotPolicy
from edge_agent.derivation.booking import Books
from edge_agent.derivation.lot_status import CONSUMED, Told, Unfit, consumed, judged, remember, slot_of, told
from edge_agent.model.message import LotMessage, SaidLot
from edge_agent.model.movement import Carried, EventType, Key, Notice


def tell(work: Books, said: LotMessage) -> None:
    """Take the statuses in. What comes after something newer was said of one of the lots is refused as a whole."""
    for one in said.lots:
        known = told(work.state, one.material, one.lot)
        if known and known[-1].newest > said.time:
            since = known[-1].newest.isoformat()
            work.outcome.refused = (
                f"lot {one.lot} of {one.material}: something newer was said, which holds since {since}"
            )
            return
    for one in said.lots:
        material, before = work.map.materials.get(one.material), told(work.state, one.material, one.lot)
        policy = None if material is None else material.lot_status
        if policy is not None and policy.hold:
            _keep_held(work, one, said.time)
        remember(work.state, one, said.time)
        if policy is not None:
            _say_late(work, one, policy, said.time, before)
    work.outcome.nonces.append(said.nonce)


def _keep_held(work: Books, said: SaidLot, since: datetime) -> None:
    """What is held of the lot and began to run before the new status: that one cannot set it free."""
    for rule in work.map.rules.values():
        pending = work.rule(rule.name).pending
        mine = [one for one in pending if (one.key.material, one.key.lot) == (said.material, said.lot)]
        gone = [one for one in mine if one.start_time < since and not work.ready(rule, one)]
        if gone:
            left = tuple(one for one in pending if one not in gone)
            work.put(rule.name, replace(work.rule(rule.name), pending=left))


class _Taken(NamedTuple):
    """What was consumed of a lot, and why it should not have been; `carried` None while it is pending."""

    key: Key
    quantity: Decimal
    since: datetime
    until: datetime
    carried: Carried | None
    unfit: Unfit


def _say_late(work: Books, said: SaidLot, policy: LotPolicy, since: datetime, before: Told) -> None:
    """One exception for each rule that has consumed of the lot since then, if nobody was told before."""
    touched = sorted(_taken(work, said, policy, since, before), key=lambda one: one.key.rule)
    for parts in (tuple(some) for _, some in groupby(touched, key=lambda one: one.key.rule)):
        sent = [one for one in parts if one.carried is not None]
        pending = sum((one.quantity for one in parts if one.carried is None), Decimal(0))
        unit = work.map.materials[said.material].unit.name
        what = [f"{one.quantity} {unit} sent" for one in sent]
        what += [f"{pending} {unit} pending" + (", to be held" if policy.hold else "")] if pending else []
        message = (
            f"lot {said.lot} of {work.map.materials[said.material].name}, {parts[-1].unfit.why}: that was told after"
            f" some of it had been consumed: {'; '.join(what)}{_forgotten(work, said, since)}."
            " Nothing is reversed by itself"
        )
        total = sum((one.quantity for one in parts), Decimal(0))
        span = (min(one.since for one in parts), max(one.until for one in parts))
        carried = tuple(one.carried for one in parts if one.carried is not None)
        work.notice(Notice("", parts[-1].unfit.cause, parts[0].key, total, *span, message, carried))


def _taken(work: Books, said: SaidLot, policy: LotPolicy, since: datetime, before: Told) -> Iterator[_Taken]:
    """What was consumed of the lot since then; only what may not be used for another cause than before."""
    after = told(work.state, said.material, said.lot)

    def why(key: Key, until: datetime) -> Unfit | None:
        if (key.event, key.material, key.lot) != (EventType.CONSUMED, said.material, said.lot) or until < since:
            return None
        found, former = judged(policy, after, until), judged(policy, before, until)
        return None if found is None or (former is not None and former.cause is found.cause) else found

    for one in consumed(work.state, slot_of(said.material, said.lot)):
        unfit = why(one.key, one.until)
        if unfit is not None:
            carried = Carried(one.epoch, one.from_position, one.quantity)
            yield _Taken(one.key, one.quantity, one.since, one.until, carried, unfit)
    for name in work.map.rules:
        for line in work.rule(name).pending:
            unfit = why(line.key, line.time)
            if unfit is not None:
                yield _Taken(line.key, line.quantity, line.start_time, line.time, None, unfit)


def _forgotten(work: Books, said: SaidLot, since: datetime) -> str:
    """What there may have been before what is remembered."""
    lines = consumed(work.state, slot_of(said.material, said.lot))
    if len(lines) < CONSUMED or lines[0].until < since:
        return ""
    return f"; what was consumed before {lines[0].until.isoformat(timespec='milliseconds')} is not remembered here"
