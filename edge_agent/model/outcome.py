"""What one fold over a batch of inputs decided: exactly what one transaction must hold, and what may follow it."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.model.confirmation import Acknowledge
from edge_agent.model.event import EventDraft
from edge_agent.model.message import Answered, Nonce
from edge_agent.model.movement import Decision, Gap, Line, LineState, Review
from edge_agent.model.state import State
from edge_agent.model.value import value


@value
class EpochMark:
    """A rule's epoch from raw values alone: `last_raw - first_raw + wraps * modulus` ran through it."""

    rule: str
    epoch: int
    first_raw: int
    last_raw: int
    wraps: int
    modulus: int


@value
class LineMark:
    """A line's place in the ledger: (rule, epoch, from_position) names it; the newest mark of a name wins.

    `draft` is the index in `Outcome.events` of the event that carries it, once cut.
    """

    line: Line
    state: LineState
    draft: int | None = None
    review: str | None = None


@value
class NaturalKey:
    """What makes a confirmation the same confirmation: rule, epoch and unrolled number. Never booked twice."""

    rule: str
    key: str
    content: str


@dataclass(slots=True)
class Outcome:
    """The changes of state, the events and marks to be committed together, and the acknowledgements to write after."""

    changed: State = field(default_factory=State)
    events: list[EventDraft] = field(default_factory=list)
    lines: dict[tuple[str, int, int], LineMark] = field(default_factory=dict)
    epochs: dict[tuple[str, int], EpochMark] = field(default_factory=dict)
    reviews: list[Review] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    natural_keys: list[NaturalKey] = field(default_factory=list)
    acknowledgements: list[Acknowledge] = field(default_factory=list)
    answered: Answered | None = None
    """What the confirmation in it is answered, after the commit."""
    nonces: list[Nonce] = field(default_factory=list)
    refused: str | None = None
    """Why nothing of the context in it was taken."""
    snapshot: bool = False
    """Whether a snapshot of all stocks is to be taken with it."""
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
