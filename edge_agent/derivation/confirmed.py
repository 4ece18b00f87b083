"""Confirmed movements: what a block can mean, and the transaction-counter handshake (derivation.md, Handshakes).

A block's number says which transaction it is. Equal to the latest: the same one, acknowledged again. One more: a new
one. Anything else is a skipped number, a wrap, or a restart of the PLC's count. A count that began anew forgot what it
had reached: what was shown after the latest number is a gap, and what follows is compared with what was shown before.
Acknowledgements are decided here and written by the shell after the commit, never before. Bits and rings, which carry
no number, have machines of their own (`confirmed_bits`, `confirmed_ring`) with the same findings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from edge_agent.config.signals import Handshake
from edge_agent.derivation.confirmed_block import called, fingerprint, legible, own_number, read
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import EPOCH_LEAP

UNKNOWN = 1
"""Of `Skipped`: something was not seen, nobody knows how much."""
RECENT = 16
"""Contents remembered: what a restarted PLC may bring back."""

_MARK = 16
_LARGEST = frozenset((1 << bits) - 1 for bits in (15, 16, 31, 32, 63, 64))
"""The largest whole numbers of the types that PLCs have."""


@dataclass(frozen=True, slots=True)
class Place:
    """Positions of a transaction in its epoch: (number - 1, number) unrolled; both alike where it takes none."""

    epoch: int
    from_position: int
    to_position: int


@dataclass(frozen=True, slots=True)
class Booking:
    """The transaction is new and its block proves the quantity (grains of the handshake)."""

    place: Place
    quantity: int | Decimal
    container: str | None
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The transaction happened, but what it moved, or that it is new, is doubtful. `quantity` None: unreadable."""

    place: Place
    cause: Cause
    quantity: int | Decimal | None
    container: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Numbers that were never shown to us (`numbers` of them), or a movement left open by the PLC (0)."""

    cause: Cause
    numbers: int
    message: str


Finding = Booking | Suspicion | Skipped


@dataclass(frozen=True, slots=True)
class Verdict:
    """The new state, what was found, and the result code to acknowledge with (None: nothing to acknowledge)."""

    state: HandshakeState
    findings: tuple[Finding, ...] = ()
    acknowledge: Result | None = None


def confirm(handshake: Handshake, state: HandshakeState | None, block: Block) -> Verdict:
    """Take one coherent block in. A block whose ack tag could not be read must not be passed here."""
    content = fingerprint(handshake, block)
    if state is None:
        return _first_sight(handshake, block, content)
    if state.restored:
        return _after_restore(handshake, state, block, content)
    if block.number == state.latest:
        return _same_number(handshake, state, block, content)
    return _other_number(handshake, state, block, content)


def _other_number(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """The next number, one withdrawn, one that fell, or one further on."""
    forward = (block.number - state.latest) % handshake.modulus
    if forward == 1:
        wraps = state.wraps + (block.number < state.latest)
        verdict = _new(handshake, replace(state, latest=block.number, wraps=wraps, restarted=False), block, content)
        return _with_gap(verdict, _began_anew(state, block)) if state.restarted and block.number == 1 else verdict
    withdrawn = forward == handshake.modulus - 1 and not state.released and not state.restarted
    if withdrawn:
        message = f"number {state.latest} was withdrawn before its acknowledgement; it must come again as that"
        return Verdict(state, (Skipped(Cause.IN_DOUBT, 0, message),))
    if block.number < state.latest:
        return _with_gap(_number_fell(handshake, state, block, content), _began_anew(state, block))
    skipped = forward - 1
    message = f"numbers {state.latest + 1} to {block.number - 1} were never shown"
    message = f"number {state.latest + 1} was never shown" if skipped == 1 else message
    # a PLC may have brought back what it held before its count began anew
    left = max(state.doubtful - skipped, int(state.restarted and handshake.is_named))
    begun = replace(_begin(state, block.number), doubtful=left)
    verdict = _new(handshake, begun, block, content, (Flag.SKIPPED_NUMBERS,))
    return _with_gap(verdict, Skipped(Cause.SKIPPED_NUMBERS, skipped, message))


def _with_gap(verdict: Verdict, gap: Skipped) -> Verdict:
    return replace(verdict, findings=(gap, *verdict.findings))


def _began_anew(state: HandshakeState, block: Block) -> Skipped:
    """What was shown after the latest number is as unknown as what has passed of the new count."""
    sign = "after a restart of the PLC" if state.restarted else "without a sign of a restart"
    since = f" and before number {block.number}" if block.number > 0 else ""
    message = (
        f"the count began anew {sign}, at {block.number}: what was confirmed after number {state.latest}{since} is not "
        "known; compare with the PLC's own list, or with what lies there"
    )
    return Skipped(Cause.NUMBER_FELL, UNKNOWN, message)


def released(_handshake: Handshake, state: HandshakeState, number: int) -> HandshakeState:
    """Our acknowledgement of `number` has been written."""
    return replace(state, released=True) if state.latest == number else state


def is_known(state: HandshakeState, content: str) -> bool:
    """Whether one of the latest blocks said the same."""
    return content[:_MARK] in state.recent


def recent(state: HandshakeState, content: str, most: int) -> tuple[str, ...]:
    """The latest contents with this one, at most so many; 64 bits of each tell them apart."""
    return (*state.recent, content[:_MARK])[-most:]


def remember(state: HandshakeState, content: str, most: int = RECENT) -> tuple[str, ...]:
    """The latest contents with this one, each once."""
    return state.recent if is_known(state, content) else recent(state, content, most)


def doubtful(handshake: Handshake, state: HandshakeState, *, known: bool) -> int:
    """How many more may be earlier ones: all until one is new, if they have names."""
    if handshake.is_named:
        return state.doubtful if known else 0
    return max(0, state.doubtful - 1)


def follows(handshake: Handshake, state: HandshakeState, block: Block) -> tuple[tuple[Finding, ...], int | None]:
    """Whether the PLC's own number of a block follows the one before, or 0 or 1 its type's largest one.

    What lies between is a gap, of as much as was shown before a count that began anew; after a restart 0 and 1 may
    always have begun one. Also the number to remember. Without one there is nothing to say.
    """
    number = own_number(handshake, block)
    if number is None or state.sequence is None:
        return (), state.sequence if number is None else number
    if number in {0, 1} and (state.restarted or (number != state.sequence + 1 and state.sequence not in _LARGEST)):
        return (numbers_anew(state, number),), number
    if number in {0, 1, state.sequence + 1}:
        return (), number
    message = f"number {number} came after {state.sequence}: what lies between was never shown"
    return (Skipped(Cause.SKIPPED_NUMBERS, UNKNOWN, message),), number


def numbers_anew(state: HandshakeState, number: int | None) -> Skipped:
    """The PLC's own numbers may have begun anew: nobody knows what was forgotten, nor what was shown meanwhile."""
    message = (
        f"the numbers may have begun anew, at {number}: what was to be shown after {state.sequence} is not known; "
        "compare with the PLC's own list, or with what lies there"
    )
    return Skipped(Cause.SKIPPED_NUMBERS, UNKNOWN, message)


