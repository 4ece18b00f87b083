"""An agent as receivers see it, made from the wire contract alone: a log of events per stream, and answers to commands.

Nothing of it is the agent's code. It keeps what it was told, so that tests can look.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

ROOT = "mat"
LINE = "acme/north/_/l3/_"
PREFIX = f"{ROOT}/v1/{LINE}"
ZEROS = "0" * 64
Json = dict[str, Any]


@dataclass(frozen=True)
class Sent:
    """One event on the wire."""

    source: str
    sequence: int
    topic: str
    payload: bytes

    @property
    def id(self) -> str:
        return str(json.loads(self.payload)["id"])

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()

    @property
    def wire(self) -> tuple[str, bytes]:
        return self.topic, self.payload


@dataclass
class Answered:
    """What a system has said of a source."""

    up_to: int = 0
    single: dict[int, Json] = field(default_factory=dict)
    refused: list[Json] = field(default_factory=list)


def line(
    number: int = 1,
    *,
    use: str = "Consumed",
    material: str = "PET",
    quantity: str = "1",
    unit: str = "KGM",
    location: str | None = "silo",
    posting: str = "actual",
    **more: Any,
) -> Json:
    entry: Json = {
        "id": str(number),
        "materialUse": use,
        "materialDefinitionID": material,
        "quantity": {
            "quantityString": quantity,
            "unitOfMeasure": unit,
            "sourceQuantityString": quantity,
            "sourceUnit": unit,
        },
        "posting": posting,
        **more,
    }
    if location is not None:
        entry["storageLocation"] = {"location": location, "locationType": "OperationalLocation"}
    return entry


def evidence(first: int, last: int, *, rule: str = "pet_used", epoch: int = 1) -> Json:
    return {"rule": rule, "epoch": epoch, "fromPosition": first, "toPosition": last}


class AgentLog:
    """One store of an agent."""

    def __init__(self, agent: str = "l3-edge", store: str = "11111111", systems: Iterable[str] = ("erp",)) -> None:
        self.agent = agent
        self.store = store
        self.systems = set(systems)
        self.streams: dict[str, list[Sent]] = defaultdict(list)
        self.gone: set[tuple[str, int]] = set()
        """(source, sequence) of what was pruned."""
        self.unpublishable: set[tuple[str, int]] = set()
        self.delivered: dict[str, int] = {}
        """How far a stream was brought to the broker, where that is not all of it."""
        self.answers: dict[tuple[str, str], Answered] = defaultdict(Answered)
        self.commands: list[tuple[str, Json]] = []
        self.positions: list[Json] = []
        self._nonces: dict[tuple[str, str], bytes] = {}
        self._snapshots = 0

    def source(self, stream: str = "routine") -> str:
        return f"urn:edgeagent:{self.agent}:{self.store}:{stream}"

    def at(self, sequence: int, stream: str = "routine") -> Sent:
        return self.streams[stream][sequence - 1]

    @property
    def all(self) -> list[Sent]:
        return [sent for stream in sorted(self.streams) for sent in self.streams[stream]]

    # events

    def put(self, name: str, leaf: str, data: Json, stream: str = "routine", **envelope: Any) -> Sent:
        """Append an event to a stream."""
        log, source = self.streams[stream], self.source(stream)
        sequence = len(log) + 1
        event = {
            "specversion": "1.0",
            "id": str(uuid5(uuid5(NAMESPACE_URL, source), f"{sequence:020d}")),
            "source": source,
            "type": f"io.edgeagent.{name}.v1",
            "time": "2025-03-01T12:00:00.000Z",
            "sequence": f"{sequence:020d}",
            "prevhash": log[-1].sha256 if log else ZEROS,
            "datacontenttype": "application/json",
            **envelope,
            "data": data,
        }
        sent = Sent(source, sequence, f"{PREFIX}/{leaf}", json.dumps(event).encode())
        log.append(sent)
        return sent

    def consumed(
        self, quantity: str = "1", *, stream: str = "routine", envelope: Json | None = None, **of: Any
    ) -> Sent:
        data = {"postingDate": "2025-03-01", "jobOrderID": "4711", "materialActual": [line(quantity=quantity, **of)]}
        return self.put("material.consumed", "_material/consumed", data, stream, **(envelope or {}))

    def moved(self, quantity: str = "1", *, stream: str = "routine") -> Sent:
        lines = [
            line(1, quantity=quantity, location="silo", pairID="1"),
            line(2, use="Produced", quantity=quantity, location="hopper", pairID="1"),
        ]
        return self.put("material.moved", "_material/moved", {"materialActual": lines}, stream)

    def review(self, stream: str = "ops") -> Sent:
        return self.put("movement.inreview", "_ops/review", {"reviewID": "pet_used/1/1"}, stream)

    def reverse(self, original: Sent, *, stream: str | None = None, envelope: Json | None = None) -> Sent:
        event = json.loads(original.payload)
        data = {
            "materialActual": event["data"]["materialActual"],
            "reversesSource": original.source,
            "reversesSequence": original.sequence,
            "reversesId": event["id"],
            "reversesType": event["type"],
            "reason": {"code": "correction", "text": "was for another order"},
            "correction": {"by": "A. Kern", "at": "2025-03-01T12:00:00.000Z"},
        }
        where = stream or original.source.rpartition(":")[2]
        return self.put("event.reversed", "_material/reversed", data, where, **(envelope or {}))

    def void(self, lost: Sent, *, stream: str = "ops", prevhash: bool = True) -> Sent:
        """`lost` cannot be published; what earlier agents say has no `prevhash`."""
        self.unpublishable.add((lost.source, lost.sequence))
        said = {
            "source": lost.source,
            "sequence": lost.sequence,
            "id": lost.id,
            "type": json.loads(lost.payload)["type"],
            "sha256": lost.sha256,
            "reason": "the broker closes the connection over it",
        }
        if prevhash:
            said["prevhash"] = json.loads(lost.payload)["prevhash"]
        return self.put("sequence.voided", "_ops/voided", {"voided": said}, stream)

    def snapshot(self, *, parts: int = 1) -> list[Sent]:
        """All stocks, of everything that is in the log."""
        self._snapshots += 1
        marks = [
            {"source": self.source(name), "sequence": len(log), "hash": log[-1].sha256 if log else ZEROS}
            for name, log in sorted(self.streams.items())
        ]
        entries = stocks(self.all)
        made = []
        for part in range(1, parts + 1):
            data = {
                "snapshotID": f"{self.store}-{self._snapshots}",
                "part": part,
                "parts": parts,
                "asOf": "2025-03-01T12:00:00.000Z",
                "eventCount": len(self.all),
                "watermarks": marks,
                "auditHead": {"sequence": 0, "hash": ZEROS},
                "stock": entries[part - 1 :: parts],
            }
            made.append(self.put("stock.snapshot", "_recon/snapshot", data, "ops"))
        return made

    # what the agent says of itself

    def heartbeat(self, *, what: str = "heartbeat", hashes: bool = True) -> tuple[str, bytes]:
        streams = {self.source(name): len(log) for name, log in sorted(self.streams.items())}
        data: Json = {
            "streams": streams,
            "queueDepth": {name: len(log) - self.delivered.get(name, len(log)) for name, log in self.streams.items()},
        }
        if hashes:
            data["hashes"] = {self.source(name): log[-1].sha256 for name, log in self.streams.items() if log}
        event = {"specversion": "1.0", "type": "io.edgeagent.gateway.heartbeat.v1", "data": data}
        return f"{PREFIX}/_gateway/{self.agent}/{what}", json.dumps(event).encode()

    # commands

    def command(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        """What the agent publishes upon a command; nothing where it is not for it."""
        start = f"{PREFIX}/_gateway/{self.agent}/cmd/"
        if not topic.startswith(start) or topic.endswith("/reply"):
            return []
        name, body = topic[len(start) :], json.loads(payload)
        self.commands.append((name, body))
        answer = {"replay": self._replay, "ack": self._ack, "positions": self._positions}[name]
        return answer(f"{topic}/reply", body, payload)

    def _replay(self, topic: str, body: Json, _payload: bytes) -> list[tuple[str, bytes]]:
        parts = body["source"].split(":")
        if parts[2:4] != [self.agent, self.store]:
            return []
        assert body["to"] - body["from"] < 1000
        stream = parts[4]
        log, sent, missing = self.streams[stream], [], []
        for sequence in range(body["from"], body["to"] + 1):
            place = (body["source"], sequence)
            there = sequence <= self.delivered.get(stream, len(log))
            if there and place not in self.gone and place not in self.unpublishable:
                sent.append(log[sequence - 1].wire)
            else:
                missing.append([sequence, sequence])
        reply = {**body, "sent": len(sent), "unavailable": missing, "reason": "some are not here" if missing else None}
        return [*sent, (topic, json.dumps(reply).encode())]

    def _ack(self, topic: str, body: Json, payload: bytes) -> list[tuple[str, bytes]]:
        about = {name: body[name] for name in ("nonce", "system", "source")}
        said = self.answers[body["system"], body["source"]]
        stream = body["source"].split(":")[4]
        known = self._nonces.setdefault((body["system"], body["nonce"]), payload)
        reason = None
        if body["system"] not in self.systems:
            reason = f"refused: no event needs the word of system {body['system']}"
        elif body["source"].split(":")[2:4] != [self.agent, self.store]:
            reason = "its source is not one of this agent's"
        elif known != payload:
            reason = "refused: its nonce was used for another message"
        assert "upTo" in body or body["answers"]
        assert len(body.get("answers", [])) <= 200
        refused: list[Json] = []
        if reason is None:
            for answer in body.get("answers", []):
                refused += self._answer(said, answer, stream)
            if body.get("upTo", 0) > len(self.streams[stream]):
                refused.append({"sequence": None, "reason": "upTo is beyond the last event"})
            else:
                said.up_to = max(said.up_to, body.get("upTo", 0))
        said.refused += refused
        reply = {
            **about,
            "upTo": 0 if reason else said.up_to,
            "taken": 1,
            "repeated": 0,
            "refused": refused,
            "reason": reason,
        }
        return [(topic, json.dumps(reply).encode())]

    def _answer(self, said: Answered, answer: Json, stream: str) -> list[Json]:
        before = said.single.get(answer["sequence"], {})
        assert answer["id"] == self.at(answer["sequence"], stream).id
        if before.get("status") == "rejected" and not before.get("retried") and answer["status"] == "accepted":
            return [{"sequence": answer["sequence"], "reason": "it was rejected before"}]
        if before.get("status") == "accepted" and answer.get("document") not in (None, before.get("document")):
            return [{"sequence": answer["sequence"], "reason": "it was accepted before as another document"}]
        said.single[answer["sequence"]] = dict(answer)
        return []

    def retry(self, sent: Sent, system: str = "erp") -> tuple[str, bytes]:
        """A person has a rejected event sent again."""
        answer = self.answers[system, sent.source].single.get(sent.sequence)
        if answer is not None:
            answer["retried"] = True
        self.unpublishable.discard((sent.source, sent.sequence))
        return sent.wire

    def _positions(self, topic: str, body: Json, _payload: bytes) -> list[tuple[str, bytes]]:
        self.positions.append(body)
        reply = {name: body[name] for name in ("nonce", "system", "agent")} | {"decided": [], "reason": None}
        return [(topic, json.dumps(reply).encode())]


_FIGURES = {
    "consumed": {"Consumed": "consumed"},
    "returned": {"Consumed": "returned"},
    "produced": {"Produced": "produced"},
    "moved": {"Consumed": "movedOut", "Produced": "movedIn"},
    "scrapped": {"Other": "scrapped"},
    "sampled": {"Other": "sampled"},
}


def stocks(events: Iterable[Sent]) -> list[Json]:
    """The entries of a snapshot over `events`."""
    sums: dict[tuple[str | None, str, str | None, str], dict[str, dict[str, Decimal]]] = {}
    for sent in events:
        event = json.loads(sent.payload)
        reversal = event["type"] == "io.edgeagent.event.reversed.v1"
        kind = event["data"].get("reversesType", "") if reversal else event["type"]
        figures = _FIGURES.get(kind.removeprefix("io.edgeagent.material.").removesuffix(".v1"), {})
        for entry in event["data"].get("materialActual", []):
            if entry["posting"] != "actual" or entry["materialUse"] not in figures:
                continue
            place = (
                None
                if event["data"].get("scrapOrigin") == "process"
                else entry.get("storageLocation", {}).get("location")
            )
            key = (place, entry["materialDefinitionID"], entry.get("materialLotID"), entry["quantity"]["unitOfMeasure"])
            member = sums.setdefault(key, {"cumulative": {}, "cumulativeReversed": {}})
            book = member["cumulativeReversed" if reversal else "cumulative"]
            figure = figures[entry["materialUse"]]
            book[figure] = book.get(figure, Decimal(0)) + Decimal(entry["quantity"]["quantityString"])
    return [_entry(*key, books) for key, books in sorted(sums.items(), key=str)]


def _entry(place: str | None, material: str, lot: str | None, unit: str, books: dict[str, dict[str, Decimal]]) -> Json:
    entry: Json = {"materialDefinitionID": material, "unitOfMeasure": unit, "stockType": "available"}
    if place is not None:
        entry["storageLocation"] = {"location": place, "locationType": "OperationalLocation"}
    if lot is not None:
        entry["materialLotID"] = lot
    for name, book in books.items():
        entry[name] = {figure: f"{amount:f}" for figure, amount in book.items()}
    return entry | {"openingBalance": None, "onHand": {"basis": "none"}}


def changed(
    sent: Sent, *, old: bytes = b'"quantityString": "', new: bytes = b'"quantityString": "9'
) -> tuple[str, bytes]:
    """The event as a hostile or broken wire delivers it."""
    payload = sent.payload.replace(old, new, 1)
    assert payload != sent.payload
    return sent.topic, payload
