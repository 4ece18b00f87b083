"""Handshake rules at work: blocks in, and what `confirmed` finds in them as lines, reviews and gaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import LotWay, Rule
from edge_agent.derivation import (
    certain,
    confirmed,
    confirmed_bits,
    confirmed_event,
    confirmed_ring,
    lots,
    once_per,
)
from edge_agent.derivation.amounts import TOO_MUCH, exact
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Attribution, Setting, attribute, settings_in
from edge_agent.derivation.enrich import event_time
from edge_agent.derivation.lost_store import note_restore, unknown_handshake
from edge_agent.model.confirmation import Acknowledge, Block, Released, Result
from edge_agent.model.movement import Candidate, Cause, Evidence, Key
from edge_agent.model.outcome import EpochMark, NaturalKey
from edge_agent.model.reading import Quality, Reading
from edge_agent.model.signal_state import HandshakeState

_CONFIRM: dict[Kind, Callable[[Handshake, HandshakeState | None, Block], confirmed.Verdict]] = {
    Kind.TRANSACTION_COUNTER: confirmed.confirm,
    Kind.BITS: confirmed_bits.confirm,
    Kind.RING: confirmed_ring.confirm,
    Kind.EVENT: confirmed_event.confirm,
}
_RELEASED: dict[Kind, Callable[[Handshake, HandshakeState, int], HandshakeState]] = {
    Kind.TRANSACTION_COUNTER: confirmed.released,
    Kind.BITS: confirmed_bits.released,
    Kind.RING: confirmed_ring.released,
    Kind.EVENT: confirmed_event.released,
}


@dataclass(frozen=True, slots=True)
class HandshakeRule:
    """A rule whose signal is a handshake."""

    rule: Rule
    spec: Handshake

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def source(self) -> str:
        """The source its signal comes from."""
        return self.spec.trigger.source

    def state(self, work: Books) -> HandshakeState | None:
        """The latest number; None before the first block."""
        signal = work.rule(self.name).signal
        return signal if isinstance(signal, HandshakeState) else None

    def keep(self, work: Books, after: HandshakeState) -> None:
        """Remember the latest number, and the proof of its epoch."""
        work.put(self.name, replace(work.rule(self.name), signal=after))
        mark = EpochMark(self.name, after.epoch, after.first_number, after.latest, after.wraps, self.spec.modulus)
        work.outcome.epochs[self.name, after.epoch] = mark


def confirm(work: Books, one: HandshakeRule, block: Block) -> None:
    """One coherent block; an unreadable ack tag makes it none (it is read again by the source)."""
    if block.acknowledged is None:
        work.count(one.name, "not_a_block")
        return
    before = one.state(work)
    known = before or unknown_handshake(work, one.name, block.received)
    block = _checked(work, one, block)
    verdict = _of_one_lot(work, one.rule, _CONFIRM[one.spec.kind](one.spec, known, block))
    whose = _whose(work, one, block)
    if whose.cause is not None:
        verdict = _in_doubt(verdict, whose.cause, _why(one, whose.cause))
    for found in verdict.findings:
        if _finding(work, one, block, found, content=verdict.state.content, whose=whose.first) is not None:
            verdict = replace(
                verdict, state=replace(verdict.state, result=Result.IN_REVIEW), acknowledge=Result.IN_REVIEW
            )
    if verdict.state != before:
        one.keep(work, verdict.state)
    if before is None:
        once_per.forget(work, one.rule, note_restore(work, block.received).doubted_until)
    elif before.restored and verdict.findings:  # the number it had left off at: nothing was lost
        once_per.forget(work, one.rule, block.received.wall)
    if verdict.acknowledge is not None:
        answer = Acknowledge(one.name, block.number, verdict.acknowledge, block.received)
        work.outcome.acknowledgements.append(answer)
    if before is not None and not verdict.findings and (one.spec.kind is Kind.TRANSACTION_COUNTER or block.values):
        work.count(one.name, "repeated")


def _checked(work: Books, one: HandshakeRule, block: Block) -> Block:
    """The block, its quantity marked bad where it is out of the tag's range or nothing that an event can carry."""
    reading = block.values.get(one.spec.quantity)
    if reading is None or isinstance(reading.value, bool) or not isinstance(reading.value, int | Decimal):
        return block
    try:
        quantity = exact(one.spec.counts(reading.value), one.rule.factor)
        if quantity < TOO_MUCH and work.map.tags[reading.tag].in_range(reading.value):
            return block
    except (ArithmeticError, ValueError):  # too many decimals; infinite; not a number at all
        pass
    return replace(block, values={**block.values, reading.tag: replace(reading, quality=Quality.BAD)})


def _of_one_lot(work: Books, rule: Rule, verdict: confirmed.Verdict) -> confirmed.Verdict:
    """A transaction is one line: where what it takes spans several lots `fifo`, a person decides."""
    if rule.lot_from is not LotWay.FIFO or rule.from_ is None:
        return verdict
    there = lots.stock(work.state, rule.from_, rule.material.number)
    booked = [found for found in verdict.findings if isinstance(found, confirmed.Booking)]
    if any(len(lots.oldest(there, exact(found.quantity, rule.factor))) > 1 for found in booked):
        return _in_doubt(verdict, Cause.STRADDLED_LOT, "it spans several lots")
    return verdict


def _why(one: HandshakeRule, cause: Cause) -> str:
    """What keeps open whose a movement is, for people."""
    if cause is Cause.ORDER_UNKNOWN and one.spec.order is not None:
        return f"its block names no order: {one.spec.order} is empty, or could not be read"
    return f"its {cause.removesuffix('-unknown')} was not known yet"


