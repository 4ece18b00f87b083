"""What people enter by hand goes the way of all else: a line with its place in the identity, an event at once."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.derivation.amounts import exact
from edge_agent.derivation.booking import Books
from edge_agent.model.event import Entered, EventDraft
from edge_agent.model.movement import Evidence, Flag, Key, Line, LineState
from edge_agent.model.outcome import EpochMark, LineMark, NaturalKey
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import EPOCH_LEAP, RuleState

RULE = "@entry"
"""No rule of a tag map can be called so."""


def enter(work: Books, entered: Entered) -> None:
    """Book an entry as an event of its own. Its form is its natural key: the same one is booked once.

    Raises ArithmeticError where its quantity needs more than nine decimals in the material's unit.
    """
    entry, material = entered.entry, work.map.materials[entered.material]
    cadence = work.map.cadences[material.klass]
    unit = work.map.units[entered.unit]
    state = work.rule(RULE)
    before = _count(work, state)
    epoch, place = before.epoch, before.latest
    work.put(RULE, replace(state, signal=replace(before, latest=place + 1)))
    key = Key(
        *(RULE, entered.event, entered.material, entered.order, entered.from_, entered.to, work.day(entry.at).date),
        container=entered.container,
        lot=entered.lot,
    )
    proof = Evidence(
        *(epoch, place, place + 1, entry.at, entry.at),
        samples=1,
        raw_before="",
        raw_after=entry.barcode or f"{entered.quantity:f}",
        flags=(Flag.MANUAL_ENTRY,),
    )
    quantity = exact(entered.quantity, unit.factor / material.unit.factor)
    line = Line(key, quantity, material.unit.name, entered.quantity, unit.name, entry.at, entry.at, proof)
    draft = EventDraft(
        entered.event,
        cadence.stream,
        entry.at,
        (line,),
        about=entry,
        accepted_by=cadence.accepted_by,
        accepted_within=cadence.accepted_within,
    )
    work.outcome.events.append(draft)
    work.outcome.lines[RULE, epoch, place] = LineMark(line, LineState.CUT, len(work.outcome.events) - 1)
    work.outcome.epochs[RULE, epoch] = EpochMark(RULE, epoch, before.first_number, place + 1, 0, 0)
    work.outcome.natural_keys.append(NaturalKey(RULE, f"form:{entry.form}", f"{entered.digest} {place}"))
    work.entered(line)
    work.count(RULE, "entered")


def _count(work: Books, state: RuleState) -> HandshakeState:
    """How many entries there were: a count of transactions like a device's, so that a restore begins a new epoch.

    The lost store may have used the next places: receivers would take what is entered now for what it had.
    """
    known = state.signal
    if not isinstance(known, HandshakeState):
        return HandshakeState(work.next_epoch(RULE), 0, 0, 0, "", 0, released=True)
    if not known.restored:
        return known
    return replace(known, epoch=known.epoch + EPOCH_LEAP, first_number=known.latest, restored=False)
