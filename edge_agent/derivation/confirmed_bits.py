"""Confirmed movements by bits: request, acknowledgement, request low, acknowledgement low (derivation.md, Handshakes).

A block's `number` is the request, 1 or 0; `acknowledged` is our bit. Bits carry no number, so which transaction a
request is follows from the phase that was stored with the latest one, and from its content. What neither can tell (an
older block brought back by a restart, a low phase that nobody saw) is for a person: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Handshake
from edge_agent.derivation import confirmed
from edge_agent.derivation.confirmed import RECENT, UNKNOWN, Finding, Place, Skipped, Suspicion, Verdict
from edge_agent.derivation.confirmed_block import called, fingerprint, legible, own_number, read
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.movement import Cause
from edge_agent.model.signal_state import HandshakeState, Phase
from edge_agent.model.state import EPOCH_LEAP

_COMMITTED = frozenset({Phase.OPEN, Phase.WITHDRAWN})


def confirm(handshake: Handshake, state: HandshakeState | None, block: Block) -> Verdict:
    """Take one coherent block in. A block whose ack tag could not be read must not be passed here."""
    content = fingerprint(handshake, block)
    if state is None:
        return _first_sight(handshake, block, content)
    if state.restored:
        return _after_restore(handshake, state, block, content)
    return _high(handshake, state, block, content) if block.number else _low(state, block)


def _high(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """A request: what it is, its number says, or else the phase of the latest one."""
    unread = state.phase in _COMMITTED and not state.restarted and not legible(handshake, block)
    same = content == state.content or unread  # what could not be read just now proves no other content
    if handshake.number is not None and not block.acknowledged:
        return _numbered(handshake, state, block, content, same=same)
    if state.phase in _COMMITTED:
        return _committed(handshake, state, block, content, same=same)
    if state.phase is Phase.ANSWERED:
        return _answered(handshake, state, block, content, same=same)
    return _again_high(handshake, state, block, content)


def released(_handshake: Handshake, state: HandshakeState, number: int) -> HandshakeState:
    """The acknowledgement bit has been written: set (1) or reset (0)."""
    match state.phase, number:
        case Phase.OPEN, 1:
            return _at(state, Phase.ANSWERED)
        case Phase.CLOSED, 0:
            return _at(state, Phase.IDLE)
    return state


def _at(state: HandshakeState, phase: Phase) -> HandshakeState:
    return replace(state, phase=phase, released=phase not in _COMMITTED)


def _first_sight(handshake: Handshake, block: Block, content: str) -> Verdict:
    """Booked if the PLC still waits for an answer, else it is only where we begin."""
    begun = HandshakeState(1, 0, 0, 0, "", Result.DONE, released=True, phase=Phase.IDLE)
    if not block.number:
        return _low(begun, block)
    if block.acknowledged:
        return Verdict(
            _at(replace(begun, content=content, recent=confirmed.recent(begun, content, RECENT)), Phase.ANSWERED)
        )
    return _new(handshake, begun, block, content)


def _low(state: HandshakeState, block: Block) -> Verdict:
    """No request. An acknowledgement that stands is reset; one that never stood leaves its transaction in doubt."""
    if block.acknowledged:
        # one that was written just when the request was taken back may not have been seen: the block may come again
        late = state.phase is Phase.WITHDRAWN
        return Verdict(replace(_at(state, Phase.CLOSED), restarted=state.restarted or late), (), Result.DONE)
    if state.phase is Phase.OPEN:
        message = "the request was withdrawn before its acknowledgement; it must come again with the same content"
        return Verdict(_at(state, Phase.WITHDRAWN), (Skipped(Cause.IN_DOUBT, 0, message),))
    return Verdict(state if state.phase is Phase.WITHDRAWN else _at(state, Phase.IDLE))


def _committed(handshake: Handshake, state: HandshakeState, block: Block, content: str, *, same: bool) -> Verdict:
    """A request while the latest transaction may not have been answered: it again, or nobody knows."""
    phase = Phase.ANSWERED if block.acknowledged else Phase.OPEN
    if not same:
        why = "came with other content before the latest was answered"
        return _doubt(handshake, state, block, content, Cause.CONFLICT, why=why)
    after = replace(_at(state, phase), restarted=_doubts(handshake, state))
    if block.acknowledged:
        return Verdict(after)
    unseen = _low(state, replace(block, number=0)).findings if block.fell else ()
    after, anew = confirmed.repeated(handshake, after, block, latest=True)
    return Verdict(after, (*unseen, *_alike(handshake, state), *anew), Result(state.result))


def _numbered(handshake: Handshake, state: HandshakeState, block: Block, content: str, *, same: bool) -> Verdict:
    """A request that waits, with the PLC's own number: that says which transaction it is, whatever the phase was."""
    if same and state.phase in _COMMITTED:
        return _committed(handshake, state, block, content, same=same)
    if same or confirmed.is_known(state, content):
        after, anew = confirmed.repeated(handshake, state, block, latest=same)
        after = after if same else replace(after, content=content, result=Result.DONE)
        return Verdict(_at(after, Phase.OPEN), anew, Result(after.result))
    number = own_number(handshake, block)
    if state.sequence is not None and number in {None, state.sequence}:
        why = f"has the number {state.sequence} of the one before, and other content"
        doubt = _doubt(handshake, state, block, content, Cause.CONFLICT, why=why)
        anew = (confirmed.numbers_anew(state, number),) if state.restarted and number is not None else ()
        return replace(doubt, findings=(*anew, *doubt.findings))
    return _new(handshake, state, block, content)


