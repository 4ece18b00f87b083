"""The demo in a terminal: what the line did, what was booked, what the MES received, live."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge_agent.demo.scenario import Glance, Report


def live(glance: Glance) -> Panel:
    """One picture of the running demo."""
    table = _table(glance.line, glance.booked, glance.received)
    faults = ", ".join(glance.faults[-6:]) or "none yet"
    foot = Text(f"to review {glance.reviews} · gaps {glance.gaps} · faults so far: {faults}", style="dim")
    return Panel(Group(table, foot), title=f"edge-agent demo · {glance.phase} · {glance.elapsed:.0f} s")


def verdict(report: Report) -> Group:
    """The last picture: the figures, what is open, and one sentence of truth."""
    open_items = [
        *(_item("review", item, f"candidates {_candidates(item)}") for item in report.review),
        *(_item("gap", item, f"between {item['min']} and {item['max']}") for item in report.gaps),
    ]
    if report.agree:
        sentence = Text("Line, agent and MES agree to the unit.", style="bold green")
    else:
        sentence = Text("\n".join(["They do not agree:", *report.problems]), style="bold red")
    return Group(_table(report.line, report.booked, report.received), *open_items, sentence)


def _item(kind: str, item: Mapping[str, object], detail: str) -> Text:
    return Text(f"{kind}: {item['key']} ({item['cause']}): {detail}; the line says {item['truth']}", style="yellow")


def _candidates(item: Mapping[str, object]) -> str:
    candidates = item["candidates"]
    assert isinstance(candidates, list)  # noqa: S101 - a review always has some
    return " or ".join(f"{one['quantity']} ({one['why']})" for one in candidates)


def _table(line: Mapping[str, str], booked: Mapping[str, str], received: Mapping[str, str]) -> Table:
    table = Table(expand=True)
    table.add_column("event / material / order / location")
    for name in ("line made", "agent booked", "MES received"):
        table.add_column(name, justify="right")
    for key in sorted({*line, *booked, *received}):
        figures = [totals.get(key, "0") for totals in (line, booked, received)]
        style = "green" if len(set(figures)) == 1 else ""
        table.add_row(key, *figures, style=style)
    return table
