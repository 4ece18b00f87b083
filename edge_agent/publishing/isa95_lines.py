"""The lines of a material event in ISA-95 terms, each with its proof (events.md, Data). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from edge_agent.config.devices import ModbusAddress, OpcUaAddress
from edge_agent.config.signals import Confirmation, Handshake
from edge_agent.config.tagmap import Posting, Rule, TagMap
from edge_agent.errors import EventInvalid
from edge_agent.model import movement
from edge_agent.model.movement import Key
from edge_agent.publishing.contract import (
    ConsumedLine,
    Conversion,
    Evidence,
    Genealogy,
    LocatedLine,
    MovedFromLine,
    MovedToLine,
    ProducedLine,
    Property,
    Quantity,
    SampledLine,
    ScrappedLine,
    Signal,
    StorageLocation,
)
from edge_agent.publishing.scalars import decimal_string, timestamp


class LineBuilder:
    """Builds lines; whatever the tag map alone decides is prepared once. Ids are numbers from 1, as text."""

    def __init__(self, tag_map: TagMap) -> None:
        self._config_hash = tag_map.config_hash
        self._units = {unit.name: unit.code for unit in tag_map.units.values()}
        self._materials = tag_map.materials
        self._signals = {name: _signal(tag_map, rule) for name, rule in tag_map.rules.items()}
        self._origins = {name: _origins(rule) for name, rule in tag_map.rules.items()}

    def consumed(self, lines: Sequence[movement.Line]) -> list[ConsumedLine]:
        """Taken from the first location."""
        return [self._consumed(n, line, line.key.from_) for n, line in enumerate(lines, 1)]

    def returned(self, lines: Sequence[movement.Line]) -> list[ConsumedLine]:
        """Consumed before, and brought back to the second location."""
        return [self._consumed(n, line, line.key.to) for n, line in enumerate(lines, 1)]

    def produced(self, lines: Sequence[movement.Line]) -> list[ProducedLine]:
        """Brought to the second location."""
        return [{"materialUse": "Produced", **self._line(n, line, line.key.to)} for n, line in enumerate(lines, 1)]

    def scrapped(self, lines: Sequence[movement.Line]) -> list[ScrappedLine]:
        """Scrapped at the first location, or in the process where there is none."""
        return [
            {"materialUse": "Other", "materialUseOther": "Scrapped", **self._line(n, line, line.key.from_)}
            for n, line in enumerate(lines, 1)
        ]

    def sampled(self, lines: Sequence[movement.Line]) -> list[SampledLine]:
        """Taken from the first location."""
        return [
            {"materialUse": "Other", "materialUseOther": "Sampled", **self._line(n, line, line.key.from_)}
            for n, line in enumerate(lines, 1)
        ]

    def moved(self, lines: Sequence[movement.Line]) -> list[MovedFromLine | MovedToLine]:
        """A pair of each line. Raises EventInvalid where a location is missing."""
        pairs: list[MovedFromLine | MovedToLine] = []
        for n, line in enumerate(lines, 1):
            key, pair = line.key, str(n)
            if key.from_ is None or key.to is None:
                raise EventInvalid(f"{key.rule}: a move needs the location it starts from and the one it goes to")
            pairs.append(
                {
                    "materialUse": "Consumed",
                    "pairID": pair,
                    **self._line(2 * n - 1, line, None),
                    "storageLocation": storage_location(key.from_),
                }
            )
            pairs.append(
                {
                    "materialUse": "Produced",
                    "pairID": pair,
                    **self._line(2 * n, line, None),
                    "storageLocation": storage_location(key.to),
                }
            )
        return pairs

    def _consumed(self, number: int, line: movement.Line, location: str | None) -> ConsumedLine:
        into: Genealogy = {} if line.key.into_lot is None else {"intoMaterialLotID": line.key.into_lot}
        return {"materialUse": "Consumed", **self._line(number, line, location), **into}

    def _line(self, number: int, line: movement.Line, location: str | None) -> LocatedLine:
        key = line.key
        material = self._materials.get(key.material)
        built: LocatedLine = {
            "id": str(number),
            "materialDefinitionID": key.material,
            "quantity": {
                "quantityString": decimal_string(line.quantity),
                "unitOfMeasure": self._code(line.unit),
                "sourceQuantityString": decimal_string(line.source_quantity),
                "sourceUnit": self._code(line.source_unit),
            },
            "posting": Posting.ACTUAL if material is None else material.posting,
            "evidence": self.evidence(key.rule, line.evidence),
        }
        if key.lot is not None:
            built["materialLotID"] = key.lot
        if key.container is not None:
            built["containerID"] = key.container
        properties = self._properties(key)
        if properties:
            built["properties"] = properties
        if location is not None:
            built["storageLocation"] = storage_location(location)
        return built

    def _properties(self, key: Key) -> list[Property]:
        """Who worked there, and where each part of what surrounds the line was known from."""
        known = {
            "order": key.order,
            "lot": key.lot,
            "container": key.container,
            "operator": key.operator,
            "intoLot": key.into_lot,
        }
        found: list[Property] = [] if key.operator is None else [{"id": "operator", "value": key.operator}]
        origins = self._origins.get(key.rule, {})
        return found + [
            {"id": f"{part}From", "value": origins[part]}
            for part, value in known.items()
            if value is not None and part in origins
        ]

    def _code(self, unit: str) -> str:
        """The UN/ECE code of a unit of the map; a unit no longer in it stays as it was booked."""
        return self._units.get(unit, unit)

    def evidence(self, rule: str, evidence: movement.Evidence) -> Evidence:
        """From a booked quantity back to raw readings."""
        conversion: Conversion = {"conversion": evidence.conversion} if evidence.conversion else {}
        return {
            **self.signal(rule),
            "epoch": evidence.epoch,
            "fromPosition": evidence.from_position,
            "toPosition": evidence.to_position,
            "firstSourceTime": timestamp(evidence.first_time),
            "lastSourceTime": timestamp(evidence.last_time),
            "statusCodes": list(evidence.status_codes),
            "rawBefore": evidence.raw_before,
            "rawAfter": evidence.raw_after,
            "sampleCount": evidence.samples,
            "flags": list(evidence.flags),
            **conversion,
        }

    def signal(self, rule: str) -> Signal:
        """Rule, source and address; the last two only where the map (still) has the rule."""
        known = self._signals.get(rule)
        return {"rule": rule, "configHash": self._config_hash} if known is None else known

    def quantity(self, quantity: Decimal, key: Key) -> Quantity:
        """A quantity in the material's unit, which is left out where the map no longer knows the material."""
        material = self._materials.get(key.material)
        text = decimal_string(quantity)
        if material is None:
            return {"quantityString": text}
        return {"quantityString": text, "unitOfMeasure": material.unit.code}


