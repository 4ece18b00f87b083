"""The shape of a tag map, section by section; the JSON Schema is made of it (interfaces.md, Tag map).

Only what one value can say by itself is checked here; what refers to something else is resolved later.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from edge_agent.config.devices import Parity, TagType
from edge_agent.config.document_rules import RuleSection
from edge_agent.config.leaves import (
    Amount,
    Density,
    Duration,
    Exact,
    FileName,
    Flag,
    Identifier,
    Label,
    Level,
    MemberOf,
    Name,
    OneOf,
    Pattern,
    Positive,
    Register,
    Root,
    Size,
    Text,
    Texts,
    TimeOfDay,
    Token,
    UnitCode,
    UnitName,
    When,
    Whole,
)
from edge_agent.config.mqtt_reference import MqttProtocol
from edge_agent.config.section import Section
from edge_agent.config.tagmap import CutAt, Posting, Unproven, WhenFull
from edge_agent.config.yaml_nodes import Map

SCHEMA = 1
WORD_ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")
EXTRA_CUTS = tuple(cut.value for cut in CutAt)
RELEASED, HOLD = "RELEASED", "hold"
STOCK_TYPES = ("available", "quality_inspection", "blocked", "in_transit", "wip")
OPC_UA_SOURCE, MODBUS_SOURCE, COMMAND_SOURCE = "<opcua>", "<modbus>", "<mqtt>"
"""Tags of the union of sources; no key of a map looks like this."""


class LineSection(Section):
    """The ISA-95 equipment path of the line; each name is a topic level."""

    enterprise: Level = Field(description="The enterprise.", examples=["acme"])
    site: Level = Field(description="The site.", examples=["berlin"])
    area: Level | None = Field(None, description="The area within the site.", examples=["filling"])
    line: Level | None = Field(None, description="The production line.", examples=["L3"])
    cell: Level | None = Field(None, description="The work cell.", examples=["filler"])


class CalendarSection(Section):
    """The plant's time."""

    time_zone: Text = Field(description="IANA time zone of the plant.", examples=["Europe/Berlin"])
    day_starts: TimeOfDay = Field(description="When a posting day begins, quoted.", examples=["06:00"])
    shifts: dict[Name, TimeOfDay] = Field({}, description="When each shift begins.", examples=[{"early": "06:00"}])
    max_skew: Duration | None = Field(
        None,
        description="How far a device's clock may be off before our own is used; 5 s by default.",
        examples=["5 s"],
    )


class TlsSection(Section):
    """Files of the TLS connection, relative to the tag map."""

    ca: FileName | None = Field(None, description="Certificates trusted, PEM.", examples=["pki/ca.pem"])
    cert: FileName | None = Field(None, description="The agent's own certificate, PEM.", examples=["pki/l3.pem"])
    key: FileName | None = Field(None, description="Its private key, mode 600.", examples=["pki/l3.key"])


class LoginSection(Section):
    """A user and the file that holds the password."""

    user: Name = Field(description="The user's name.", examples=["edge"])
    password_file: FileName = Field(description="A file readable by its owner alone.", examples=["secrets/filler"])


class MqttSection(Section):
    """The broker."""

    url: Texts = Field(
        description="mqtt:// or mqtts://, host and port; or a list of them, the preferred one first.",
        examples=["mqtts://broker.plant.example:8883"],
    )
    protocol: Annotated[MqttProtocol, MemberOf(MqttProtocol)] = Field(
        MqttProtocol.AUTO,
        description="The version spoken, quoted; auto is 5 where the broker speaks it, else 3.1.1.",
        examples=["auto", "5", "3.1.1"],
    )
    root: Root = Field(description="First level or levels of every topic.", examples=["mat"])
    tls: TlsSection | None = Field(None, description="Files for mqtts://.")
    login: LoginSection | None = Field(None, description="User and password file.")


class BufferSection(Section):
    """The store on disk."""

    max_size: Size = Field(description="Cap of the database.", examples=["2 GiB"])
    keep_sent: Duration = Field(description="How long sent events can be replayed.", examples=["90 d"])
    when_full: Annotated[WhenFull, MemberOf(WhenFull)] = Field(
        WhenFull.STOP_AND_ALARM, description="What happens at the cap.", examples=["stop-and-alarm"]
    )


class ApplicationSection(Section):
    """The agent's application instance certificate, where it shall not make one by itself; PEM or DER."""

    cert: FileName = Field(description="The certificate, with the application's URI.", examples=["pki/l3.der"])
    key: FileName = Field(description="Its private key, mode 600.", examples=["pki/l3.key"])


