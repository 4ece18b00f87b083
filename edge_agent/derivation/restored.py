"""After a restore: what receivers hold of a rule decides how much of a doubtful movement is booked already. Pure.

A review is decided only where every system whose word its rule needs has said the same, and nothing but the amount was
open: no reset, no second way to count. Else a person decides (reliability.md, invariant 13).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from edge_agent.config.signals import Confirmation, Counter
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.amounts import exact
from edge_agent.model.movement import Candidate, Cause, Decision, Review, Verdict


def decided(
    review: Review, rule: Rule, statements: Mapping[str, Mapping[tuple[str, int], int]], at: datetime
) -> Decision | None:
    """The decision that the receivers' statements make of `review`; None where they leave it open.

    `statements` are, by system, the highest position by (rule, epoch), in raw units of the rule's signal.
    """
    position = _agreed(review, rule, statements)
    if review.cause is not Cause.RESTORED or position is None:
        return None
    systems = ", ".join(rule.cadence.accepted_by)
    reason = f"epoch {review.line.evidence.epoch} is held up to position {position} by {systems}"
    way = _remaining(review, rule, position)
    if way is None:
        return None
    number, quantity = way
    return Decision(review, Verdict.ACCEPTED, number, f"statement of {systems}", reason, at, quantity)


def _agreed(review: Review, rule: Rule, statements: Mapping[str, Mapping[tuple[str, int], int]]) -> int | None:
    """The highest position that all systems agree on; None if one has not spoken or knows a later epoch."""
    epoch, systems = review.line.evidence.epoch, rule.cadence.accepted_by
    said = set()
    for system in systems:
        held = {known: position for (name, known), position in statements.get(system, {}).items() if name == rule.name}
        # a later epoch may be one that another life of this store began: the same backup can be restored twice
        if epoch not in held or any(known > epoch for known in held):
            return None
        said.add(held[epoch])
    return said.pop() if len(said) == 1 else None


def _remaining(review: Review, rule: Rule, position: int) -> tuple[int, Decimal | None] | None:
    """The candidate, and how much of it is left; None where it is not one simple amount."""
    proof, ways = review.line.evidence, review.candidates
    booked = [(number, way) for number, way in enumerate(ways, start=1) if way.quantity > 0]
    nothing = next((number for number, way in enumerate(ways, start=1) if way.quantity == 0), None)
    if len(booked) != 1 or nothing is None or isinstance(rule.signal, Confirmation):
        return None  # places of messages are the agent's own count: they tell no movement from another
    number, way = booked[0]
    if proof.from_position < proof.to_position:  # pending lines, or one transaction: all of it or nothing
        if position >= proof.to_position:
            return nothing, None
        return (number, None) if position <= proof.from_position else None
    if not isinstance(rule.signal, Counter) or _turns_once_more(review, rule, rule.signal, way):
        return None
    return _since(rule, number, way, nothing, position - proof.from_position)


def _since(rule: Rule, number: int, way: Candidate, nothing: int, ahead: int) -> tuple[int, Decimal | None] | None:
    """What a counter ran beyond the `ahead` raw units that the lost store booked after the restored baseline."""
    if ahead < 0:
        return None
    left = way.quantity - exact(ahead, rule.factor)
    if left < 0:
        return None
    return (number, left) if left > 0 else (nothing, None)


def _turns_once_more(review: Review, rule: Rule, counter: Counter, way: Candidate) -> bool:
    """Whether the counter had time for a whole turn more since the restored baseline: then its amount is open."""
    if counter.modulus is None:
        return False
    if counter.max_rate is None:
        return True
    seconds = Decimal(str((review.line.time - review.line.start_time).total_seconds()))
    room = counter.max_rate * seconds + counter.burst
    return way.quantity + exact(counter.modulus, rule.factor) <= exact(int(room), rule.factor)
