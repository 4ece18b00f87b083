"""Where values come from, as frozen references: sources, addresses, tags, units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from edge_agent.model.reading import TagRef


@dataclass(frozen=True, slots=True)
class Application:
    """The agent's application instance certificate and its private key, where they are given as files."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class OpcUaSource:
    """One OPC UA session. `security` is None (SecurityPolicy None, named on purpose) or `Policy/Mode`.

    `trust` is the one server certificate that is trusted, else those in the data directory's `pki/trusted`.
    """

    name: str
    url: str
    namespaces: Mapping[str, str]
    sample: timedelta
    security: str | None = None
    user: str | None = None
    password_file: Path | None = None
    trust: Path | None = None
    application: Application | None = None


class Parity(StrEnum):
    """The parity bit of a serial line."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial line as the standard recommends it (Modbus over Serial Line V1.02, 2.5.1). `baud` in bits per second."""

    baud: int = 19_200
    parity: Parity = Parity.EVEN
    stop_bits: int = 1


@dataclass(frozen=True, slots=True)
class ModbusSource:
    """One Modbus device at `tcp://host:port`, or on a serial line `rtu:/dev/ttyUSB0`.

    `order` is the word order of multi-register values; `timeout` how long an answer may take.
    """

    name: str
    url: str
    unit_id: int
    order: str
    poll: timedelta
    timeout: timedelta = timedelta(seconds=1)
    max_registers: int = 125
    serial: SerialLine | None = None


@dataclass(frozen=True, slots=True)
class CommandSource:
    """Whoever sends commands over MQTT: `cmd/context` sets its tags, `cmd/confirm` its rules' movements.

    `cmd/lot-status` tells of the lots of materials that name it.
    """

    name: str


Device = OpcUaSource | ModbusSource
"""What the agent has a session with."""
Source = Device | CommandSource


class TagType(StrEnum):
    """What the device holds. BCD: one decimal digit in every four bits, 4 or 8 of them (IEC 61131-3, 2.3.3)."""

    BOOL = "bool"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    BCD16 = "bcd16"
    BCD32 = "bcd32"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    EVENT = "event"
    """No value: a node that emits events."""


WHOLE: Mapping[TagType, range] = {
    TagType.INT16: range(-(1 << 15), 1 << 15),
    TagType.UINT16: range(1 << 16),
    TagType.INT32: range(-(1 << 31), 1 << 31),
    TagType.UINT32: range(1 << 32),
    TagType.INT64: range(-(1 << 63), 1 << 63),
    TagType.UINT64: range(1 << 64),
    TagType.BCD16: range(10**4),
    TagType.BCD32: range(10**8),
}
"""What the whole types hold."""


@dataclass(frozen=True, slots=True)
class OpcUaAddress:
    """A node by namespace URI (an index moves): `namespace_uri` and the rest of the NodeId, e.g. `s=::Order.No`."""

    namespace_uri: str
    identifier: str


@dataclass(frozen=True, slots=True)
class OpcUaField:
    """A field of an event by its browse name: `namespace_uri` and the name (OPC 10000-4, 7.7.4.5)."""

    namespace_uri: str
    name: str


@dataclass(frozen=True, slots=True)
class ModbusAddress:
    """A 0-based register or coil: `table` is hr, ir, co or di; `bit` within a register, else None."""

    table: str
    offset: int
    bit: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class CommandAddress:
    """A tag that commands set by its name: there is nothing to read."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of the map: `code` is UN/ECE Rec 20 (or X + Rec 21); `factor` times `base` is one of it, exactly."""

    name: str
    code: str
    base: str
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: value in raw units times `scale` is a quantity in `unit`; `range` bounds that quantity.

    A tag of a ring buffer has `slots`, each with its address, of which `address` is the first; it is read slot by slot,
    and as a tag of its own each slot is `on_demand`: read when a handshake asks, neither polled nor subscribed to.
    A tag of type `event` emits events `of_type`, whose fields are tags with an `OpcUaField`: none of them is read.
    """

    ref: TagRef
    type: TagType
    address: OpcUaAddress | ModbusAddress | OpcUaField | CommandAddress
    unit: Unit | None = None
    scale: Decimal = Decimal(1)
    range: tuple[Decimal, Decimal] | None = None
    write: bool = False
    slots: tuple[OpcUaAddress | ModbusAddress, ...] = ()
    on_demand: bool = False
    of_type: OpcUaAddress | None = None

    @property
    def comes_with_events(self) -> bool:
        """Whether it is never read or subscribed to by itself."""
        return self.type is TagType.EVENT or isinstance(self.address, OpcUaField)

    def in_range(self, raw: int | Decimal) -> bool:
        """Whether a raw value lies in the tag's range."""
        return self.range is None or self.range[0] <= raw * self.scale <= self.range[1]
