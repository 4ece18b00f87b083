"""What the agent makes of a plant's recording, as `edge-agent derive --json` says it."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

from edge_agent.model.movement import Line
from edge_agent.workbench.deriving import BOOKED, derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.view import view
from edge_agent_simulators.plants.plant import Plant


def derived(plant: Plant, folder: Path) -> dict[str, Any]:
    """Movements by name, as JSON values, with what is booked by lot too."""
    map_file, recording_file = folder / "plant.yaml", folder / "plant.jsonl"
    map_file.write_text(plant.tag_map, encoding="utf-8")
    recording_file.write_text(plant.recording.text, encoding="utf-8")
    tag_map = load_map([map_file])
    found = derive(tag_map, load_recording(recording_file, tag_map).deliveries)
    movements = view(tag_map, found)
    return {
        name: {**movement.as_json(), "lots": _by_lot(found.lines_of(name, *BOOKED))}
        for name, movement in movements.items()
    }


def _by_lot(lines: list[Line]) -> dict[str, Fraction]:
    lots: defaultdict[str, Fraction] = defaultdict(Fraction)
    for line in lines:
        lots[line.key.lot or ""] += Fraction(line.quantity)
    return dict(lots)
