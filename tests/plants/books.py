"""What the agent makes of a plant's recording, as `edge-agent derive --json` says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.view import view
from edge_agent_simulators.plants.plant import Plant


def derived(plant: Plant, folder: Path) -> dict[str, Any]:
    """Movements by name, as JSON values."""
    map_file, recording_file = folder / "plant.yaml", folder / "plant.jsonl"
    map_file.write_text(plant.tag_map, encoding="utf-8")
    recording_file.write_text(plant.recording.text, encoding="utf-8")
    tag_map = load_map([map_file])
    movements = view(tag_map, derive(tag_map, load_recording(recording_file, tag_map).deliveries))
    return {name: movement.as_json() for name, movement in movements.items()}
