"""`once_per`: a container that passes again within a time is not booked by itself (derivation.md, Handshakes).

What passed is remembered in a ring of slots by time, for twice as long as is looked back: so what is confirmed late,
but not later than that, is compared with all that passed within the time before and after it. Where that is not known
(a person has not decided, a store was restored and forgot), a person decides, whatever the tag map says of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from edge_agent.config.tagmap import OncePer, Rule
from edge_agent.derivation.booking import Books
from edge_agent.model.movement import Candidate, Cause, Line
from edge_agent.model.state import SeenState

SLOTS = 64
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Again:
    """Why a container may have been booked already; `sure` where it was."""

    why: str
    sure: bool = False


def again(work: Books, rule: Rule, once: OncePer, line: Line) -> Again | None:
    """Why the line's container may have been booked already; None where it passes for the first time.

    Then it is remembered as passed. One in doubt is remembered as such; what is surely suppressed is not: it does not
    put off the time when it counts again.
    """
    container, time = str(line.key.container), line.time
    slots = [slot for name in _names(rule) for slot in _slots(work, name)]
    before = [at for slot in slots for known, at in slot.passed if known == container and abs(at - time) < once.within]
    if before:
        return Again(f"container {container} has passed already, at {max(before).isoformat()}", sure=True)
    newest = max((at for slot in slots for _, at in slot.passed), default=time)
    lost = max((until for name in _names(rule) if (until := work.rule(name).lost_until) is not None), default=None)
    doubted = [
        at for slot in slots for known, at in slot.doubted if known == container and abs(at - time) < once.within
    ]
    why = None
    if newest - time > once.within:
        why = f"is confirmed so late that nobody remembers what passed at {time.isoformat()}"
    elif doubted:
        why = f"may have passed already: a person decides on it at {max(doubted).isoformat()}"
    elif lost is not None and time - lost < once.within:
        why = f"may have passed already: the store was restored, and what passed until {lost.isoformat()} is not known"
    _remember(work, rule, once, container, time, doubted=why is not None)
    return None if why is None else Again(f"container {container} {why}")


def suppress(work: Books, rule: Rule, once: OncePer, line: Line, found: Again) -> str | None:
    """Leave the line out, or have a person decide; why a person must, None where the tag map has."""
    if once.exclude and found.sure:
        work.exclude(rule, line, "once_per")
        return None
    ways = (Candidate(line.quantity, "another movement of it", line.key), nothing(line))
    work.review(rule, Cause.PASSED_AGAIN, ways, line, quantity_doubted=False, message=found.why)
    work.count(rule.name, "once_per")
    return found.why


def doubt(work: Books, rule: Rule, container: str | None, time: datetime) -> None:
    """A person decides on a movement of `container`: until then nobody knows whether it passed."""
    if rule.once_per is not None and container is not None:
        _remember(work, rule, rule.once_per, container, time, doubted=True)


def forget(work: Books, rule: Rule, until: datetime | None) -> None:
    """The store was restored: what the lost one booked `until` then is not known here (invariant 13). None: never."""
    if rule.once_per is not None and until is not None:
        work.put(rule.name, replace(work.rule(rule.name), lost_until=until))


def nothing(line: Line) -> Candidate:
    """It was no movement of its own."""
    return Candidate(Decimal(0), "did not happen, or is booked already", line.key)


def _names(rule: Rule) -> list[str]:
    return [name for name in (rule.name, rule.was) if name is not None]


def _slots(work: Books, rule: str) -> list[SeenState]:
    slots = (work.state.seen.get(f"{rule}/{number}") for number in range(SLOTS))
    return [slot for slot in slots if slot is not None]


def _remember(work: Books, rule: Rule, once: OncePer, container: str, time: datetime, *, doubted: bool) -> None:
    """Write it to its slot; what is there of the ring's last turn is forgotten."""
    kept = 2 * once.within
    number = (time - _BEGINNING) // max(kept / (SLOTS - 1), timedelta(microseconds=1)) % SLOTS
    name = f"{rule.name}/{number}"
    known = work.state.seen.get(name, SeenState(()))
    passed = tuple(one for one in known.passed if time - one[1] <= kept)
    unsure = tuple(one for one in known.doubted if time - one[1] <= kept)
    one = ((container, time),)
    work.state.seen[name] = SeenState(passed if doubted else passed + one, unsure + one if doubted else unsure)
