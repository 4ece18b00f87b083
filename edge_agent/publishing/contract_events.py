# ruff: noqa: N815 - keys are named as on the wire
"""The data of every event of the ledger, and the envelope they come in (events.md, Types, Envelope). Pure."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, WithJsonSchema

from edge_agent.model.event import Figure
from edge_agent.model.movement import EventType, Verdict
from edge_agent.publishing.contract import (
    AnyLine,
    Closed,
    CloudEventsType,
    ConsumedLine,
    Count,
    Date,
    Equipment,
    EventId,
    Evidence,
    Identifier,
    Key,
    MovedFromLine,
    MovedToLine,
    OperationsType,
    ProducedLine,
    Property,
    Quantity,
    QuantityString,
    Reason,
    SampledLine,
    ScrappedLine,
    Sequence,
    Sha256,
    Signal,
    SourceUrn,
    StorageLocation,
    Text,
    Timestamp,
    UnitCode,
    UtcOffset,
    Word,
)


class Common(Closed):
    """What the data of all events has."""

    hierarchyScope: Annotated[list[Equipment], Field(min_length=1, max_length=5, description="Outermost first.")]
    startTime: Annotated[Timestamp, Field(description="Where the interval begins that ends at the event's `time`.")]
    utcOffset: UtcOffset
    timeZone: Annotated[Identifier, Field(examples=["Europe/Berlin"])]
    originSystem: Annotated[Identifier, Field(description="The agent.")]
    agentVersion: Identifier
    properties: NotRequired[list[Property]]


class Ordered(Closed):
    """What counts for an order, where one runs."""

    jobOrderID: NotRequired[Annotated[Identifier, Field(description="The ERP's own number.")]]


class Booked(Common, Ordered):
    """What counts for a posting day."""

    postingDate: Annotated[Date, Field(description="The plant's posting day; a receiver never shifts it silently.")]


class Decision(Closed):
    """A person's word on a review."""

    reviewID: Identifier
    verdict: Verdict
    candidate: Annotated[int, Field(ge=1)] | None
    quantity: NotRequired[Annotated[Quantity, Field(description="Of `movement.decided`: in place of the candidate's.")]]
    by: Text
    at: Timestamp


class Entry(Closed):
    """A person's own entry; `form` is the token of the form it was written in."""

    by: Text
    form: Text
    at: Timestamp


class Correction(Closed):
    """Who took an event back, and when."""

    by: Text
    at: Timestamp


class Account(Closed):
    """Why a movement is there, where a person had a word in it."""

    reason: NotRequired[Annotated[Reason, Field(description="Of the decision, entry or correction.")]]
    decision: NotRequired[Decision]
    entry: NotRequired[Entry]
    correction: NotRequired[Annotated[Correction, Field(description="This event takes the place of a reversed one.")]]


class Material(Booked, Account):
    """What the movements of material have beside their lines. All lines are posted or none."""


class MaterialConsumed(Material):
    """Material consumed."""

    operationsType: Literal["Production"]
    materialActual: Annotated[list[ConsumedLine], Field(min_length=1)]


class MaterialReturned(Material):
    """Material returned: from the order back to the lines' storage locations."""

    operationsType: Literal["Production"]
    materialActual: Annotated[list[ConsumedLine], Field(min_length=1)]


class MaterialProduced(Material):
    """Material produced."""

    operationsType: Literal["Production"]
    materialActual: Annotated[list[ProducedLine], Field(min_length=1)]


_BOTH = {"contains": {"type": "object", "properties": {"materialUse": {"const": "Produced"}}}}


class MaterialMoved(Material):
    """Material moved: lines in pairs, Consumed at the first location, Produced at the second."""

    operationsType: Literal["Inventory"]
    materialActual: Annotated[list[MovedFromLine | MovedToLine], Field(min_length=2, json_schema_extra=_BOTH)]


ScrapOrigin = Annotated[
    Literal["stock", "process"],
    Field(description="process: its input was consumed already, so no stock falls."),
]


