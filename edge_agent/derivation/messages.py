"""Movements that SCADA confirms by message: checked, then booked once for ever (derivation.md, Handshakes).

An id is a natural key: kept with its answer in the transaction that books it. Each message takes one place of its
rule's epoch, whatever comes of it. The movement did happen: what fails a check is answered so, and goes to review.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import TypeAdapter

from edge_agent.config.devices import Unit
from edge_agent.config.signals import Confirmation
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.derivation import certain, once_per
from edge_agent.derivation.amounts import TOO_MUCH, exact
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Attribution, attribute, settings_in
from edge_agent.derivation.lost_store import begun_anew, note_restore
from edge_agent.model.confirmation import Result
from edge_agent.model.message import Answered, ConfirmationMessage
from edge_agent.model.movement import Candidate, Cause, EventType, Evidence, Flag, Key, Line
from edge_agent.model.outcome import EpochMark, NaturalKey
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import ConfirmationState

_ANSWERED: TypeAdapter[Answered] = TypeAdapter(Answered)
_SIDES = {
    EventType.CONSUMED: ("from",),
    EventType.PRODUCED: ("to",),
    EventType.MOVED: ("from", "to"),
    EventType.RETURNED: ("to",),
    EventType.SCRAPPED: ("from",),
    EventType.SAMPLED: ("from",),
}


def natural_keys(rule: Rule, message: ConfirmationMessage) -> tuple[str, ...]:
    """Under what the movement may be known already: a renamed rule goes on for its former name."""
    return tuple(_natural_key(name, message) for name in (rule.name, rule.was) if name is not None)


def _natural_key(rule: str, message: ConfirmationMessage) -> str:
    """Neither rules nor digests have a slash in them, so no two of these are alike."""
    if message.conflicting:
        return f"conflict:{rule}/{message.digest}/{message.id}"
    return f"message:{rule}/{message.id}"


def confirm(work: Books, rule: Rule, message: ConfirmationMessage) -> None:
    """Take a confirmation in whose id, or (`conflicting`) whose other content, the store does not know."""
    state = settle(work, rule, message.received)
    time, flags = _time(message, work.map.max_skew)
    line, whose = _line(work, rule, message, state, (time, flags))
    _keep(work, rule, replace(state, latest=state.latest + 1))
    reviews = len(work.outcome.reviews)
    fault = _fault(work.map, rule, message)
    result, reason = Result.IN_REVIEW, None
    if message.conflicting:
        result, reason = Result.CONFLICT, "its id was used for another movement"
        _doubt(work, rule, line, Cause.CONFLICT, reason)
    elif fault is not None:
        result, reason = Result.FAILED_CHECK, fault
        _doubt(work, rule, line, Cause.FAILED_CHECK, reason)
    elif state.doubted_until is not None and (flags or time <= state.doubted_until):
        reason = "a store was restored since it happened: it may be booked already"
        _doubt(work, rule, line, Cause.RESTORED, reason)
    elif whose.cause is not None:
        reason = f"its {whose.cause.removesuffix('-unknown')} was not known then"
        _doubt(work, rule, line, whose.cause, reason)
    elif whose.first.runs is False:
        result = Result.DONE
        work.exclude(rule, line)
    else:
        reason = certain.settle(work, rule, line, message.received.wall)
        result = Result.DONE if reason is None else Result.IN_REVIEW
    review = work.outcome.reviews[reviews].id if len(work.outcome.reviews) > reviews else None
    answered = Answered(message.digest, result, review, reason)
    key = _natural_key(rule.name, message)
    work.outcome.natural_keys.append(NaturalKey(rule.name, key, _ANSWERED.dump_json(answered).decode()))
    work.outcome.answered = answered


def settle(work: Books, rule: Rule, now: Instant) -> ConfirmationState:
    """The rule's count; after a restore a new epoch, and doubt for what had happened by then (invariant 13).

    What happens later cannot have been booked by the lost store. Pending lines may have been sent by it.
    """
    known = work.rule(rule.name).signal
    if not isinstance(known, ConfirmationState):
        restores = note_restore(work, now)
        once_per.forget(work, rule, restores.doubted_until)
        return replace(restores, epoch=max(restores.epoch, 0 if known is None else known.epoch) + 1)
    if not known.restored:
        return known
    work.doubt_restored(rule)
    begun = begun_anew(work, known, now)
    _keep(work, rule, begun)
    once_per.forget(work, rule, begun.doubted_until)
    return begun


def _keep(work: Books, rule: Rule, after: ConfirmationState) -> None:
    work.put(rule.name, replace(work.rule(rule.name), signal=after))
    mark = EpochMark(rule.name, after.epoch, after.first_number, after.latest, 0, 0)
    work.outcome.epochs[rule.name, after.epoch] = mark


def _time(message: ConfirmationMessage, max_skew: timedelta) -> tuple[datetime, tuple[Flag, ...]]:
    """When it happened, as SCADA says, which keeps what it could not send; only the future is refused."""
    now = message.received.wall
    if message.time > now + max_skew:
        return now, (Flag.SOURCE_TIME_REFUSED,)
    return message.time, ()


def _line(
    work: Books,
    rule: Rule,
    message: ConfirmationMessage,
    state: ConfirmationState,
    when: tuple[datetime, tuple[Flag, ...]],
) -> tuple[Line, Attribution]:
    """The movement as said, and whose it is; no quantity where it says none that can be booked."""
    time, flags = when
    unit = _unit(work.map, rule, message)
    quantity = Decimal(0) if unit is None else _quantity(rule, message, unit) or Decimal(0)
    whose = attribute(rule, settings_in(rule, work.state, time, time), timedelta(0), timedelta(0))
    if message.order is not None and whose.cause is Cause.ORDER_UNKNOWN:
        whose = replace(whose, cause=None)
    order, lot = message.order or whose.first.order, message.lot or whose.first.lot
    key = replace(
        work.key(rule, whose.first._replace(order=order, lot=lot, container=message.container), time),
        from_=_side(rule, "from", rule.from_ or message.from_),
        to=_side(rule, "to", rule.to or message.to),
    )
    proof = Evidence(
        *(state.epoch, state.latest, state.latest + 1, time, time),
        samples=1,
        raw_before="",
        raw_after=message.id,
        flags=flags,
    )
    line = work.line(rule, key, quantity, proof)
    if unit is None or quantity == 0:
        return line, whose
    return replace(line, source_quantity=message.quantity, source_unit=unit.name), whose


def _side(rule: Rule, name: str, location: str | None) -> str | None:
    return location if name in _SIDES[rule.event] else None


def _unit(tag_map: TagMap, rule: Rule, message: ConfirmationMessage) -> Unit | None:
    """The unit it is in, if the map knows one of that name, or only one of that code, and it converts."""
    own = rule.material.unit
    if message.unit is None or message.unit in (own.name, own.code):
        return own
    named = tag_map.units.get(message.unit)
    coded = [unit for unit in tag_map.units.values() if unit.code == message.unit]
    found = named or (coded[0] if len(coded) == 1 else None)
    return found if found is not None and found.base == own.base else None


def _quantity(rule: Rule, message: ConfirmationMessage, unit: Unit) -> Decimal | None:
    """In the material's unit; None where an event cannot carry it."""
    try:
        found = exact(message.quantity, unit.factor / rule.material.unit.factor)
    except ArithmeticError:
        return None
    return found if 0 < found < TOO_MUCH else None