def _in_doubt(verdict: confirmed.Verdict, cause: Cause, why: str) -> confirmed.Verdict:
    """What is certain but for its order, or whether its condition lets it count, is for a person to decide."""
    findings = tuple(
        confirmed.Suspicion(found.place, cause, found.quantity, found.container, why)
        if isinstance(found, confirmed.Booking)
        else found
        for found in verdict.findings
    )
    if findings == verdict.findings:
        return verdict
    return confirmed.Verdict(replace(verdict.state, result=Result.IN_REVIEW), findings, Result.IN_REVIEW)


def release(work: Books, one: HandshakeRule, done: Released) -> None:
    """Our acknowledgement has been written to the device."""
    state = one.state(work)
    if state is not None:
        after = _RELEASED[one.spec.kind](one.spec, state, done.number)
        if after != state:
            one.keep(work, after)


def restarted(work: Books, one: HandshakeRule) -> None:
    """The PLC restarted: its count may begin anew."""
    state = one.state(work)
    if state is not None and not state.restarted:
        one.keep(work, replace(state, restarted=True))


def _finding(
    work: Books, one: HandshakeRule, block: Block, found: confirmed.Finding, *, content: str, whose: Setting
) -> str | None:
    """Give it its place in the books; why a person must decide on a movement that was certain, else None."""
    rule = one.rule
    time = _time(work, one, block)
    match found:
        case confirmed.Booking():
            proof = replace(_evidence(block, found.place, time), flags=found.flags)
            key = work.key(rule, whose._replace(container=found.container), time)
            line = work.line(rule, key, found.quantity, proof)
            place = f"event/{block.event}" if block.event else f"{found.place.epoch}/{found.place.to_position}"
            name = f"{rule.name}/{place}"
            work.outcome.natural_keys.append(NaturalKey(rule.name, name, content))
            if whose.runs is False:
                work.exclude(rule, line)
                return None
            return certain.settle(work, rule, line, block.received.wall)
        case confirmed.Suspicion():
            key = work.key(rule, whose._replace(container=found.container), time)
            _suspect(work, rule, found, key, _evidence(block, found.place, time))
        case confirmed.Skipped():
            bounds = (Decimal(0), None if found.numbers else Decimal(0))
            around = _around(work, rule, time).first  # the block says nothing of what was not shown
            key = work.key(rule, around._replace(container=None), time)
            work.gap(rule, found.cause, key, bounds=bounds, span=(time, time), message=found.message)
    return None


def _suspect(work: Books, rule: Rule, found: confirmed.Suspicion, key: Key, proof: Evidence) -> None:
    """A transaction in doubt goes to review; its number stays in the identity if it took one."""
    line = work.line(rule, key, found.quantity or 0, proof)
    ways = [Candidate(Decimal(0), "did not happen, or is booked already", key)]
    if found.quantity is not None and found.cause is Cause.STRADDLED_LOT and rule.from_ is not None:
        there = lots.oldest(lots.stock(work.state, rule.from_, rule.material.number), line.quantity)
        ways = [Candidate(line.quantity, f"all of lot {lot or 'none'}", replace(key, lot=lot)) for lot, _ in there]
    elif found.quantity is not None:
        ways.insert(0, Candidate(line.quantity, "happened as the block says", key))
    doubted = proof.from_position == proof.to_position
    work.review(rule, found.cause, tuple(ways), line, quantity_doubted=doubted, message=found.message)
    once_per.doubt(work, rule, key.container, line.time)


def _time(work: Books, one: HandshakeRule, block: Block) -> datetime:
    """When the movement happened: the block's own time where the device states it."""
    quantity = block.values.get(one.spec.quantity)
    if quantity is None:
        return block.received.wall
    return event_time(quantity, work.state.sources.get(one.spec.trigger.source), work.map.max_skew)[0]


def _whose(work: Books, one: HandshakeRule, block: Block) -> Attribution:
    """Whose the movement is: what the block is to say, it alone says.

    A lot that it does not say is booked, with an exception; without its order a movement that counts is nobody's.
    """
    whose = _around(work, one.rule, _time(work, one, block))
    said = {part: _said(block.values.get(tag)) for part, tag in one.spec.surroundings.items()}
    first = whose.first._replace(**said)  # type: ignore[arg-type]  # by name: none of them is `runs`
    nobodys = one.spec.order is not None and first.order is None and first.runs is not False
    cause = Cause.ORDER_UNKNOWN if nobodys and whose.cause is None else whose.cause
    return replace(whose, settings=(first,), cause=cause)


def _said(reading: Reading | None) -> str | None:
    """An order, lot or operator as the block states it; none where it is empty or could not be read."""
    if reading is None or reading.quality is not Quality.GOOD or reading.value is None:
        return None
    return str(reading.value).strip() or None


def _around(work: Books, rule: Rule, time: datetime) -> Attribution:
    """What tags told of that time."""
    return attribute(rule, settings_in(rule, work.state, time, time), timedelta(0), timedelta(0))


def _evidence(block: Block, place: confirmed.Place, time: datetime) -> Evidence:
    return Evidence(
        epoch=place.epoch,
        from_position=place.from_position,
        to_position=place.to_position,
        first_time=time,
        last_time=time,
        samples=1,
        raw_before=str(block.acknowledged),
        raw_after=str(block.number),
        status_codes=tuple(dict.fromkeys(reading.status for reading in block.values.values())),
    )
