"""What "exact" means, as the demo's comparison defines it, from the line's own ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_agent.demo import compare
from edge_agent.store.reader import open_reader
from edge_agent_simulators.faults import Fault

Truth = Callable[[str, datetime, datetime], int]


def disagreements(
    database: Path,
    line: Mapping[str, Decimal],
    received: Mapping[str, Decimal],
    *,
    truth: Truth,
    faults: Iterable[Fault],
) -> list[str]:
    """Everything that does not add up between line, store and MES; what the books themselves say included."""
    with open_reader(database) as reader:
        booked, reviews, gaps = reader.totals(), reader.reviews(), reader.gaps()
        wrong = [f"the books do not balance: {one}" for one in reader.imbalances()]
    return wrong + compare.disagreements(
        line,
        booked,
        received,
        reviews=[_doubt(one, truth) for one in reviews],
        gaps=[compare.Hole(g["key"], Decimal(g["min"]), Decimal(g["max"]) if g["max"] else None) for g in gaps],
        faults=[compare.Fault(frozenset(f.may_review), f.started, f.ended or f.started) for f in faults if f.ambiguous],
    )


def _doubt(one: Mapping[str, Any], truth: Truth) -> compare.Doubt:
    since, until = (datetime.fromisoformat(one[name]) for name in ("since", "until"))
    return compare.Doubt(one["rule"], {one["key"]: Decimal(truth(one["key"], since, until))}, since, until)
