"""Falsifies one material event, the same way each time it comes: what the demo must notice.

Pure: payloads go in, what to do with them comes out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from edge_agent_simulators.posting import COUNTED, decimal_string


class Sabotage(StrEnum):
    """What is done to the event."""

    NONE = "none"
    DROP = "drop"
    DOUBLE = "double"
    WRONG_ORDER = "wrong-order"
    LATE_UNIT = "late-unit"


class Action(StrEnum):
    """What the proxy does with one message."""

    PASS = "pass"  # noqa: S105 - no password
    REPLACE = "replace"
    SWALLOW = "swallow"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action; `payload` replaces the message's own with REPLACE."""

    action: Action
    payload: bytes = b""


_PASS = Verdict(Action.PASS)
_SWALLOW = Verdict(Action.SWALLOW)


@dataclass(slots=True)
class Altered:
    """The victim, and how often it was met."""

    source: str
    id: str
    type: str
    sequence: str
    what: str
    times: int = 0


@dataclass(slots=True)
class Saboteur:
    """Chooses its victim among the first deliveries of material events after `skip` of them, then never another."""

    kind: Sabotage
    skip: int = 2
    victim: Altered | None = None
    released: bool = False
    _seen: set[tuple[str, str]] = field(default_factory=set)
    _orders: list[str] = field(default_factory=list)

    def judge(self, payload: bytes) -> Verdict:
        """What to do with a message."""
        if self.kind is Sabotage.NONE:
            return _PASS
        event = _material(payload)
        if event is None:
            return _PASS
        name = (event["source"], event["id"])
        if self.victim is None and name not in self._seen:
            self._choose(event)
        self._seen.add(name)
        if self.victim is None or (self.victim.source, self.victim.id) != name:
            return _PASS
        self.victim.times += 1
        return self._treat(event)

    def _choose(self, event: dict[str, Any]) -> None:
        order = event["data"].get("jobOrderID")
        if order and order not in self._orders:
            self._orders.append(order)
        foreign = bool(order) and len(self._orders) > 1 and order != self._orders[0]
        if len(self._seen) < self.skip or (self.kind is Sabotage.WRONG_ORDER and not foreign):
            return
        what = {
            Sabotage.DROP: "swallowed",
            Sabotage.DOUBLE: "one line's quantity doubled",
            Sabotage.WRONG_ORDER: f"order {order} changed to {self._orders[0] if self._orders else ''}",
            Sabotage.LATE_UNIT: "held until released",
        }[self.kind]
        self.victim = Altered(event["source"], event["id"], event["type"], str(event.get("sequence", "")), what)

    def _treat(self, event: dict[str, Any]) -> Verdict:
        if self.kind is Sabotage.DROP:
            return _SWALLOW
        if self.kind is Sabotage.LATE_UNIT:
            if self.released:
                return _PASS
            first = self.victim is not None and self.victim.times == 1
            return Verdict(Action.HOLD) if first else _SWALLOW
        if self.kind is Sabotage.DOUBLE:
            line = next(line for line in event["data"]["materialActual"] if _is_counted(event["type"], line))
            line["quantity"]["quantityString"] = decimal_string(2 * Decimal(line["quantity"]["quantityString"]))
        else:
            event["data"]["jobOrderID"] = self._orders[0]
        return Verdict(Action.REPLACE, json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode())


def _material(payload: bytes) -> dict[str, Any] | None:
    """A material event with a line that counts; None for anything else."""
    try:
        event = json.loads(payload)
        name = event["type"].split(".")
        known = isinstance(event["source"], str) and isinstance(event["id"], str)
        if known and name[:3] == ["io", "edgeagent", "material"] and name[3] in COUNTED:
            lines = event["data"]["materialActual"]
            if any(_is_counted(event["type"], line) for line in lines):
                return dict(event)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return None
    return None


def _is_counted(event_type: str, line: dict[str, Any]) -> bool:
    use = COUNTED[event_type.split(".")[3]]
    return bool(line["posting"] == "actual" and line["materialUse"] == use and line["quantity"]["quantityString"])
