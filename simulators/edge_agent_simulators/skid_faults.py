"""What can go wrong with the skid, what is armed now, and a record of each that says what may come of it.

Faults of the wire falsify answers: each is armed for a number of answers (`times`), for some seconds, or until it is
cleared, and several at once do not know of each other. Faults of the device (`wrap32`, `restart`, `glitch`) change what
its totalizer shows; `skid_device` does them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from edge_agent_simulators.skid_registers import ILLEGAL_VALUE, Manners, refusal


class Kind(StrEnum):
    """The faults by name. What else an injection may say stands in brackets, with what holds where it does not."""

    WRAP32 = "wrap32"
    """The totalizer went through zero by itself; cannot be injected."""
    RESTART = "restart"
    """Gone for `down` seconds (1.5), after and before `calm` seconds without dosing (0). `totalizer`: `kept`, `zero`
    or `older` (`back` counts less, 50)."""
    GLITCH = "glitch"
    """The totalizer shows `value` (0) for `seconds` (1)."""
    RESET = "reset"
    """Every TCP connection is reset now (RST)."""
    CUT = "cut"
    """Half an answer, then a reset; on the serial line half an answer."""
    LATE = "late"
    """The answer is held back until the next request on the same connection comes, and sent before its answer."""
    SLOW = "slow"
    """Each answer takes `delay` seconds (0.2), one request at a time whoever asks; longer than the client's timeout,
    it is a late answer by the clock."""
    DRIP = "drip"
    """One byte at a time, each after `delay` seconds (0.02)."""
    BLACK_HOLE = "black_hole"
    """Requests are read and never answered; new connections are accepted."""
    WRONG_COUNT = "wrong_count"
    """`by` registers (-1) more or fewer than asked for, in a frame that is right otherwise."""
    ODD_COUNT = "odd_count"
    """One byte less than the registers have, and so counted."""
    WRONG_FUNCTION = "wrong_function"
    """The answer to another function."""
    WRONG_TRANSACTION = "wrong_transaction"
    """The transaction identifier of another request; TCP only."""
    WRONG_UNIT = "wrong_unit"
    """Another unit's answer."""
    WRONG_LENGTH = "wrong_length"
    """The MBAP header says `length` (0); TCP only."""
    BAD_CRC = "bad_crc"
    """The checksum is wrong; serial only."""
    JUNK = "junk"
    """`junk` octets of hexadecimal (`deadbeef`) before the answer."""
    EXCEPTION = "exception"
    """Exception response `code` (6, busy)."""
    TORN = "torn"
    """Half of the totalizer alone shows a high word that is one ahead."""
    LIMIT = "limit"
    """At most `registers` (16) at once, else exception `code` (3)."""


_OF_THE_DEVICE = frozenset({Kind.WRAP32, Kind.RESTART, Kind.GLITCH})
OUTAGES = frozenset({Kind.RESTART, Kind.RESET, Kind.CUT, Kind.SLOW, Kind.BLACK_HOLE})
"""Faults that end a client's connection, or its patience."""
AFTERMATH = timedelta(seconds=10)
"""For so long after an outage a client may not have made up its mind."""
_UNTIL_CLEARED = frozenset({Kind.BLACK_HOLE, Kind.SLOW, Kind.TORN, Kind.LIMIT})
"""Those that last where an injection says neither `times` nor `seconds`; any other is done once."""
_HARMLESS = frozenset({Kind.SLOW, Kind.DRIP})
"""An answer with these only is right, if the client waits for it."""
_PARAMETERS: Mapping[Kind, Mapping[str, Any]] = {
    Kind.RESTART: {"down": 1.5, "calm": 0.0, "totalizer": "kept", "back": 50},
    Kind.GLITCH: {"value": 0},
    Kind.SLOW: {"delay": 0.2},
    Kind.DRIP: {"delay": 0.02},
    Kind.WRONG_COUNT: {"by": -1},
    Kind.WRONG_LENGTH: {"length": 0},
    Kind.JUNK: {"junk": "deadbeef"},
    Kind.EXCEPTION: {"code": 6},
    Kind.LIMIT: {"registers": 16, "code": ILLEGAL_VALUE},
}