class MaterialScrapped(Material):
    """Material scrapped, from stock or in the process."""

    operationsType: Literal["Production", "Inventory"]
    scrapOrigin: ScrapOrigin
    materialActual: Annotated[list[ScrappedLine], Field(min_length=1)]


class MaterialSampled(Material):
    """Material taken as a sample."""

    operationsType: Literal["Quality"]
    materialActual: Annotated[list[SampledLine], Field(min_length=1)]


class Scrap(Closed):
    """Where something scrapped came from."""

    scrapOrigin: NotRequired[ScrapOrigin]


class EventReversed(Booked, Scrap):
    """An event is taken back: its lines again, quantities positive. Who never posted it voids it and posts nothing."""

    operationsType: OperationsType
    materialActual: Annotated[list[AnyLine], Field(min_length=1)]
    reversesSource: SourceUrn
    reversesSequence: Sequence
    reversesId: EventId
    reversesType: CloudEventsType
    reason: Reason
    correction: Correction


class Voided(Closed):
    """An event that cannot be published, and the SHA-256 of its bytes; `prevhash` proves the event before it."""

    source: SourceUrn
    sequence: Sequence
    id: EventId
    type: CloudEventsType
    sha256: Sha256
    prevhash: NotRequired[Sha256]
    reason: Text


class SequenceVoided(Common):
    """A number that cannot be published: receivers count the hole as filled. Its bytes may still come later."""

    voided: Voided


class Candidate(Closed):
    """One way a doubtful movement may have gone; a person picks one."""

    number: Annotated[int, Field(ge=1)]
    quantity: Quantity
    why: Text
    key: Key


class MovementInReview(Booked):
    """A doubtful movement: nothing is booked until a person decides."""

    operationsType: OperationsType
    reviewID: Identifier
    cause: Word
    message: Text
    quantityDoubted: bool
    opened: Timestamp
    key: Key
    candidates: Annotated[list[Candidate], Field(min_length=1)]
    evidence: Evidence


class MovementDecided(Booked):
    """A person's word on a review. What it books follows as an event of its own, with the same causationid."""

    operationsType: OperationsType
    reason: Reason
    decision: Decision


class GapRaised(Booked):
    """What could not be seen, with bounds."""

    operationsType: OperationsType
    gapID: Identifier
    cause: Word
    message: Text
    key: Key
    minimum: Quantity
    maximum: Annotated[Quantity | None, Field(description="null: nothing bounds it.")]
    since: Timestamp
    until: Timestamp
    evidence: Signal


class Carrying(Closed):
    """An event that carries some of it, by the id that `edge-agent correct` takes."""

    id: EventId
    quantity: Quantity


class Concerning(Closed):
    """The events that carry what a notice is about."""

    events: NotRequired[Annotated[list[Carrying], Field(description="What to reverse where it belongs elsewhere.")]]


class NoticeRaised(Booked, Concerning):
    """Something about a quantity that was booked all the same, because it happened."""

    operationsType: OperationsType
    noticeID: Identifier
    cause: Word
    message: Text
    key: Key
    quantity: Annotated[Quantity, Field(description="As much of it as was booked when this was said.")]
    since: Timestamp
    until: Timestamp
    evidence: Signal


class Overdue(Closed):
    """Events of a source, from `sequence` on, that a system has not answered in time."""

    id: Text
    cause: Literal["overdue"]
    message: Text
    since: Annotated[Timestamp, Field(description="When the first of them was due.")]
    system: Identifier
    source: SourceUrn
    sequence: Sequence
    count: Annotated[int, Field(ge=1)]


class OverdueRaised(Common):
    """A receiving system owes answers."""

    exception: Overdue


ExceptionRaised = Annotated[
    GapRaised | NoticeRaised | OverdueRaised,
    Field(description="What a person should know of: what could not be seen, is booked in doubt, or is overdue."),
]