def _fault(tag_map: TagMap, rule: Rule, message: ConfirmationMessage) -> str | None:
    """Which check the confirmation fails; None if it passes all."""
    if message.quantity <= 0:
        return f"quantity is {message.quantity:f}, not a positive quantity"
    unit = _unit(tag_map, rule, message)
    if unit is None:
        return (
            f"unit {message.unit} cannot be converted to {rule.material.unit.name}, the unit of {rule.material.number}"
        )
    if _quantity(rule, message, unit) is None:
        return f"quantity {message.quantity:f} {unit.name} has too many digits in {rule.material.unit.name}"
    if rule.material.lot_tracked and message.lot is None:
        return f"material {rule.material.number} is lot-tracked, and no lot is given"
    if certain.tells_apart(rule) and message.container is None:
        return certain.NAMELESS
    return _wrong_side(rule, message)


def is_placed(rule: Rule, key: Key) -> bool:
    """Whether a movement of `key` names the places its event needs. Only a message can fail to; else the map does."""
    sides = {"from": key.from_, "to": key.to}
    known = [sides[name] for name in _SIDES[rule.event]]
    return not isinstance(rule.signal, Confirmation) or (None not in known and len(set(known)) == len(known))


def _wrong_side(rule: Rule, message: ConfirmationMessage) -> str | None:
    """A side is said by the map or by the message, and by both only if they say the same."""
    for name, fixed, said in (("from", rule.from_, message.from_), ("to", rule.to, message.to)):
        if name not in _SIDES[rule.event]:
            if said is not None:
                return f"{name} means nothing for {rule.event}"
        elif fixed is None and said is None:
            return f"{name} is neither in the message nor in the tag map"
        elif None not in (fixed, said) and fixed != said:
            return f"{name} is {fixed} in the tag map, not {said}"
    if (rule.from_ or message.from_) == (rule.to or message.to):
        return "it moves to where it is"
    return None


def _doubt(work: Books, rule: Rule, line: Line, cause: Cause, message: str) -> None:
    """To review, its place in the identity kept. What no event could be made of is no candidate."""
    ways: tuple[Candidate, ...] = (once_per.nothing(line),)
    if line.quantity > 0 and is_placed(rule, line.key):
        ways = (Candidate(line.quantity, "happened as confirmed", line.key), *ways)
    work.review(
        rule, cause, ways, line, quantity_doubted=False, message=f"message {line.evidence.raw_after}: {message}"
    )
    once_per.doubt(work, rule, line.key.container, line.time)
