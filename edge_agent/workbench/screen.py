"""What was derived, compared and covered, as people read it in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from rich.table import Column, Table
from rich.text import Text

from edge_agent.workbench.comparing import Pair
from edge_agent.workbench.coverage import Coverage
from edge_agent.workbench.values import plain, written
from edge_agent.workbench.view import Movement


def derived_table(movements: Mapping[str, Movement]) -> Table:
    """One row for each order, review and gap of a movement."""
    table = Table("movement", "", Column("quantity", justify="right"), "unit", "what", box=None, pad_edge=False)
    for name, movement in movements.items():
        rows = list(_rows(movement))
        for index, (kind, quantity, what) in enumerate(rows or [("nothing", "", "")]):
            table.add_row(
                *(name if index == 0 else "", kind),
                Text(quantity),
                *(movement.unit if quantity else "", Text(what)),
            )
    return table


def _rows(movement: Movement) -> list[tuple[str, str, str]]:
    """(kind, quantity, what it is about)."""
    rows = [
        ("booked", plain(quantity), f"order {order}" if order else "no order")
        for order, quantity in movement.booked.items()
    ]
    rows += [
        (
            "review",
            " or ".join(map(plain, doubt.candidates)),
            f"{written(doubt.review.line.time)} {doubt.review.message}",
        )
        for doubt in movement.review
    ]
    rows += [("excluded", plain(movement.excluded), "")] if movement.excluded else []
    rows += [
        ("gap", f"{plain(gap.minimum)} to {'?' if gap.maximum is None else plain(gap.maximum)}", gap.message)
        for gap in movement.gaps
    ]
    rows += [("exception", plain(one.quantity), one.message) for one in movement.exceptions]
    return rows


def coverage_table(coverage: Coverage) -> Table:
    """One row a movement: how much was gone, and what was not."""
    table = Table("movement", Column("branches", justify="right"), "not gone", box=None, pad_edge=False)
    for name, branches in coverage.items():
        missing = ", ".join(branch for branch, gone in branches.items() if not gone)
        table.add_row(name, f"{sum(branches.values())}/{len(branches)}", Text(missing))
    return table


def compared_table(pairs: Iterable[Pair], a: str, b: str) -> Table:
    """One row a pair; `a` and `b` name the maps."""
    table = Table("movement", "", "order", Column(a, justify="right"), Column(b, justify="right"), box=None)
    for pair in pairs:
        sides = (Text(side if isinstance(side, str) else json.dumps(side)) for side in (pair.a, pair.b))
        table.add_row(pair.movement, pair.aspect, Text(pair.order or ""), *sides)
    return table
