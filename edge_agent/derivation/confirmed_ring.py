"""Confirmed movements by a ring buffer: the PLC advances the head, the agent the tail (derivation.md, Handshakes).

A block is the entry at the tail; its `number` is the tail after it, `acknowledged` the tail as found. Only the agent
moves the tail, so while it stands where it was left, entries are new, one after the other. Where it stands elsewhere
the ring began anew: that is said, and what waits then is compared with what was taken before.
"""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Handshake
from edge_agent.derivation import confirmed
from edge_agent.derivation.confirmed import UNKNOWN, Place, Skipped, Suspicion, Verdict
from edge_agent.derivation.confirmed_block import called, fingerprint, legible, read
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.movement import Cause
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import EPOCH_LEAP


def confirm(handshake: Handshake, state: HandshakeState | None, block: Block) -> Verdict:
    """Take one entry in, or the news that none waits. A block whose tail could not be read must not be passed here."""
    content, tail = fingerprint(handshake, block), block.acknowledged or 0
    if state is None:
        return _entry(handshake, _begin(1, tail), block, content)
    if state.restored:
        return _after_restore(handshake, state, block, content)
    ahead = (tail - state.latest) % handshake.modulus
    if ahead == 0:
        return _at_its_place(handshake, state, block, content)
    if ahead == handshake.modulus - 1 and block.waiting:
        if content == state.content or not legible(handshake, block):
            return _latest_again(handshake, state, block, content)
        message = "the tail went back by one, and another entry stands there: what else was lost is not known"
    else:
        message = f"the tail is at {tail}, and not at {state.latest % handshake.modulus} where the agent left it"
    return _anew(handshake, state, block, content, message)


def released(handshake: Handshake, state: HandshakeState, number: int) -> HandshakeState:
    """The tail has been written."""
    return replace(state, released=True) if state.latest % handshake.modulus == number else state


def _begin(epoch: int, tail: int, before: HandshakeState | None = None) -> HandshakeState:
    """An epoch in which the entry at `tail` is the first; what was taken before it stays known."""
    begun = HandshakeState(epoch, tail, tail, 0, "", Result.DONE, released=True)
    return begun if before is None else replace(begun, recent=before.recent, sequence=before.sequence)


def _at_its_place(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """The tail is where it was left. Fewer entries than were seen: the head went back, or overtook the tail.

    Where a tail of 0 was left, a ring that a restart has emptied looks like one that goes on; entries' numbers tell.
    """
    message = ""
    if state.restarted and block.waiting and not block.acknowledged and handshake.number is None:
        message = "the PLC may have restarted, and the tail is at 0: the ring goes on, or it began anew"
    if block.waiting < state.waiting:
        message = f"{state.waiting} entries waited, now {block.waiting}: they were overwritten, or the ring began anew"
        state = replace(state, doubtful=max(1, block.waiting))
    verdict = _entry(handshake, state, block, content)
    return _with_gap(verdict, message) if message else verdict


def _latest_again(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """The latest entry still stands at the tail: it is acknowledged again, unless the tail had been advanced."""
    if state.released and handshake.number is None:
        message = "the tail went back by one after it was written: the entry there may be booked already"
        return _anew(handshake, state, block, content, message)
    lost = replace(state, restarted=state.restarted or state.released)  # whoever takes the tail back has restarted
    after, anew = confirmed.repeated(handshake, lost, block, latest=True)
    after = replace(after, released=False, waiting=block.waiting - 1, restarted=False)
    return Verdict(after, anew, Result(state.result))


def _anew(handshake: Handshake, state: HandshakeState, block: Block, content: str, message: str) -> Verdict:
    """The ring began anew at its present tail; what waited before, unseen, is lost to us."""
    begun = _begin(state.epoch + 1, block.acknowledged or 0, state)
    begun = replace(begun, doubtful=max(1, block.waiting), restarted=state.restarted and block.waiting > 0)
    return _with_gap(_entry(handshake, begun, block, content), message)


def _with_gap(verdict: Verdict, message: str) -> Verdict:
    """The verdict with a gap, unless the entry's number says it too."""
    if any(isinstance(found, Skipped) for found in verdict.findings):
        return verdict
    return replace(verdict, findings=(Skipped(Cause.SKIPPED_NUMBERS, UNKNOWN, message), *verdict.findings))


def _entry(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """The entry at the tail, if there is one."""
    if not block.waiting:
        return Verdict(replace(state, waiting=0))
    restarted = state.restarted
    unseen, sequence = confirmed.follows(handshake, state, block)
    if restarted:
        state = replace(state, restarted=False, doubtful=max(state.doubtful, block.waiting))
    known = confirmed.is_known(state, content)
    taken = replace(
        state,
        latest=state.latest + 1,
        content=content,
        recent=confirmed.remember(state, content, 2 * handshake.modulus),
        waiting=block.waiting - 1,
        doubtful=confirmed.doubtful(handshake, state, known=known),
        released=False,
    )
    if known and handshake.number is not None:
        begun = replace(taken, epoch=state.epoch + 1, first_number=taken.latest, result=Result.DONE)  # takes no place
        again = replace(begun, restarted=restarted)
        after, anew = confirmed.repeated(handshake, again, block, latest=content == state.content)
        return Verdict(replace(after, restarted=False), anew, Result.DONE)
    if known and state.doubtful:
        why = "has the content of an earlier one, and the ring may have begun anew: it may be booked already"
        return _doubt(handshake, taken, block, Cause.IN_DOUBT, why)
    verdict = confirmed.judge(handshake, replace(taken, sequence=sequence, repeated=False), block, content)
    return replace(verdict, findings=(*unseen, *verdict.findings))


def _doubt(handshake: Handshake, taken: HandshakeState, block: Block, cause: Cause, why: str) -> Verdict:
    quantity, container, _ = read(handshake, block)
    place = Place(taken.epoch, taken.latest - 1, taken.latest)
    doubt = Suspicion(place, cause, quantity, container, f"{called(handshake, block, taken.latest)} {why}")
    return Verdict(replace(taken, result=Result.IN_REVIEW), (doubt,), Result.IN_REVIEW)


def _after_restore(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """What was taken since the backup is not known here; the entry at the tail may be booked already (invariant 13)."""
    begun = _begin(state.epoch + EPOCH_LEAP, block.acknowledged or 0, state)
    unseen = Skipped(Cause.RESTORED, UNKNOWN, "entries taken between the backup and now are not known here")
    if not block.waiting:
        return Verdict(begun, (unseen,))
    taken = replace(
        begun,
        latest=begun.latest + 1,
        content=content,
        recent=confirmed.recent(begun, content, 2 * handshake.modulus),
        waiting=block.waiting - 1,
        released=False,
    )
    why = "stands at the tail after a restore of the store: it may be booked already"
    doubt = _doubt(handshake, taken, block, Cause.RESTORED, why)
    return replace(doubt, findings=(unseen, *doubt.findings))
