"""The `data` of an event in ISA-95 terms (events.md, Data): what moved, where, for which order, and the proof. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from edge_agent.config.tagmap import TagMap
from edge_agent.errors import EventInvalid
from edge_agent.model.ack import Overdue
from edge_agent.model.event import About, Correction, Entry, EventDraft, Reversal, Snapshot, Voided
from edge_agent.model.movement import Candidate, Decision, EventType, Gap, Key, Notice, Review
from edge_agent.publishing import contract
from edge_agent.publishing import contract_events as form
from edge_agent.publishing.corrections import Original, corrected_data, reversed_data
from edge_agent.publishing.isa95_lines import LineBuilder
from edge_agent.publishing.scalars import timestamp, utc_offset
from edge_agent.publishing.stock import snapshot_data

_LEVELS: tuple[contract.EquipmentLevel, ...] = ("Enterprise", "Site", "Area", "ProductionLine", "WorkCell")
_ENTRY = "manual-entry"
"""The reason code of what a person enters; a decision's is the review's cause."""


class DataBuilder:
    """Builds the data of drafts; whatever the tag map alone decides is prepared once."""

    def __init__(self, tag_map: TagMap, version: str) -> None:
        line, zone = tag_map.line, tag_map.calendar.time_zone
        names = (line.enterprise, line.site, line.area, line.line, line.cell)
        self._scope: list[contract.Equipment] = [
            {"equipmentID": name, "equipmentLevel": level}
            for name, level in zip(names, _LEVELS, strict=True)
            if name is not None
        ]
        self._zone = zone
        self._origin = tag_map.agent
        self._version = version
        self._lines = LineBuilder(tag_map)

    def material(self, draft: EventDraft) -> form.MaterialData:
        """The data of what moved. Raises EventInvalid."""
        lines = draft.lines
        booked = self._booked(draft, lines[0].key, min(line.start_time for line in lines))
        head: form.Material = {**booked, **_account(draft.about)}
        match draft.type:
            case EventType.CONSUMED:
                consumed: form.MaterialConsumed
                consumed = {"operationsType": "Production", **head, "materialActual": self._lines.consumed(lines)}
                return consumed
            case EventType.PRODUCED:
                return {"operationsType": "Production", **head, "materialActual": self._lines.produced(lines)}
            case EventType.MOVED:
                return {"operationsType": "Inventory", **head, "materialActual": self._lines.moved(lines)}
            case EventType.RETURNED:
                returned: form.MaterialReturned
                returned = {"operationsType": "Production", **head, "materialActual": self._lines.returned(lines)}
                return returned
            case EventType.SCRAPPED:
                process = _scrapped_in_process(draft)
                return {
                    "operationsType": "Production" if process else "Inventory",
                    **head,
                    "scrapOrigin": "process" if process else "stock",
                    "materialActual": self._lines.scrapped(lines),
                }
            case EventType.SAMPLED:
                return {"operationsType": "Quality", **head, "materialActual": self._lines.sampled(lines)}
        raise EventInvalid(f"{draft.type} has no lines of its own")

    def amended(self, draft: EventDraft, original: Original) -> form.EventReversed | form.MaterialData:
        """The data of a reversal of `original`, or of what takes its place. Raises EventInvalid."""
        if isinstance(draft.about, Reversal):
            return reversed_data(original, self._common(draft, draft.time), draft.about)
        if isinstance(draft.about, Correction):
            return corrected_data(original, self._version, draft.about)
        raise EventInvalid(f"{draft.type}: neither a reversal nor a correction")

    def told(self, draft: EventDraft) -> form.EventData:
        """The data of an event without lines. Raises EventInvalid where its type and what it is about disagree."""
        match draft.type, draft.about:
            case EventType.IN_REVIEW, Review() as review:
                return self._review(draft, review)
            case EventType.DECIDED, Decision() as decision:
                return self._decided(draft, decision)
            case EventType.EXCEPTION, (Gap() | Notice() | Overdue()) as exception:
                return self._exception(draft, exception)
            case EventType.VOIDED, Voided() as voided:
                return {**self._common(draft, draft.time), "voided": _voided(voided)}
            case EventType.SNAPSHOT, Snapshot() as snapshot:
                return snapshot_data(self._common(draft, draft.time), snapshot, draft.time)
        raise EventInvalid(f"{draft.type} cannot be about {type(draft.about).__name__} without lines")

    def _common(self, draft: EventDraft, since: datetime) -> form.Common:
        common: form.Common = {
            "hierarchyScope": self._scope,
            "startTime": timestamp(since),
            "utcOffset": utc_offset(draft.time, self._zone),
            "timeZone": self._zone.key,
            "originSystem": self._origin,
            "agentVersion": self._version,
        }
        if draft.notes:
            common["properties"] = [{"id": name, "value": draft.notes[name]} for name in sorted(draft.notes)]
        return common

    def _booked(self, draft: EventDraft, key: Key, since: datetime) -> form.Booked:
        """`key` is the one whose order and posting day stand for the whole draft."""
        order: form.Ordered = {} if key.order is None else {"jobOrderID": key.order}
        return {**order, "postingDate": key.posting_day.isoformat(), **self._common(draft, since)}

    def _review(self, draft: EventDraft, review: Review) -> form.MovementInReview:
        return {
            "operationsType": _operations(review.key),
            **self._booked(draft, review.key, review.line.start_time),
            "reviewID": review.id,
            "cause": review.cause,
            "message": review.message,
            "quantityDoubted": review.quantity_doubted,
            "opened": timestamp(review.opened),
            "key": _key(review.key),
            "candidates": [self._candidate(number, way) for number, way in enumerate(review.candidates, 1)],
            "evidence": self._lines.evidence(review.key.rule, review.line.evidence),
        }

    def _candidate(self, number: int, candidate: Candidate) -> form.Candidate:
        return {
            "number": number,
            "quantity": self._lines.quantity(candidate.quantity, candidate.key),
            "why": candidate.why,
            "key": _key(candidate.key),
        }

    def _decided(self, draft: EventDraft, decision: Decision) -> form.MovementDecided:
        key = decision.review.key
        said = _decision(decision)
        if decision.quantity is not None:
            said["quantity"] = self._lines.quantity(decision.quantity, key)
        return {
            "operationsType": _operations(key),
            **self._booked(draft, key, decision.review.line.start_time),
            "reason": {"code": decision.review.cause, "text": decision.reason},
            "decision": said,
        }

    def _exception(self, draft: EventDraft, about: Gap | Notice | Overdue) -> form.EventData:
        match about:
            case Gap():
                return self._gap(draft, about)
            case Notice():
                return self._notice(draft, about)
            case Overdue():
                return {**self._common(draft, about.since), "exception": _overdue(about)}

    def _gap(self, draft: EventDraft, gap: Gap) -> form.GapRaised:
        return {
            "operationsType": _operations(gap.key),
            **self._booked(draft, gap.key, gap.since),
            "gapID": gap.id,
            "cause": gap.cause,
            "message": gap.message,
            "key": _key(gap.key),
            "minimum": self._lines.quantity(gap.minimum, gap.key),
            "maximum": None if gap.maximum is None else self._lines.quantity(gap.maximum, gap.key),
            "since": timestamp(gap.since),
            "until": timestamp(gap.until),
            "evidence": self._lines.signal(gap.key.rule),
        }

    def _notice(self, draft: EventDraft, notice: Notice) -> form.NoticeRaised:
        """It names the events to be looked at again by their ids, also for who reads the message alone."""
        by_event: dict[str, Decimal] = {}
        for one in notice.carried:
            if one.event is not None:
                by_event[one.event] = by_event.get(one.event, Decimal(0)) + one.quantity
        named = "; ".join(f"{quantity:f} in event {name}" for name, quantity in by_event.items())
        return {
            "operationsType": _operations(notice.key),
            **self._booked(draft, notice.key, notice.since),
            "noticeID": notice.id,
            "cause": notice.cause,
            "message": f"{notice.message}: {named}" if named else notice.message,
            "key": _key(notice.key),
            "quantity": self._lines.quantity(notice.quantity, notice.key),
            "since": timestamp(notice.since),
            "until": timestamp(notice.until),
            "evidence": self._lines.signal(notice.key.rule),
            **self._concerning(by_event, notice.key),
        }

    def _concerning(self, by_event: Mapping[str, Decimal], key: Key) -> form.Concerning:
        if not by_event:
            return {}
        return {"events": [{"id": name, "quantity": self._lines.quantity(one, key)} for name, one in by_event.items()]}


def _account(about: About | None) -> form.Account:
    if isinstance(about, Decision):
        return {"reason": {"code": about.review.cause, "text": about.reason}, "decision": _decision(about)}
    if isinstance(about, Entry):
        entry: form.Entry = {"by": about.by, "form": about.form, "at": timestamp(about.at)}
        return {"reason": {"code": _ENTRY, "text": about.reason}, "entry": entry}
    return {}


def _operations(key: Key) -> contract.OperationsType:
    match key.event:
        case EventType.MOVED:
            return "Inventory"
        case EventType.SAMPLED:
            return "Quality"
        case EventType.SCRAPPED if key.from_ is not None:
            return "Inventory"
    return "Production"


def _scrapped_in_process(draft: EventDraft) -> bool:
    """A person says so; a rule does by naming no location to take it from."""
    if isinstance(draft.about, Entry):
        return draft.about.process
    return all(line.key.from_ is None for line in draft.lines)


def _key(key: Key) -> contract.Key:
    data: contract.Key = {
        "rule": key.rule,
        "event": key.event,
        "materialDefinitionID": key.material,
        "postingDate": key.posting_day.isoformat(),
    }
    if key.lot is not None:
        data["materialLotID"] = key.lot
    if key.order is not None:
        data["jobOrderID"] = key.order
    if key.from_ is not None:
        data["fromLocation"] = key.from_
    if key.to is not None:
        data["toLocation"] = key.to
    if key.container is not None:
        data["containerID"] = key.container
    if key.into_lot is not None:
        data["intoMaterialLotID"] = key.into_lot
    return data


def _decision(decision: Decision) -> form.Decision:
    return {
        "reviewID": decision.review.id,
        "verdict": decision.verdict,
        "candidate": decision.candidate,
        "by": decision.by,
        "at": timestamp(decision.at),
    }


def _overdue(overdue: Overdue) -> form.Overdue:
    stream = overdue.source.rpartition(":")[2]
    which = f"event {overdue.sequence}" if overdue.count == 1 else f"{overdue.count} events from {overdue.sequence} on"
    return {
        "id": f"overdue/{overdue.system}/{stream}/{overdue.sequence}",
        "cause": "overdue",
        "message": f"{overdue.system} has not answered {which} of stream {stream} in time",
        "since": timestamp(overdue.since),
        "system": overdue.system,
        "source": overdue.source,
        "sequence": overdue.sequence,
        "count": overdue.count,
    }


def _voided(voided: Voided) -> form.Voided:
    return {
        "source": voided.source,
        "sequence": voided.sequence,
        "id": voided.id,
        "type": voided.type,
        "sha256": voided.sha256,
        "prevhash": voided.prevhash,
        "reason": voided.reason,
    }
