"""What people enter by hand goes the way of all else: a line with its place in the identity, an event at once."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.derivation.booking import Books, exact
from edge_agent.model.event import Entered, EventDraft
from edge_agent.model.movement import Evidence, Flag, Key, Line, LineState
from edge_agent.model.outcome import EpochMark, LineMark, NaturalKey

RULE = "@entry"
"""No rule of a tag map can be called so."""
_EPOCH = 1


def enter(work: Books, entered: Entered) -> None:
    """Book an entry as an event of its own. Its form is its natural key: the same one is booked once.

    Raises ArithmeticError where its quantity needs more than nine decimals in the material's unit.
    """
    entry, material = entered.entry, work.map.materials[entered.material]
    cadence = work.map.cadences[material.klass]
    unit = work.map.units[entered.unit]
    state = work.rule(RULE)
    place = state.serial
    work.put(RULE, replace(state, serial=place + 1))
    key = Key(
        *(RULE, entered.event, entered.material, entered.order, entered.from_, entered.to, work.day(entry.at).date),
        container=entered.container,
        lot=entered.lot,
    )
    proof = Evidence(
        *(_EPOCH, place, place + 1, entry.at, entry.at),
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
    work.outcome.lines[RULE, _EPOCH, place] = LineMark(line, LineState.CUT, len(work.outcome.events) - 1)
    work.outcome.epochs[RULE, _EPOCH] = EpochMark(RULE, _EPOCH, 0, place + 1, 0, 0)
    work.outcome.natural_keys.append(NaturalKey(RULE, f"form:{entry.form}", f"{entered.digest} {place}"))
    work.count(RULE, "entered")
