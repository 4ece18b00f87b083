"""What events are made of: texts, quantities, evidence, lines (events.md, Data). Pure.

Everything the agent says is built as the types of the `contract` modules, so the type checker proves that it is what
the JSON Schemas say, which contract_schema.py makes of the same types. They cost nothing at run time: each is a dict.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, WithJsonSchema, with_config
from typing_extensions import TypeAliasType, TypedDict

from edge_agent.config.tagmap import Posting
from edge_agent.model.movement import EventType

MATERIAL_EVENTS = (
    EventType.CONSUMED,
    EventType.PRODUCED,
    EventType.MOVED,
    EventType.RETURNED,
    EventType.SCRAPPED,
    EventType.SAMPLED,
)
"""The types whose events have lines of their own: what a rule or a person may book, and what can be reversed."""


Text = TypeAliasType("Text", Annotated[str, Field(min_length=1, max_length=4096)])
Identifier = TypeAliasType("Identifier", Annotated[str, Field(min_length=1, max_length=256)])
Timestamp = TypeAliasType(
    "Timestamp",
    Annotated[
        str,
        Field(
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
            description="RFC 3339 in UTC with milliseconds.",
            examples=["2026-03-04T11:59:55.000Z"],
        ),
    ],
)
Date = TypeAliasType("Date", Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-03-04"])])
UtcOffset = TypeAliasType("UtcOffset", Annotated[str, Field(pattern=r"^[+-][0-9]{2}:[0-9]{2}$", examples=["+01:00"])])
QuantityString = TypeAliasType(
    "QuantityString",
    Annotated[
        str,
        Field(
            pattern=r"^[0-9]{1,18}(\.[0-9]{1,9})?$",
            description="An exact decimal; never a JSON number.",
            examples=["17.5"],
        ),
    ],
)
UnitCode = TypeAliasType(
    "UnitCode",
    Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            description="A UN/ECE Rec 20 code, or X and a Rec 21 package code; whatever the tag map calls it where it "
            "has no code.",
            examples=["H87", "KGM", "XCS"],
        ),
    ],
)
Sha256 = TypeAliasType("Sha256", Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")])
SourceUrn = TypeAliasType(
    "SourceUrn",
    Annotated[
        str,
        Field(
            max_length=512,
            pattern=r"^urn:edgeagent:[!-9;-~]+:[!-9;-~]+:[!-9;-~]+$",
            description="urn:edgeagent:<agent id>:<store uuid>:<stream>",
            examples=["urn:edgeagent:l3-edge:0b7d2f4e-7f0c-4a0a-9a38-6f3f0a1b2c3d:routine"],
        ),
    ],
)
EventId = TypeAliasType(
    "EventId",
    Annotated[
        str,
        Field(
            pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
            description="uuid5(uuid5(NAMESPACE_URL, source), sequence), over the 20 digits.",
            examples=["0d7d2f4e-7f0c-5a0a-9a38-6f3f0a1b2c3d"],
            json_schema_extra={"format": "uuid"},
        ),
    ],
)
CloudEventsType = TypeAliasType(
    "CloudEventsType",
    Annotated[
        str, Field(pattern=r"^io\.edgeagent\.[a-z]+\.[a-z]+\.v1$", examples=["io.edgeagent.material.consumed.v1"])
    ],
)
Sequence = TypeAliasType("Sequence", Annotated[int, Field(ge=1, description="Contiguous per source, from 1.")])
Count = TypeAliasType("Count", Annotated[int, Field(ge=0)])
Word = TypeAliasType(
    "Word",
    Annotated[
        str,
        Field(
            pattern=r"^[a-z]+(-[a-z]+)*$", description="A stable word, for machines too.", examples=["several-wraps"]
        ),
    ],
)
LineNumber = TypeAliasType("LineNumber", Annotated[str, Field(pattern=r"^[1-9][0-9]*$")])
MaterialEvent = TypeAliasType(
    "MaterialEvent",
    Annotated[str, WithJsonSchema({"type": "string", "enum": [event.value for event in MATERIAL_EVENTS]})],
)
OperationsType = TypeAliasType("OperationsType", Literal["Production", "Maintenance", "Quality", "Inventory", "Mixed"])
EquipmentLevel = Literal["Enterprise", "Site", "Area", "ProductionLine", "WorkCell"]


@with_config(ConfigDict(extra="forbid"))
class Closed(TypedDict):
    """An object without further keys."""


class Equipment(Closed):
    """One level of the plant."""

    equipmentID: Identifier
    equipmentLevel: EquipmentLevel


class Property(Closed):
    """A remark."""

    id: Identifier
    value: str


class Reason(Closed):
    """Why: a word for machines, a text of a person's."""

    code: Word
    text: Text


class Quantity(Closed):
    """A quantity; its unit is left out where the tag map no longer knows the material."""

    quantityString: QuantityString
    unitOfMeasure: NotRequired[UnitCode]


