"""Recordings for tests: written as text, derived as the command does it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.view import view

CONFIG = Path(__file__).parents[2] / "config"
MAP = CONFIG / "bottling-line.yaml"
NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)

Line = dict[str, Any]


def at(seconds: float, **members: Any) -> Line:
    """A line of the recording `seconds` after noon."""
    return {"t": (NOON + timedelta(seconds=seconds)).isoformat(), **members}


def read(seconds: float, tag: str, value: Any, **more: Any) -> Line:
    """A reading of one of the filler's tags."""
    return at(seconds, tag=f"filler.{tag}", v=value, **more)


def text_of(lines: Iterable[Line]) -> str:
    """JSON Lines."""
    return "".join(f"{json.dumps(line)}\n" for line in lines)


def derived(folder: Path, lines: Iterable[Line], tag_map: Path = MAP) -> dict[str, Any]:
    """What `derive --json` prints, movements to which nothing happened left out."""
    path = folder / "recording.jsonl"
    path.write_text(text_of(lines), encoding="utf-8")
    checked = load_map([tag_map])
    movements = view(checked, derive(checked, load_recording(path, checked).deliveries))
    return {
        name: movement.as_json()
        for name, movement in movements.items()
        if movement.booked or movement.review or movement.gaps or movement.excluded
    }


def short(result: dict[str, Any]) -> dict[str, Any]:
    """Only what is booked, the reviews' candidates, and the gaps' bounds."""
    return {
        name: {
            key: value
            for key, value in (
                ("booked", movement["booked"]),
                ("review", [review["candidates"] for review in movement["review"]]),
                ("gaps", [[gap["min"], gap["max"]] for gap in movement["gaps"]]),
            )
            if value
        }
        for name, movement in result.items()
    }