def repeated(
    handshake: Handshake, state: HandshakeState, block: Block, *, latest: bool
) -> tuple[HandshakeState, tuple[Finding, ...]]:
    """A block that says the same as the `latest` one, its number too, or as an earlier one: it is not booked again.

    Only a container names it for certain. Else the first numbers after a restart, and any that fell, may be those of a
    new count, of a movement that happens to be like the old one. That is said once: until another one is new.
    """
    number, said = own_number(handshake, block), state.repeated and not state.restarted
    if handshake.container is not None or number is None:
        return state, ()
    after = state if latest else replace(state, sequence=number)
    if said or (latest and not (state.restarted and number <= 1)):
        return after, ()
    return replace(after, restarted=False, repeated=True), (numbers_anew(state, number),)


def _place(handshake: Handshake, state: HandshakeState) -> Place:
    number = state.latest + state.wraps * handshake.modulus
    return Place(state.epoch, number - 1, number)


def _begin(before: HandshakeState | None, number: int, *, leap: int = 1) -> HandshakeState:
    """A fresh epoch in which `number` is the first transaction; what was shown before it stays known."""
    epoch = leap if before is None else before.epoch + leap
    begun = HandshakeState(epoch, number - 1, number, 0, "", Result.DONE, released=False)
    return begun if before is None else replace(begun, recent=before.recent, doubtful=before.doubtful)


def _stands(begun: HandshakeState, content: str) -> HandshakeState:
    """The state where `number` is acknowledged already, and only where we go on from: it takes no place."""
    return replace(begun, first_number=begun.latest, content=content, recent=remember(begun, content), released=True)


def _first_sight(handshake: Handshake, block: Block, content: str) -> Verdict:
    """Booked if the PLC still waits for an answer, else it is only where we begin."""
    begun = _begin(None, block.number)
    if block.acknowledged == block.number:
        return Verdict(_stands(begun, content))
    return _new(handshake, begun, block, content)


def _new(
    handshake: Handshake, state: HandshakeState, block: Block, content: str, flags: tuple[Flag, ...] = ()
) -> Verdict:
    """A number that was not shown before, or not since the count fell: then it may be an earlier transaction."""
    answered, known = block.acknowledged == block.number, is_known(state, content)
    taken = replace(state, recent=remember(state, content), doubtful=doubtful(handshake, state, known=known))
    if known and state.doubtful and not answered:
        why = "has the content of an earlier one, and the count fell since: it may be booked already"
        message = f"number {block.number} {why}"
        return _in_review(handshake, taken, block, content, cause=Cause.NUMBER_FELL, message=message)
    return judge(handshake, taken, block, content, flags, answered=answered)


