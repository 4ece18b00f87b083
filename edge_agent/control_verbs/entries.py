"""What people enter by hand, checked against the tag map before it goes through the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from edge_agent.clock import Clock
from edge_agent.config.tagmap import Material, TagMap
from edge_agent.control import Handler
from edge_agent.control_verbs.fields import optional, quantity, text
from edge_agent.derivation.amounts import exact
from edge_agent.errors import ControlError, NaturalKeyTaken
from edge_agent.inbound.barcode import BarcodeRefused, Scanned, parse
from edge_agent.model.event import Entered, Entry
from edge_agent.model.movement import EventType
from edge_agent.pipeline import Pipeline
from edge_agent.store.audit import Audit
from edge_agent.store.ledger import Ledger

_EVENTS = {
    "consumed": EventType.CONSUMED,
    "returned": EventType.RETURNED,
    "scrapped": EventType.SCRAPPED,
    "sampled": EventType.SAMPLED,
}
_PIECES = ("H87", "C62", "EA")
"""Codes of single pieces (UN/ECE Rec 20): a barcode's count does not say which of them."""


class EntryVerbs:
    """The handler of `enter`; each entry is in the audit log."""

    def __init__(self, tag_map: TagMap, pipeline: Pipeline, ledger: Ledger, audit: Audit, clock: Clock) -> None:
        self._map = tag_map
        self._pipeline = pipeline
        self._ledger = ledger
        self._audit = audit
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """By the name a request gives in `do`."""
        return {"enter": self.enter}

    async def enter(self, request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Book an entry as an event; the same form again is the same entry."""
        entered = self._entered(request)
        key = f"form:{entered.entry.form}"
        try:
            await self._pipeline.ask(entered)
            repeated = False
        except NaturalKeyTaken:
            repeated = True
        digest, place = await self._ledger.entry(key)
        if repeated and digest != entered.digest:
            raise ControlError(f"form {entered.entry.form} was sent with another content before: use a new form")
        source, sequence, identity = await self._ledger.event_of_entry(place)
        if not repeated:
            detail = {"form": entered.entry.form, "event": identity, "by": entered.entry.by}
            await self._audit.append(asker, f"entered {entered.event}", {**detail, "reason": entered.entry.reason})
        return {
            "source": source,
            "sequence": sequence,
            "id": identity,
            "repeated": repeated,
            "material": entered.material,
            "quantity": f"{entered.quantity:f}",
            "unit": entered.unit,
        }

    def _entered(self, request: Mapping[str, Any]) -> Entered:
        event = _EVENTS.get(text(request, "event"))
        if event is None:
            raise ControlError(f"event must be one of {', '.join(_EVENTS)}")
        scanned = self._scanned(request.get("barcode"))
        material = self._material(optional(request, "material"), scanned)
        amount, unit = self._quantity(request, material, scanned)
        from_, to = optional(request, "from"), optional(request, "to")
        process = request.get("process") is True
        _check_sides(event, from_, to, process=process)
        entry = Entry(
            *(text(request, "form"), text(request, "by"), text(request, "reason"), self._clock.now().wall),
            barcode=None if scanned is None else scanned.text,
            process=process,
        )
        return Entered(
            *(entry, event, material.number, amount, unit, self._clock.now()),
            order=optional(request, "order"),
            lot=_same("lot", optional(request, "lot"), None if scanned is None else scanned.lot),
            container=_same("container", optional(request, "container"), None if scanned is None else scanned.sscc),
            from_=from_,
            to=to,
        )

    def _scanned(self, barcode: object) -> Scanned | None:
        """What a scanner gave, separators and all."""
        if barcode is None:
            return None
        if not isinstance(barcode, str):
            raise ControlError("barcode must be what the scanner gave, as text")
        today = self._clock.now().wall.astimezone(self._map.calendar.time_zone).date()
        try:
            return parse(barcode, today)
        except BarcodeRefused as error:
            raise ControlError(f"barcode: {error}") from error

    def _material(self, named: str | None, scanned: Scanned | None) -> Material:
        """The material that is named, scanned, or both."""
        gtin = None if scanned is None else scanned.gtin
        by_code = [one.number for one in self._map.materials.values() if one.gtin is not None and one.gtin == gtin]
        if gtin is not None and not by_code and named is None:
            raise ControlError(f"no material of the tag map has the GTIN {gtin}; give it one, or name the material")
        if named is not None and gtin is not None and by_code != [named]:
            owner = by_code[0] if by_code else "no material"
            raise ControlError(f"the barcode's GTIN {gtin} is that of {owner}, not of {named}")
        number = named or (by_code[0] if by_code else None)
        if number is None:
            raise ControlError("neither a material nor a barcode that names one")
        if number not in self._map.materials:
            raise ControlError(f"there is no material {number} in the tag map")
        material = self._map.materials[number]
        if material.klass not in self._map.cadences:
            raise ControlError(f"material {number}: there is no cadence for its class {material.klass}")
        return material

    def _quantity(self, request: Mapping[str, Any], material: Material, scanned: Scanned | None) -> tuple[Decimal, str]:
        """How much, and in which unit of the map: as entered, or as scanned; what is said twice must agree."""
        given = None if request.get("quantity") is None else quantity(request["quantity"], "quantity")
        named = optional(request, "unit")
        if scanned is not None and scanned.quantity is not None:
            amount, unit = scanned.quantity, self._scanned_unit(scanned.unit, material)
            if given not in {None, amount} or named not in {None, unit}:
                raise ControlError(f"the barcode says {amount} {unit}, not {given or amount} {named or unit}")
        elif given is not None:
            amount, unit = given, named or material.unit.name
        else:
            raise ControlError("neither a quantity nor a barcode that has one")
        known = self._map.units.get(unit)
        if known is None or known.base != material.unit.base:
            raise ControlError(
                f"unit {unit} cannot be converted to {material.unit.name}, the unit of {material.number}"
            )
        try:
            exact(amount, known.factor / material.unit.factor)
        except ArithmeticError as error:
            raise ControlError(f"quantity: {error}") from error
        return amount, unit

    def _scanned_unit(self, code: str | None, material: Material) -> str:
        """The unit of the map that was scanned; a count is of the material's own pieces. Never another one."""
        if material.unit.code == code or (code in _PIECES and material.unit.code in _PIECES):
            return material.unit.name
        fitting = sorted(unit.name for unit in self._map.units.values() if unit.code == code)
        if not fitting:
            raise ControlError(f"the barcode is in {code}, and no unit of the tag map has that code: enter it by hand")
        return fitting[0]


def _same(what: str, given: str | None, read: str | None) -> str | None:
    if given is not None and read is not None and given != read:
        raise ControlError(f"the barcode's {what} is {read}, not {given}")
    return given or read


def _check_sides(event: EventType, from_: str | None, to: str | None, *, process: bool) -> None:
    """A return goes to a location, everything else comes from one, but for what is scrapped in the process."""
    if process and event is not EventType.SCRAPPED:
        raise ControlError("only scrap can come from the process")
    wanted = "to" if event is EventType.RETURNED else "from"
    if (from_ is not None, to is not None) != (wanted == "from" and not process, wanted == "to"):
        side = "no location" if process else f"`{wanted}`, a storage location, and no other"
        raise ControlError(f"{event.removeprefix('material.')} needs {side}")