class OpcUaSection(Section):
    """An OPC UA server."""

    opcua: Text = Field(description="The server's endpoint.", examples=["opc.tcp://10.3.0.10:4840"])
    security: Text | None = Field(
        None,
        description="Policy/SignAndEncrypt, or None where that is meant. Required: there is no default.",
        examples=["Basic256Sha256/SignAndEncrypt", "None"],
    )
    login: LoginSection | None = Field(None, description="User and password file.")
    trust: FileName | None = Field(
        None,
        description="The server's certificate, PEM or DER; else those in the data directory's pki/trusted are trusted.",
        examples=["pki/filler.der"],
    )
    application: ApplicationSection | None = Field(
        None, description="The agent's own certificate; else it makes one, in the data directory's pki/own."
    )
    namespaces: dict[Identifier, Text] = Field(
        {}, description="Short names for namespace URIs, used as {name} in nodes.", examples=[{"pv": "urn:plc:pv"}]
    )
    sample: Duration = Field(description="Sampling period asked of the server.", examples=["100 ms"])


class SerialSection(Section):
    """A serial line; by default as the standard recommends: 19200 baud, even parity, one stop bit."""

    baud: Whole = Field(19_200, description="Bits per second.", examples=[19_200])
    parity: Annotated[Parity, MemberOf(Parity)] = Field(Parity.EVEN, description="The parity bit.", examples=["even"])
    stop_bits: Whole | None = Field(None, description="1 or 2; without parity 2 by default, else 1.", examples=[1])


class ModbusSection(Section):
    """A Modbus device."""

    modbus: Text = Field(
        description="tcp:// with host and port, or rtu: with the serial line's device file.",
        examples=["tcp://10.3.0.40:502", "rtu:/dev/ttyUSB0"],
    )
    unit_id: Whole = Field(description="Unit identifier, 0 to 255.", examples=[1])
    order: Annotated[str, OneOf(*WORD_ORDERS)] = Field(
        description="Byte order of values of several registers; ABCD is big-endian.", examples=["CDAB"]
    )
    poll: Duration = Field(description="Polling period.", examples=["2 s"])
    timeout: Duration | None = Field(None, description="How long an answer may take; 1 s by default.", examples=["1 s"])
    max_registers: Whole | None = Field(
        None, description="Most registers in one request; 125 by default, as the protocol allows.", examples=[125]
    )
    serial: SerialSection | None = Field(None, description="The serial line of an rtu: address.")


class CommandSection(Section):
    """MES, SCADA or LIMS, which send commands over MQTT."""

    mqtt: Annotated[str, OneOf("commands")] = Field(
        description="cmd/context sets its tags, cmd/confirm confirms movements, cmd/lot-status tells of lots.",
        examples=["commands"],
    )


_SOURCES = {"opcua": OPC_UA_SOURCE, "modbus": MODBUS_SOURCE, "mqtt": COMMAND_SOURCE}


def _protocol(value: Any) -> str | None:
    spoken = [tag for key, tag in _SOURCES.items() if isinstance(value, Map) and key in value]
    return spoken[0] if len(spoken) == 1 else None


AnySource = OpcUaSection | ModbusSection | CommandSection
SourceSection = Annotated[
    Annotated[OpcUaSection, Tag(OPC_UA_SOURCE)]
    | Annotated[ModbusSection, Tag(MODBUS_SOURCE)]
    | Annotated[CommandSection, Tag(COMMAND_SOURCE)],
    Discriminator(_protocol),
]


class TagSection(Section):
    """One tag of a source."""

    type: Annotated[TagType, MemberOf(TagType)] = Field(description="What the device holds.", examples=["uint32"])
    node: Text | None = Field(None, description="OPC UA node by namespace URI.", examples=["nsu={pv};s=::Order.No"])
    field: Text | None = Field(
        None, description="Of an event of an OPC UA server: a field, by its browse name.", examples=["nsu={pv};Cases"]
    )
    of_type: Text | None = Field(
        None, description="With type: event, which events of the node are meant.", examples=["nsu={pv};i=5001"]
    )
    at: Register | None = Field(
        None, description="Modbus address, quoted: 40101 counts from 1, hr100 from 0.", examples=["40101", "hr104"]
    )
    slots: Whole | None = Field(
        None,
        description="Of a ring buffer: how many slots it has; the node names one by {slot} or {slot+1}.",
        examples=[16],
    )
    stride: Whole | None = Field(
        None,
        description="Registers from one slot to the next, on Modbus; the address is the first one's.",
        examples=[8],
    )
    length: Whole | None = Field(None, description="Characters of a string on Modbus, two a register.", examples=[20])
    unit: UnitName | None = Field(None, description="Unit of the scaled value.", examples=["pcs"])
    scale: Positive | None = Field(None, description="The raw value times this is in `unit`.", examples=["0.1"])
    range: list[Exact] | None = Field(
        None, description="Lowest and highest value, scaled; others are no readings.", examples=[["0", "12000"]]
    )
    write: Flag = Field(default=False, description="The agent may write it: a handshake's ack, tail or result.")


