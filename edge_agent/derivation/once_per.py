"""`once_per`: a container that passes again within a time is not booked by itself (derivation.md, Handshakes).

What passed is remembered in a ring of slots by time, for twice as long as is looked back: so what is confirmed late,
but not later than that, is compared with all that passed within the time before and after it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from edge_agent.config.tagmap import OncePer, Rule
from edge_agent.derivation.booking import Books
from edge_agent.model.movement import Candidate, Cause, Line
from edge_agent.model.state import SeenState

SLOTS = 64
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def again(work: Books, rule: Rule, once: OncePer, line: Line) -> str | None:
    """Why the line's container may have been booked already, in words; None where it passes for the first time.

    Then it is remembered, and only then: what is suppressed does not put off the time when it counts again.
    """
    container, time = line.key.container, line.time
    passed = [one for name in (rule.name, rule.was) if name is not None for one in _passed(work, name)]
    before = [at for known, at in passed if known == container and abs(at - time) < once.within]
    if before:
        return f"container {container} has passed already, at {max(before).isoformat()}"
    newest = max((at for _, at in passed), default=time)
    if newest - time > once.within:
        return f"container {container} is confirmed so late that nobody remembers what passed at {time.isoformat()}"
    _remember(work, rule, once, str(container), time)
    return None


def suppress(work: Books, rule: Rule, once: OncePer, line: Line, why: str) -> str | None:
    """Leave the line out, or have a person decide; why a person must, None where the tag map has."""
    if once.exclude:
        work.exclude(rule, line, "once_per")
        return None
    ways = (Candidate(line.quantity, "another movement of it", line.key), nothing(line))
    work.review(rule, Cause.PASSED_AGAIN, ways, line, quantity_doubted=False, message=why)
    work.count(rule.name, "once_per")
    return why


def nothing(line: Line) -> Candidate:
    """It was no movement of its own."""
    return Candidate(Decimal(0), "did not happen, or is booked already", line.key)


def _passed(work: Books, rule: str) -> list[tuple[str, datetime]]:
    slots = (work.state.seen.get(f"{rule}/{number}") for number in range(SLOTS))
    return [one for slot in slots if slot is not None for one in slot.passed]


def _remember(work: Books, rule: Rule, once: OncePer, container: str, time: datetime) -> None:
    """Write it to its slot; what is there of the ring's last turn is forgotten."""
    kept = 2 * once.within
    number = (time - _BEGINNING) // max(kept / (SLOTS - 1), timedelta(microseconds=1)) % SLOTS
    name = f"{rule.name}/{number}"
    known: SeenState = work.state.seen.get(name, SeenState(()))
    still = tuple(one for one in known.passed if time - one[1] <= kept)
    work.state.seen[name] = SeenState((*still, (container, time)))
