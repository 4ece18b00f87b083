"""How an inbox stands, read from its store beside the receiver that runs: for people and for machines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from edge_agent_receiver import sql
from edge_agent_receiver.store import Db, Reader

Json = dict[str, Any]


def report(reader: Reader) -> Json:
    """Sources, counters, what is open. Raises StoreError."""
    with reader.transaction() as db:
        return {
            "sources": list(_sources(db)),
            "counts": dict(db.rows(sql.COUNTERS)),
            "discrepancies": dict(db.rows(sql.OPEN_COUNT)),
            "notes": dict(db.rows(sql.NOTES)),
            "malformed": [
                dict(zip(("topic", "reason", "sha256", "received", "copies"), row, strict=True))
                for row in db.rows(sql.MALFORMED)
            ],
        }


def discrepancies(reader: Reader) -> list[Json]:
    """All of them, the open and the closed ones, in the order they were found. Raises StoreError."""
    with reader.transaction() as db:
        rows = db.rows(sql.DISCREPANCIES)
    return [
        {"number": number, "agent": agent, "cause": cause, "message": message}
        | json.loads(body)
        | {"opened": opened, "closed": closed}
        for number, agent, cause, message, body, opened, closed in rows
    ]


def report_text(found: Json) -> str:
    """`report` as lines."""
    lines = []
    for source in found["sources"]:
        lines.append(source["source"])
        lines.append(f"  received to {source['contiguous']} of {source['end']}, settled to {source['settled']}")
        states = ", ".join(f"{count} {state}" for state, count in source["states"].items())
        waiting = f"{source['answers']} answers to confirm" if source["answers"] else ""
        lines += [f"  {text}" for text in (states, waiting) if text]
    lines += [f"{name}: {value}" for name, value in found["counts"].items()]
    lines += [f"open discrepancies, {cause}: {count}" for cause, count in found["discrepancies"].items()]
    lines += [f"{name}: {text}" for name, text in found["notes"].items()]
    lines += [f"malformed, {one['copies']} times on {one['topic']}: {one['reason']}" for one in found["malformed"]]
    return "\n".join(lines or ["nothing has come yet"])


def discrepancies_text(found: list[Json]) -> str:
    """`discrepancies` as lines."""
    return "\n".join(_discrepancy_line(one) for one in found) or "none"


def _discrepancy_line(one: Json) -> str:
    until = f" to {one['closed']}" if one["closed"] else ", open"
    figures = f" (expected {one['expected']}, found {one['found']})" if "expected" in one else ""
    stock = f" {'/'.join(one['key'].values())}:" if "key" in one else ""
    return f"{one['number']} {one['cause']}, from {one['opened']}{until}:{stock} {one['message']}{figures}"


def _sources(db: Db) -> Iterator[Json]:
    states: dict[int, dict[str, int]] = defaultdict(dict)
    for number, state, count in db.rows(sql.STATES):
        states[number][state] = count
    answers: dict[int, int] = dict(db.rows(sql.ANSWERS_WAITING))
    doubts: dict[int, int] = dict(db.rows(sql.DOUBT_COUNT))
    for row in db.rows(sql.SOURCES):
        number, urn, _, _, _, contiguous, highest, announced, _, settled, told, restored_to, _ = row
        yield {
            "source": urn,
            "contiguous": contiguous,
            "end": max(highest, announced),
            "settled": settled,
            "confirmed": told,
            "restoredTo": restored_to,
            "states": states[number],
            "answers": answers.get(number, 0),
            "doubts": doubts.get(number, 0),
        }