class ConvertedQuantity(Closed):
    """A quantity in the material's unit, and as its source said it: a device, or the person who corrected it."""

    quantityString: QuantityString
    unitOfMeasure: UnitCode
    sourceQuantityString: QuantityString
    sourceUnit: UnitCode


class StorageLocation(Closed):
    """A storage location, never a warehouse. ISA-95.00.02: it names an operational location."""

    location: Identifier
    locationType: Literal["OperationalLocation"]


_PLACED: dict[str, Any] = {
    "dependentRequired": {"node": ["source"], "register": ["source"]},
    "not": {"required": ["node", "register"]},
}


@with_config(ConfigDict(extra="forbid", json_schema_extra=_PLACED))
class Conversion(Closed):
    """By what a quantity was converted."""

    conversion: NotRequired[
        Annotated[
            str, Field(min_length=1, description="How readings became the quantity, exactly, when it was measured.")
        ]
    ]


class Signal(Closed):
    """The rule and where its signal comes from: the node or register of its counter or trigger."""

    rule: Annotated[Identifier, Field(description="Of the tag map; @entry for what a person entered.")]
    source: NotRequired[Identifier]
    node: NotRequired[Annotated[Text, Field(examples=["nsu=urn:example:bottling-line;s=::preforms_in"])]]
    register: NotRequired[
        Annotated[str, Field(pattern=r"^(hr|ir|co|di)[0-9]+(\.[0-9]+)?$", examples=["hr104", "hr104.3"])]
    ]
    configHash: Annotated[Identifier, Field(description="SHA-256 of the tag map that this was booked by.")]


@with_config(ConfigDict(extra="forbid", json_schema_extra=_PLACED))
class Evidence(Signal, Conversion):
    """From a booked quantity back to raw readings; positions are raw units, unrolled within the epoch."""

    epoch: int
    fromPosition: int
    toPosition: int
    firstSourceTime: Timestamp
    lastSourceTime: Timestamp
    statusCodes: list[Annotated[int, Field(ge=0, le=2**32 - 1)]]
    rawBefore: str
    rawAfter: str
    sampleCount: Count
    flags: Annotated[
        list[Annotated[str, Field(pattern=r"^[a-z][A-Za-z]*$")]],
        Field(description="Why it deserves a second look.", json_schema_extra={"uniqueItems": True}),
    ]


class Line(Closed):
    """What the lines of all events have."""

    id: LineNumber
    materialDefinitionID: Identifier
    materialLotID: NotRequired[Identifier]
    containerID: NotRequired[Annotated[Identifier, Field(description="An SSCC, where it has one.")]]
    quantity: ConvertedQuantity
    posting: Annotated[Posting, Field(description="A receiver posts only `actual`.")]
    properties: NotRequired[
        Annotated[
            list[Property],
            Field(
                description="`operator`: who worked there. `orderFrom`, `lotFrom`, `containerFrom`, `operatorFrom`, "
                "`intoLotFrom`: the tag that told, or `block`, `container`, `fifo`, `blend`."
            ),
        ]
    ]
    evidence: Evidence


class LocatedLine(Line):
    """A line that may have a storage location; without one it is the order's, or the process's."""

    storageLocation: NotRequired[StorageLocation]


class Genealogy(Closed):
    """What became of the material, where it is known."""

    intoMaterialLotID: NotRequired[Annotated[Identifier, Field(description="The lot that was being made of it.")]]


class ConsumedLine(LocatedLine, Genealogy):
    """Taken from its storage location; of a return: brought back to it."""

    materialUse: Literal["Consumed"]


class ProducedLine(LocatedLine):
    """Brought to its storage location."""

    materialUse: Literal["Produced"]


class ScrappedLine(LocatedLine):
    """Scrapped at its storage location. B2MML has no such use."""

    materialUse: Literal["Other"]
    materialUseOther: Literal["Scrapped"]


class SampledLine(LocatedLine):
    """Taken as a sample. B2MML has no such use."""

    materialUse: Literal["Other"]
    materialUseOther: Literal["Sampled"]


class MoveLine(Line):
    """One side of a move; the other has the same `pairID`."""

    storageLocation: StorageLocation
    pairID: LineNumber


class MovedFromLine(MoveLine):
    """Taken from the first location."""

    materialUse: Literal["Consumed"]


class MovedToLine(MoveLine):
    """Brought to the second location."""

    materialUse: Literal["Produced"]


AnyLine = ConsumedLine | ProducedLine | ScrappedLine | SampledLine | MovedFromLine | MovedToLine


class Key(Closed):
    """What a movement is booked under."""

    rule: Identifier
    event: MaterialEvent
    materialDefinitionID: Identifier
    materialLotID: NotRequired[Identifier]
    postingDate: Date
    jobOrderID: NotRequired[Identifier]
    fromLocation: NotRequired[Identifier]
    toLocation: NotRequired[Identifier]
    containerID: NotRequired[Identifier]
    intoMaterialLotID: NotRequired[Identifier]