def _answered(handshake: Handshake, state: HandshakeState, block: Block, content: str, *, same: bool) -> Verdict:
    """A request after our acknowledgement was written, and none was seen to end."""
    if block.acknowledged:
        # a PLC may empty the block before it takes the request back
        whole = legible(handshake, block) and read(handshake, block)[2] is None
        if block.fell or (whole and not same):
            why = "came again, or changed, while the acknowledgement of the one before stood"
            return _doubt(handshake, state, block, content, Cause.CONFLICT, why=why)
        return Verdict(state)
    if same and state.restarted:
        after = replace(_at(state, Phase.OPEN), restarted=_doubts(handshake, state))
        return Verdict(after, _alike(handshake, state), Result(state.result))
    if same or state.restarted:
        why = "stands without the acknowledgement that was written: it may be booked already"
        return _doubt(handshake, state, block, content, Cause.IN_DOUBT, why=why)
    return _new(handshake, state, block, content)  # the PLC resets acknowledgements by itself


def _again_high(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """A request after the one before was over: a new one, unless something speaks against it."""
    answered = state.phase is Phase.IDLE and bool(block.acknowledged)
    if answered and state.restarted and content == state.content:
        return Verdict(_at(state, Phase.ANSWERED))
    if answered:
        return _new(handshake, state, block, content, answered=True)
    if content == state.content and state.result != Result.DONE:
        return _refused_again(handshake, state)
    if state.restarted and confirmed.is_known(state, content):
        why = "has the content of an earlier one, and the PLC may have restarted: it may be booked already"
        return _doubt(handshake, state, block, content, Cause.IN_DOUBT, why=why)
    return _new(handshake, state, block, content)


def _refused_again(handshake: Handshake, state: HandshakeState) -> Verdict:
    """What was refused comes again alike: the PLC tries once more, or another movement like it. Said once.

    A block that fails its checks is refused as often as it comes. Any other is answered with 0 then, so that neither
    the PLC asks for ever nor the next one like it is taken for this.
    """
    fails = state.result == Result.FAILED_CHECK
    after = replace(_at(state, Phase.OPEN), restarted=_doubts(handshake, state), repeated=True)
    if not fails:
        after = replace(after, result=Result.DONE, repeated=False)
    message = "a block that is in review came again alike: tried once more, or another movement of the same content"
    findings = () if state.repeated else (Skipped(Cause.IN_DOUBT, UNKNOWN, message),)
    return Verdict(after, findings, Result(after.result))


def _new(handshake: Handshake, state: HandshakeState, block: Block, content: str, *, answered: bool = False) -> Verdict:
    unseen, sequence = confirmed.follows(handshake, state, block)
    taken = replace(_next(state, content), restarted=False, repeated=False, sequence=sequence)
    verdict = confirmed.judge(handshake, taken, block, content, answered=answered)
    after = _at(verdict.state, Phase.ANSWERED if answered else Phase.OPEN)
    return replace(verdict, state=after, findings=(*unseen, *verdict.findings))


def _alike(handshake: Handshake, state: HandshakeState) -> tuple[Finding, ...]:
    """A request like the latest one, after a restart: where nothing names it, it may as well be another one."""
    if not state.restarted or handshake.is_named:
        return ()
    message = "the PLC may have restarted, and a block like the latest one stands: it again, or another one like it"
    return (Skipped(Cause.IN_DOUBT, UNKNOWN, message),)


def _doubts(handshake: Handshake, state: HandshakeState) -> bool:
    """Whether earlier blocks may still follow a restart: until one with a name is new. Without names none tells."""
    return state.restarted and handshake.is_named


def _next(state: HandshakeState, content: str) -> HandshakeState:
    """One transaction more."""
    return replace(state, latest=state.latest + 1, content=content, recent=confirmed.recent(state, content, RECENT))


def _doubt(
    handshake: Handshake, state: HandshakeState, block: Block, content: str, cause: Cause, *, why: str
) -> Verdict:
    """A transaction of its own if it is one: a person decides."""
    quantity, container, _ = read(handshake, block)
    result = Result.CONFLICT if cause is Cause.CONFLICT else Result.IN_REVIEW
    doubts = _doubts(handshake, state) and confirmed.is_known(state, content)
    after = replace(_next(state, content), result=result, restarted=doubts, repeated=False)
    place = Place(after.epoch, after.latest - 1, after.latest)
    doubt = Suspicion(place, cause, quantity, container, f"{called(handshake, block, after.latest)} {why}")
    phase = Phase.ANSWERED if block.acknowledged else Phase.OPEN
    return Verdict(_at(after, phase), (doubt,), None if block.acknowledged else result)


def _after_restore(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """What was confirmed since the backup is not known here; a request may be booked already (invariant 13)."""
    begun = replace(state, epoch=state.epoch + EPOCH_LEAP, first_number=state.latest, restored=False, phase=Phase.IDLE)
    unseen = Skipped(Cause.RESTORED, UNKNOWN, "what was confirmed between the backup and now is not known here")
    if block.number:
        why = "stands after a restore of the store: it may be booked already"
        verdict = _doubt(handshake, begun, block, content, Cause.RESTORED, why=why)
    else:
        verdict = _low(begun, block)
    return replace(verdict, findings=(unseen, *verdict.findings))