def _in_review(
    handshake: Handshake, state: HandshakeState, block: Block, content: str, *, cause: Cause, message: str
) -> Verdict:
    """The latest of `state` happened, or is booked already: a person decides."""
    quantity, container, _ = read(handshake, block)
    doubt = Suspicion(_place(handshake, state), cause, quantity, container, message)
    answered = block.acknowledged == block.number
    after = replace(state, content=content, recent=remember(state, content), result=Result.IN_REVIEW, released=answered)
    return Verdict(after, (doubt,), None if answered else Result.IN_REVIEW)


def judge(
    handshake: Handshake,
    state: HandshakeState,
    block: Block,
    content: str,
    flags: tuple[Flag, ...] = (),
    *,
    answered: bool = False,
) -> Verdict:
    """A transaction not seen before, the latest of `state`: its block is checked, then booked, or refused and reviewed.

    We acknowledge only what is committed: one `answered` before its first sight was another's, perhaps booked.
    """
    quantity, container, fault = read(handshake, block)
    cause, result = Cause.CONFLICT, Result.CONFLICT
    if block.conflicting:
        fault = "its natural key is already in the store"
    elif answered:
        fault = "it was acknowledged already, and not by this agent: it may be booked elsewhere"
    else:
        cause, result = Cause.FAILED_CHECK, Result.FAILED_CHECK
    place = _place(handshake, state)
    if fault is None and quantity is not None:
        after = replace(state, content=content, result=Result.DONE, released=False)
        return Verdict(after, (Booking(place, quantity, container, flags),), Result.DONE)
    doubt = Suspicion(place, cause, quantity, container, f"{called(handshake, block, state.latest)}: {fault}")
    return Verdict(
        replace(state, content=content, result=result, released=answered), (doubt,), None if answered else result
    )


def _same_number(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """The latest number again: acknowledged again if the PLC still waits; other content then is a conflict.

    A conflict ends the epoch, so that what a person books for it has a place of its own. After a restart it tells that
    the count began anew; so may a first number whose content tells nothing.
    """
    if block.acknowledged == block.number:
        return Verdict(state if state.released else replace(state, released=True))
    if content == state.content or not legible(handshake, block):
        again = Verdict(replace(state, released=False), (), Result(state.result))
        if not state.restarted or block.number > 1 or handshake.is_named:
            return again
        return _with_gap(replace(again, state=replace(again.state, restarted=False)), _began_anew(state, block))
    position = _place(handshake, state).to_position
    quantity, container, _ = read(handshake, block)
    message = f"number {block.number} came again with other content"
    doubt = Suspicion(Place(state.epoch, position, position), Cause.CONFLICT, quantity, container, message)
    begun = replace(_stands(_begin(state, block.number), content), result=Result.CONFLICT, released=False)
    verdict = Verdict(begun, (doubt,), Result.CONFLICT)
    return _with_gap(verdict, _began_anew(state, block)) if state.restarted else verdict


def _number_fell(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """A lower number: the PLC's count began anew (signed, and at its beginning), or nobody knows.

    A PLC that brings an older number back shows transactions that may be booked already, up to the one it had reached;
    one whose count began anew may still show the latest one. Neither the number nor its acknowledgement tells.
    """
    begins = state.restarted and block.number <= 1
    begun = replace(_begin(state, block.number), doubtful=1 if begins else min(state.latest - block.number, RECENT))
    if block.acknowledged == block.number:
        return Verdict(_stands(begun, content))
    if begins:
        return _new(handshake, begun, block, content)
    sign = "after a restart" if state.restarted else "without a sign of a restart"
    message = f"number {block.number} after {state.latest}, {sign}: it may be booked already"
    return _in_review(handshake, begun, block, content, cause=Cause.NUMBER_FELL, message=message)


def _after_restore(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """Numbers past the restored one may have been booked by the lost store: a person decides (invariant 13)."""
    settled = replace(state, restored=False)
    if not state.content:
        return _not_known(handshake, state, block, content)
    if block.number == state.latest:
        return _same_number(handshake, settled, block, content)
    message = f"the store was restored at number {state.latest}; number {block.number} may be booked already"
    begun = _begin(state, block.number, leap=EPOCH_LEAP)
    verdict = _in_review(handshake, begun, block, content, cause=Cause.RESTORED, message=message)
    between = (block.number - state.latest) % handshake.modulus - 1
    if between <= 0:
        return verdict
    unseen = f"{between} numbers between {state.latest} and {block.number} fell into the restore"
    if block.number < state.latest:
        unseen = f"what was confirmed between number {state.latest} and number {block.number} fell into the restore"
    return _with_gap(verdict, Skipped(Cause.RESTORED, between, unseen))


def _not_known(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
    """The first sight by a restored store that knew no block: what waits may be booked by the lost one."""
    begun = _begin(state, block.number, leap=EPOCH_LEAP)
    gap = Skipped(Cause.RESTORED, UNKNOWN, f"what was confirmed before number {block.number} is not known here")
    if block.acknowledged == block.number:
        return Verdict(_stands(begun, content), (gap,))
    message = f"number {block.number} waited when the store was restored from a backup that does not know the rule"
    verdict = _in_review(handshake, begun, block, content, cause=Cause.RESTORED, message=f"{message}: it may be booked")
    return _with_gap(verdict, gap)