class Watermark(Closed):
    """Up to where a source had got, and the SHA-256 of that event's bytes (64 zeros for 0)."""

    source: SourceUrn
    sequence: Count
    hash: Sha256


class AuditHead(Closed):
    """The last entry of the agent's audit log."""

    sequence: Count
    hash: Sha256


FigureName = Annotated[str, WithJsonSchema({"type": "string", "enum": [figure.value for figure in Figure]})]
Figures = Annotated[dict[FigureName, QuantityString], Field(description="Gross, never falling; a zero is left out.")]


class NoOnHand(Closed):
    """The agent states no stock on hand: others move this stock too."""

    basis: Literal["none"]


class StockEntry(Closed):
    """One stock's figures over the store's whole life; without storageLocation it is the process's."""

    storageLocation: NotRequired[StorageLocation]
    materialDefinitionID: Identifier
    materialLotID: NotRequired[Identifier]
    stockType: Identifier
    unitOfMeasure: UnitCode
    cumulative: Figures
    cumulativeReversed: Figures
    openingBalance: None
    onHand: NoOnHand


class StockSnapshot(Common):
    """Some of all stocks, as of the watermarks: compare there, never at wall time. Only `actual` lines count."""

    snapshotID: Identifier
    part: Annotated[int, Field(ge=1)]
    parts: Annotated[int, Field(ge=1)]
    asOf: Timestamp
    eventCount: Count
    watermarks: Annotated[list[Watermark], Field(description="Every source that this store ever had.")]
    auditHead: AuditHead
    stock: list[StockEntry]


MaterialData = (
    MaterialConsumed | MaterialReturned | MaterialProduced | MaterialMoved | MaterialScrapped | MaterialSampled
)
EventData = (
    MaterialData
    | EventReversed
    | SequenceVoided
    | MovementInReview
    | MovementDecided
    | GapRaised
    | NoticeRaised
    | OverdueRaised
    | StockSnapshot
)

DATA: Mapping[EventType, Any] = {
    EventType.CONSUMED: MaterialConsumed,
    EventType.PRODUCED: MaterialProduced,
    EventType.MOVED: MaterialMoved,
    EventType.RETURNED: MaterialReturned,
    EventType.SCRAPPED: MaterialScrapped,
    EventType.SAMPLED: MaterialSampled,
    EventType.REVERSED: EventReversed,
    EventType.VOIDED: SequenceVoided,
    EventType.IN_REVIEW: MovementInReview,
    EventType.DECIDED: MovementDecided,
    EventType.EXCEPTION: ExceptionRaised,
    EventType.SNAPSHOT: StockSnapshot,
}
"""The type of each event's data."""


class Envelope(Closed):
    """A ledger event: CloudEvents 1.0, JSON, structured mode. Identified by source and id, ordered by sequence."""

    specversion: Literal["1.0"]
    id: EventId
    source: SourceUrn
    type: CloudEventsType
    time: Annotated[Timestamp, Field(description="When it happened: the end of the interval.")]
    recordedtime: Annotated[Timestamp, Field(description="When it was stored.")]
    sequence: Annotated[str, Field(pattern=r"^[0-9]{20}$", description="Contiguous per source, from 1; zero-padded.")]
    subject: Annotated[Text, Field(description="<material>/<lot>, <material>, or the order where lines differ.")]
    partitionkey: Annotated[Text, Field(description="<site>|<material>|<lot>; the order where lines differ.")]
    prevhash: Annotated[
        Sha256, Field(description="SHA-256 of the bytes of the previous event of the source; 64 zeros for the first.")
    ]
    dataschema: Annotated[str, Field(description="`$id` of the JSON Schema of `data`.")]
    datacontenttype: Literal["application/json"]
    correlationid: NotRequired[Annotated[Text, Field(description="The same on all events of a review or correction.")]]
    causationid: NotRequired[Annotated[EventId, Field(description="The event that led to this one.")]]
    data: Annotated[EventData, WithJsonSchema({"type": "object"})]
