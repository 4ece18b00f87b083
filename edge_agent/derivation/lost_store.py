"""Rules that a restored store does not know: added after the backup, the lost store may have booked for them.

Their first epoch lies beyond all of the lost store's (`Books.next_epoch`), and nothing that is there at the first sight
is booked by itself (reliability.md, invariant 13). So it is for a rule that is new, too: nobody can tell the two apart.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import settings_in
from edge_agent.model.confirmation import Result
from edge_agent.model.movement import Cause
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import ConfirmationState, HandshakeState, Phase
from edge_agent.model.state import EPOCH_LEAP, RESTORES, RuleState


def note_restore(work: Books, now: Instant) -> ConfirmationState:
    """When the store was restored the last time: what counts for rules that it had not known."""
    known = work.rule(RESTORES).signal
    if not isinstance(known, ConfirmationState):
        return ConfirmationState(0)
    if not known.restored:
        return known
    noted = begun_anew(work, known, now)
    work.put(RESTORES, RuleState(noted))
    return noted


def begun_anew(work: Books, known: ConfirmationState, now: Instant) -> ConfirmationState:
    """A count that goes on after a restore, in an epoch of its own."""
    return replace(
        known,
        epoch=known.epoch + EPOCH_LEAP,
        first_number=known.latest,
        restored=False,
        doubted_until=now.wall + work.map.max_skew,
    )


def say_not_known(work: Books, rule: Rule, now: Instant, time: datetime) -> None:
    """The first reading of a meter is a baseline: what ran before its `time` the lost store has booked, or nobody."""
    restored = note_restore(work, now).doubted_until
    if restored is None:
        return
    since = min(restored - work.map.max_skew, time)
    whose = settings_in(rule, work.state, since, time).settings[0]
    message = (
        "the store was restored from a backup that does not know this rule: what the lost one did not book of what "
        f"ran until {time.isoformat(timespec='seconds')} is not known; compare with what receivers hold"
    )
    key = work.key(rule, whose, time)
    work.gap(rule, Cause.RESTORED, key, bounds=(Decimal(0), None), span=(since, time), message=message)


def unknown_handshake(work: Books, name: str, now: Instant) -> HandshakeState | None:
    """A handshake of which a restored store knows no block, and the lost one may have; None without a restore."""
    if note_restore(work, now).doubted_until is None:
        return None
    before = work.next_epoch(name) - EPOCH_LEAP
    return HandshakeState(before, 0, 0, 0, "", Result.DONE, released=True, restored=True, phase=Phase.IDLE)
