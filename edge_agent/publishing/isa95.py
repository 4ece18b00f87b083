"""The `data` of an event in ISA-95 terms (events.md, Data): what moved, where, for which order, and the proof. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from edge_agent.config.tagmap import Counter, ModbusAddress, OpcUaAddress, Posting, Rule, TagMap
from edge_agent.errors import EventInvalid
from edge_agent.model.movement import Candidate, Decision, EventDraft, EventType, Evidence, Gap, Key, Line, Review

Json = dict[str, Any]

_QUANTITY = re.compile(r"\d{1,18}(\.\d{1,9})?")
_LEVELS = ("Enterprise", "Site", "Area", "ProductionLine", "WorkCell")
_LOCATION_TYPE = "OperationalLocation"
"""ISA-95.00.02: the storage location names an operational location, it does not describe one."""
_OPERATIONS = {EventType.MOVED: "Inventory"}


class DataBuilder:
    """Builds the data of drafts; whatever the tag map alone decides is prepared once."""

    def __init__(self, tag_map: TagMap, version: str) -> None:
        line, zone = tag_map.line, tag_map.calendar.time_zone
        names = (line.enterprise, line.site, line.area, line.line, line.cell)
        self._scope = [
            {"equipmentID": name, "equipmentLevel": level}
            for name, level in zip(names, _LEVELS, strict=True)
            if name is not None
        ]
        self._zone = zone
        self._origin = tag_map.agent
        self._version = version
        self._config_hash = tag_map.config_hash
        self._units = {unit.name: unit.code for unit in tag_map.units.values()}
        self._materials = tag_map.materials
        self._places = {name: _signal_place(tag_map, rule) for name, rule in tag_map.rules.items()}

    def build(self, draft: EventDraft) -> Json:
        """The data of `draft`, whatever its type. Raises EventInvalid."""
        data = self._common(draft, _first_key(draft))
        if draft.lines:
            data["materialActual"] = [entry for lines in enumerate(draft.lines, 1) for entry in self._entries(*lines)]
        if draft.review is not None:
            data |= self._review(draft.review)
        if draft.gap is not None:
            data |= self._gap(draft.gap)
        if draft.decision is not None:
            data |= _decision(draft.decision)
        if draft.notes:
            data["properties"] = [{"id": name, "value": draft.notes[name]} for name in sorted(draft.notes)]
        return data

    def _common(self, draft: EventDraft, key: Key | None) -> Json:
        data: Json = {"hierarchyScope": self._scope}
        if key is not None:
            data = {"operationsType": _OPERATIONS.get(key.event, "Production"), **data}
            if key.order is not None:
                data["jobOrderID"] = key.order
            data["postingDate"] = key.posting_day.isoformat()
        data["startTime"] = timestamp(min((line.start_time for line in draft.lines), default=_since(draft)))
        data["utcOffset"] = _utc_offset(draft.time.astimezone(self._zone))
        data["timeZone"] = self._zone.key
        data["originSystem"] = self._origin
        data["agentVersion"] = self._version
        return data

    def _entries(self, number: int, line: Line) -> Iterator[Json]:
        """The materialActual lines of one line: one, or for a move the pair of Consumed and Produced."""
        key = line.key
        if key.event is EventType.CONSUMED:
            yield self._entry(str(number), "Consumed", key.from_, line)
        elif key.event is EventType.PRODUCED:
            yield self._entry(str(number), "Produced", key.to, line)
        else:
            pair = {"pairID": str(number)}
            yield self._entry(str(2 * number - 1), "Consumed", key.from_, line) | pair
            yield self._entry(str(2 * number), "Produced", key.to, line) | pair

    def _entry(self, identifier: str, use: str, location: str | None, line: Line) -> Json:
        key = line.key
        material = self._materials.get(key.material)
        entry: Json = {"id": identifier, "materialUse": use, "materialDefinitionID": key.material}
        if key.container is not None:
            entry["containerID"] = key.container
        entry["quantity"] = {
            "quantityString": decimal_string(line.quantity),
            "unitOfMeasure": self._code(line.unit),
            "sourceQuantityString": decimal_string(line.source_quantity),
            "sourceUnit": self._code(line.source_unit),
        }
        if location is not None:
            entry["storageLocation"] = {"location": location, "locationType": _LOCATION_TYPE}
        entry["posting"] = Posting.ACTUAL if material is None else material.posting
        entry["evidence"] = self._evidence(key.rule, line.evidence)
        return entry

    def _code(self, unit: str) -> str:
        """The UN/ECE code of a unit of the map; a unit no longer in it stays as it was booked."""
        return self._units.get(unit, unit)

    def _evidence(self, rule: str, evidence: Evidence) -> Json:
        return {
            **self._signal(rule),
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
        }

    def _signal(self, rule: str) -> Json:
        """Rule, source and address; the last two only where the map (still) has the rule."""
        return {"rule": rule, **self._places.get(rule, {}), "configHash": self._config_hash}

    def _review(self, review: Review) -> Json:
        candidates = [self._candidate(number, way) for number, way in enumerate(review.candidates, 1)]
        return {
            "reviewID": review.id,
            "cause": review.cause,
            "message": review.message,
            "quantityDoubted": review.quantity_doubted,
            "opened": timestamp(review.opened),
            "key": _key(review.key),
            "candidates": candidates,
            "evidence": self._evidence(review.key.rule, review.line.evidence),
        }

    def _candidate(self, number: int, candidate: Candidate) -> Json:
        return {
            "number": number,
            "quantity": self._quantity(candidate.quantity, candidate.key),
            "why": candidate.why,
            "key": _key(candidate.key),
        }

    def _gap(self, gap: Gap) -> Json:
        return {
            "gapID": gap.id,
            "cause": gap.cause,
            "message": gap.message,
            "key": _key(gap.key),
            "minimum": self._quantity(gap.minimum, gap.key),
            "maximum": None if gap.maximum is None else self._quantity(gap.maximum, gap.key),
            "since": timestamp(gap.since),
            "until": timestamp(gap.until),
            "evidence": self._signal(gap.key.rule),
        }

    def _quantity(self, quantity: Decimal, key: Key) -> Json:
        """A quantity in the material's unit, which is left out where the map no longer knows the material."""
        material = self._materials.get(key.material)
        unit = {} if material is None else {"unitOfMeasure": material.unit.code}
        return {"quantityString": decimal_string(quantity), **unit}


