"""Outcomes as the engine makes them, and a renderer that needs no tag map."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

from edge_agent.model.event import EventDraft, Place, Rendered
from edge_agent.model.movement import (
    Candidate,
    Cause,
    EventType,
    Evidence,
    Gap,
    Key,
    Line,
    LineState,
    Review,
)
from edge_agent.model.outcome import EpochMark, LineMark, NaturalKey, Outcome
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState, HandshakeState
from edge_agent.model.state import RuleState, State

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
RULE = "bottles_made"


def render(draft: EventDraft, place: Place) -> Rendered:
    """Bytes that say their place, so that every difference shows."""
    text = f"{draft.type} {place.source} {place.sequence} {place.prevhash} {place.causation} {draft.lines}"
    return Rendered(str(uuid5(NAMESPACE_URL, text)), f"io.edgeagent.{draft.type}.v1", "mat/v1/x", text.encode())


def key(order: str | None = "A1") -> Key:
    return Key(RULE, EventType.PRODUCED, "900001", order, None, "L3-OUT", date(2026, 3, 2))


def line(since: int, until: int, epoch: int = 1) -> Line:
    proof = Evidence(epoch, since, until, AT, AT, 1, str(since), str(until))
    return Line(key(), Decimal(until - since), "pcs", Decimal(until - since), "pcs", AT, AT, proof)


def counter(raw: int, epoch: int = 1) -> CounterState:
    return CounterState(epoch, 0, raw, 0, Instant(AT, raw, "boot"), AT)


def booked(since: int, until: int, stream: str = "routine") -> Outcome:
    """A delta that is booked and cut at once, with everything that belongs to it."""
    outcome = Outcome(changed=State(rules={RULE: RuleState(counter(until))}))
    made = line(since, until)
    outcome.events.append(EventDraft(EventType.PRODUCED, stream, AT, (made,)))
    outcome.lines[RULE, 1, since] = LineMark(made, LineState.CUT, draft=0)
    outcome.epochs[RULE, 1] = EpochMark(RULE, 1, 0, until, 0, 65536)
    return outcome


def confirmed(number: int) -> Outcome:
    """A handshake's transaction."""
    outcome = booked(number - 1, number, "critical")
    outcome.changed = State(rules={"pallet_out": RuleState(HandshakeState(1, 0, number, 0, "c", 0, released=False))})
    outcome.natural_keys.append(NaturalKey("pallet_out", f"pallet_out/1/{number}", "c"))
    return outcome


def doubtful(name: str) -> Outcome:
    """A review that is opened and announced, and a gap beside it."""
    outcome = Outcome()
    ways = (Candidate(Decimal(0), "was restored", key()), Candidate(Decimal(7), "was reset", key()))
    review = Review(name, Cause.FELL, key(), ways, line(3, 3), quantity_doubted=True, opened=AT, message="fell")
    outcome.reviews.append(review)
    outcome.events.append(EventDraft(EventType.IN_REVIEW, "ops", AT, about=review))
    gap = Gap(f"{name}/gap", Cause.RESET, key(), Decimal(0), Decimal(9), AT, AT, "reset", Decimal(2))
    outcome.gaps.append(gap)
    outcome.events.append(EventDraft(EventType.EXCEPTION, "ops", AT, about=gap))
    return outcome