@dataclass(slots=True)
class Fault:
    """One fault as it happened; `hits` counts the answers it touched, `planned` is seconds of the script's time.

    For the totalizer: `before` and `after` are what it held and what it shows instead, `told` is what it last told
    whole, `may_review` and `gaps` are the ledger keys whose quantity the evidence cannot settle and of which portions
    were never shown (`unseen` of them, in 0.1 kg).
    """

    kind: Kind
    started: datetime
    order: str
    parameters: dict[str, Any] = field(default_factory=dict)
    planned: float | None = None
    key: str | None = None
    ended: datetime | None = None
    hits: int = 0
    before: int | None = None
    after: int | None = None
    told: int | None = None
    may_review: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    unseen: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the control channel; times in ISO 8601."""
        record = asdict(self)
        record["started"] = self.started.isoformat()
        record["ended"] = self.ended.isoformat() if self.ended else None
        return {**record, "ambiguous": bool(self.may_review)}


@dataclass(slots=True)
class _Armed:
    fault: Fault
    left: int | None
    until: datetime | None


def parameters_of(kind: Kind, given: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for a fault of `kind`. Raises ValueError for a parameter it does not have."""
    known = _PARAMETERS.get(kind, {})
    if unknown := sorted(given.keys() - known.keys()):
        msg = f"{kind} has no {', '.join(unknown)}; it has {', '.join(known) or 'no parameters'}"
        raise ValueError(msg)
    return {**known, **given}


class WireFaults:
    """What is armed against the answers."""

    def __init__(self) -> None:
        self.spoilt = 0
        """Answers, counted once for each fault that keeps a client from using them."""
        self._armed: dict[Kind, _Armed] = {}

    @property
    def active(self) -> bool:
        """Whether any is armed."""
        return bool(self._armed)

    def arm(self, fault: Fault, times: int | None, seconds: float | None) -> None:
        """Arm `fault`, instead of one of its kind. Raises ValueError where it is none of the wire."""
        if fault.kind in _OF_THE_DEVICE or fault.kind is Kind.RESET:
            msg = f"{fault.kind} is no fault of answers"
            raise ValueError(msg)
        if times is None and seconds is None and fault.kind not in _UNTIL_CLEARED:
            times = 1
        self.clear(fault.started, fault.kind)
        until = None if seconds is None else fault.started + timedelta(seconds=seconds)
        self._armed[fault.kind] = _Armed(fault, times, until)

    def clear(self, at: datetime, kind: Kind | None = None) -> int:
        """End one kind or all; answers how many were armed."""
        kinds = [one for one in self._armed if kind in {None, one}]
        for one in kinds:
            self._armed.pop(one).fault.ended = at
        return len(kinds)

    def step(self, at: datetime) -> None:
        """End what has lasted long enough."""
        for kind in [kind for kind, armed in self._armed.items() if armed.until is not None and at >= armed.until]:
            self.clear(at, kind)

    def hit(self, kind: Kind, at: datetime) -> Mapping[str, Any] | None:
        """The parameters where `kind` is armed, and one answer fewer is left for it; else None."""
        armed = self._armed.get(kind)
        if armed is None:
            return None
        armed.fault.hits += 1
        self.spoilt += kind not in _HARMLESS
        if armed.left is not None:
            armed.left -= 1
            if armed.left == 0:
                self.clear(at, kind)
        return armed.fault.parameters

    def bent(self, manners: Manners, kind: Kind) -> Manners | None:
        """How the device answers with `kind` (`torn` or `limit`) armed; None where it is not."""
        armed = self._armed.get(kind)
        if armed is None:
            return None
        if kind is Kind.TORN:
            return replace(manners, torn=True)
        parameters = armed.fault.parameters
        return replace(manners, most=parameters["registers"], code=parameters["code"])

    def falsified(self, response: bytes, at: datetime) -> bytes:
        """The response PDU with the faults of its content."""
        function, data = response[0] & 0x7F, response[2:]
        if busy := self.hit(Kind.EXCEPTION, at):
            return refusal(function, busy["code"])
        if response[0] & 0x80:
            return response
        if (wrong := self.hit(Kind.WRONG_COUNT, at)) is not None:
            by = 2 * wrong["by"]
            data = data + bytes(by) if by > 0 else data[:by]
        if self.hit(Kind.ODD_COUNT, at) is not None:
            data = data[:-1]
        if self.hit(Kind.WRONG_FUNCTION, at) is not None:
            function = 4 if function == 3 else 3
        return bytes((function, len(data))) + data