def storage_location(name: str) -> StorageLocation:
    """A storage location by its name."""
    return {"location": name, "locationType": "OperationalLocation"}


def _origins(rule: Rule) -> dict[str, str]:
    """What tells a rule's order, lot, container and operator."""
    parts = {
        "order": rule.order,
        "lot": rule.lot_from,
        "container": rule.container,
        "operator": rule.operator,
        "intoLot": rule.into_lot,
    }
    if isinstance(rule.signal, Handshake):
        block = {"order": rule.signal.order, "container": rule.signal.container, "operator": rule.signal.operator}
        parts |= {part: tag for part, tag in block.items() if tag is not None}
    return {part: str(origin) for part, origin in parts.items() if origin is not None}


def _signal(tag_map: TagMap, rule: Rule) -> Signal:
    """Where a rule's signal comes from: the source and the node or register of its counter or trigger."""
    if isinstance(rule.signal, Confirmation):
        return {"rule": rule.name, "source": rule.signal.source, "configHash": tag_map.config_hash}
    reference = rule.signal.watched
    tag = tag_map.tags[reference]
    signal: Signal = {"rule": rule.name, "source": reference.source, "configHash": tag_map.config_hash}
    if isinstance(tag.address, OpcUaAddress):
        signal["node"] = f"nsu={tag.address.namespace_uri};{tag.address.identifier}"
    elif isinstance(tag.address, ModbusAddress):
        signal["register"] = _register(tag.address)
    return signal


def _register(address: ModbusAddress) -> str:
    """The 0-based register as the tag map writes it: `hr104`, or `hr104.3` for a bit."""
    bit = "" if address.bit is None else f".{address.bit}"
    return f"{address.table}{address.offset}{bit}"