class UnitSection(Section):
    """A unit, by its UN/ECE code."""

    code: UnitCode = Field(description="UN/ECE Rec 20 code, or X and a Rec 21 package code.", examples=["H87", "XCS"])
    of: Amount | None = Field(None, description="How much of another unit one of it is, exactly.", examples=["24 pcs"])


UnprovenWord = Annotated[Unproven, MemberOf(Unproven)]


class LotStatusSection(Section):
    """Who tells the status of a material's lots, and what is done about one that may not be used."""

    from_: Identifier = Field(
        alias="from", description="The source whose cmd/lot-status tells it; it says mqtt: commands.", examples=["lims"]
    )
    usable: list[Text] = Field(
        [RELEASED],
        description="Statuses in which a lot may be used, as that source writes them.",
        examples=[[RELEASED]],
    )
    on_blocked: Annotated[str, OneOf("book", HOLD)] = Field(
        "book",
        description="What is consumed of another lot is booked with an exception, or held for a person's decision.",
        examples=["hold"],
    )


class MaterialSection(Section):
    """A material, under its number in MES and ERP (quoted)."""

    name: Label = Field(description="What people call it.", examples=["PET preform 28 g"])
    klass: Name = Field(
        alias="class", description="Its class; the cadence of that name applies.", examples=["packaging"]
    )
    unit: UnitName = Field(description="The unit it is booked in.", examples=["pcs"])
    posting: Annotated[Posting, MemberOf(Posting)] = Field(
        Posting.ACTUAL, description="Whether receivers post it.", examples=["actual"]
    )
    density: Density | None = Field(None, description="Between mass and volume.", examples=["1.29 kg/L"])
    lot_tracked: Flag = Field(default=False, description="Its movements need `lot_from`.")
    lot_status: LotStatusSection | None = Field(
        None, description="Whether its lots may be used, and who tells. Without it nobody asks."
    )
    precision: Positive | None = Field(None, description="Quantities are cut down to this.", examples=["0.1"])
    gtin: Text | None = Field(
        None, description="Its GTIN, quoted: how a barcode names it.", examples=["04012345000009"]
    )


class CadenceSection(Section):
    """When pending lines of a class are cut into an event."""

    send: When = Field(description="at-once, every ..., or cron ...", examples=["at-once", "every 5 min"])
    stream: Token = Field(description="The stream that carries the events.", examples=["routine"])
    or_at: list[Annotated[str, OneOf(*EXTRA_CUTS)]] = Field(
        [], description="Cut at these moments too.", examples=[["order-change"]]
    )
    max_qty: Amount | None = Field(None, description="Cut when this much is pending.", examples=["5000 pcs"])
    aligned: Annotated[str, OneOf("clock", "free")] | None = Field(
        None, description="Whether `every` runs on the full hour.", examples=["clock"]
    )
    accepted_by: list[Token] = Field([], description="Systems whose word is needed.", examples=[["mes"]])
    accepted_within: Duration | None = Field(
        None, description="How long they have; then it is overdue. 1 h by default.", examples=["15 min"]
    )
    unproven: UnprovenWord | None = Field(
        None, description="What happens to a delta whose continuity nothing proves.", examples=["review"]
    )


class OwnershipSection(Section):
    """Who is the system of record of a location."""

    locations: Pattern = Field(description="Storage locations; * stands for anything.", examples=["WH-*"])
    owner: Name = Field(description="The system of record.", examples=["wms"])
    states: list[Annotated[str, OneOf(*STOCK_TYPES)]] = Field(
        [], description="Only for these stock types.", examples=[["available", "wip"]]
    )


class ReconcileSection(Section):
    """What receivers compare their books with."""

    snapshots: Duration = Field(description="How often a snapshot of all stocks is sent.", examples=["1 h"])


class Document(Section):
    """The tag map of one line: what its signals mean, and where the agent connects."""

    schema_: Annotated[Literal[1], WithJsonSchema({"const": SCHEMA})] = Field(
        alias="schema", description="Version of this format."
    )
    agent: Token = Field(description="The agent's id: a topic level and part of every event's source.")
    line: LineSection
    calendar: CalendarSection
    mqtt: MqttSection
    buffer: BufferSection
    sources: dict[Identifier, SourceSection]
    tags: dict[Identifier, dict[Identifier, TagSection]]
    units: dict[UnitName, UnitSection]
    materials: dict[Name, MaterialSection]
    cadence: dict[Name, CadenceSection]
    movements: dict[Identifier, RuleSection]
    ownership: list[OwnershipSection] = Field([], description="Who is the system of record of which location.")
    reconcile: ReconcileSection | None = Field(None, description="Snapshots; every hour by default.")
