"""Maps and recordings as the workbench takes them: whole and understood, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_agent.config.findings import Finding
from edge_agent.config.loader import load
from edge_agent.config.tagmap import TagMap
from edge_agent.errors import Faulty
from edge_agent.workbench.recording import Recording, read


def load_map(paths: Sequence[Path], *, alone: bool = True) -> TagMap:
    """The map in `paths`; `alone`, its certificates and secrets need not be there.

    Raises Faulty where it has errors, or asks for what this version does not run.
    """
    loaded = load(paths, alone=alone)
    refused = (*loaded.errors, *loaded.unsupported)
    if loaded.tag_map is None or refused:
        raise faulty(refused)
    return loaded.tag_map


def load_recording(path: Path, tag_map: TagMap) -> Recording:
    """The recording in `path`. Raises Faulty where any line is."""
    recording, findings = read(path, tag_map)
    if findings:
        raise faulty(findings)
    return recording


def faulty(findings: Sequence[Finding]) -> Faulty:
    """All findings as one error."""
    return Faulty("\n".join(finding.render() for finding in findings))
