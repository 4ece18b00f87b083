"""Confirmed movements by OPC UA events, told apart by their EventId (derivation.md, Handshakes; OPC 10000-5, 6.4.2).

Events do not heal by reading: what a server emitted while nobody listened is gone, so each time that listening begins
anew a gap is stated. There is no history read.
"""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Handshake
from edge_agent.derivation import confirmed
from edge_agent.derivation.confirmed import UNKNOWN, Skipped, Verdict
from edge_agent.derivation.confirmed_block import fingerprint
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.movement import Cause
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import EPOCH_LEAP

RECENT = 32
"""EventIds remembered; one that comes again later is found among the natural keys of the store."""


def confirm(handshake: Handshake, state: HandshakeState | None, block: Block) -> Verdict:
    """Take one event in, or the news that listening began."""
    begun = state or HandshakeState(1, 0, 0, 0, "", Result.DONE, released=True)
    if not block.event:
        return _begins(state, begun)
    if block.event in begun.recent or block.conflicting:
        return Verdict(begun, (), Result.DONE)
    content = fingerprint(handshake, block)
    taken = replace(begun, latest=begun.latest + 1, recent=(*begun.recent, block.event)[-RECENT:])
    return confirmed.judge(handshake, taken, block, content)


def released(_handshake: Handshake, state: HandshakeState, _number: int) -> HandshakeState:
    """A notification is answered as a whole; there is nothing to remember."""
    return state


def _begins(state: HandshakeState | None, begun: HandshakeState) -> Verdict:
    """Nothing is known of what was emitted before, unless nobody has ever listened."""
    if state is None:
        return Verdict(begun)
    cause, message = Cause.IN_DOUBT, "events emitted while nobody listened are not known"
    if state.restored:
        cause, message = Cause.RESTORED, "events taken between the backup and now are not known here"
        begun = replace(begun, epoch=begun.epoch + EPOCH_LEAP, first_number=begun.latest, restored=False)
    return Verdict(begun, (Skipped(cause, UNKNOWN, message),))