def decimal_string(quantity: Decimal) -> str:
    r"""`quantity` as `^\d{1,18}(\.\d{1,9})?$`, exactly, without trailing zeros. Raises EventInvalid."""
    text = format(quantity, "f") if quantity else "0"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if _QUANTITY.fullmatch(text) is None:
        raise EventInvalid(f"{quantity} is no quantity an event can carry: up to 18 digits and 9 decimals, no sign")
    return text


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`. Raises EventInvalid for a time without a zone."""
    if moment.tzinfo is None:
        raise EventInvalid(f"{moment} has no time zone")
    return f"{moment.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z"


def _utc_offset(local: datetime) -> str:
    offset = local.strftime("%z")
    return f"{offset[:3]}:{offset[3:5]}"


def _first_key(draft: EventDraft) -> Key | None:
    """The key whose event, order and posting day stand for the whole draft."""
    if draft.lines:
        return draft.lines[0].key
    about = draft.review or draft.gap or (draft.decision.review if draft.decision else None)
    return None if about is None else about.key


def _since(draft: EventDraft) -> datetime:
    if draft.review is not None:
        return draft.review.line.start_time
    return draft.time if draft.gap is None else draft.gap.since


def _key(key: Key) -> Json:
    data: Json = {"rule": key.rule, "event": key.event, "materialDefinitionID": key.material}
    optional = {
        "jobOrderID": key.order,
        "fromLocation": key.from_,
        "toLocation": key.to,
        "containerID": key.container,
    }
    data |= {name: value for name, value in optional.items() if value is not None}
    return data | {"postingDate": key.posting_day.isoformat()}


def _decision(decision: Decision) -> Json:
    return {
        "reason": {"code": decision.review.cause, "text": decision.reason},
        "decision": {
            "reviewID": decision.review.id,
            "verdict": decision.verdict,
            "candidate": decision.candidate,
            "by": decision.by,
            "at": timestamp(decision.at),
        },
    }


def _signal_place(tag_map: TagMap, rule: Rule) -> Json:
    """Where a rule's signal comes from: the source and the node or register of its counter or trigger."""
    reference = rule.signal.tag if isinstance(rule.signal, Counter) else rule.signal.trigger
    tag = tag_map.tags[reference]
    if isinstance(tag.address, OpcUaAddress):
        return {"source": reference.source, "node": f"nsu={tag.address.namespace_uri};{tag.address.identifier}"}
    return {"source": reference.source, "register": _register(tag.address)}


def _register(address: ModbusAddress) -> str:
    """The 0-based register as the tag map writes it: `hr104`, or `hr104.3` for a bit."""
    bit = "" if address.bit is None else f".{address.bit}"
    return f"{address.table}{address.offset}{bit}"
