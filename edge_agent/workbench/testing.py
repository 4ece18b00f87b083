"""Cases run: what each derives beside what it expects, and the branches that all of them went. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_agent.config.tagmap import TagMap
from edge_agent.workbench.cases import Case
from edge_agent.workbench.coverage import Coverage, covered, percent
from edge_agent.workbench.deriving import Derived, derive
from edge_agent.workbench.expectations import Mismatch, mismatches
from edge_agent.workbench.view import view


@dataclass(frozen=True, slots=True)
class Verdict:
    """One case and all that is not as it expects."""

    case: Case
    failures: tuple[Mismatch, ...]

    def as_json(self) -> dict[str, Any]:
        """The verdict for a machine."""
        failures = [failure.as_json() for failure in self.failures]
        return {"file": self.case.file, "name": self.case.name, "ok": not failures, "failures": failures}


@dataclass(frozen=True, slots=True)
class Report:
    """All verdicts, in the order of the files, and the coverage of each map by the agent's name and its hash."""

    verdicts: tuple[Verdict, ...]
    coverage: Coverage

    @property
    def failed(self) -> int:
        """How many cases failed."""
        return sum(bool(verdict.failures) for verdict in self.verdicts)

    @property
    def percent(self) -> float:
        """How much of all branches of all rules was gone."""
        return percent(self.coverage)

    def as_json(self) -> dict[str, Any]:
        """The report for a machine."""
        return {
            "ok": not self.failed,
            "cases": [verdict.as_json() for verdict in self.verdicts],
            "coverage": {"percent": round(self.percent, 1), "movements": self.coverage},
        }


def run(cases: Sequence[Case]) -> Report:
    """Derive every case and compare."""
    derived = [(case, derive(case.tag_map, case.recording.deliveries)) for case in cases]
    verdicts = tuple(Verdict(case, _failures(case, found)) for case, found in derived)
    return Report(verdicts, _coverage(derived))


def _failures(case: Case, derived: Derived) -> tuple[Mismatch, ...]:
    return tuple(mismatches(case.expected, view(case.tag_map, derived), case.place))


def _coverage(derived: Sequence[tuple[Case, Derived]]) -> Coverage:
    """By movement; where cases use several maps, movements of one name but another map are told apart by the agent."""
    maps: dict[str, TagMap] = {case.tag_map.config_hash: case.tag_map for case, _ in derived}
    coverage: dict[str, dict[str, bool]] = {}
    for digest, tag_map in maps.items():
        found = covered(tag_map, [one for case, one in derived if case.tag_map.config_hash == digest])
        for name, branches in found.items():
            coverage[name if name not in coverage else f"{name} ({tag_map.agent} {digest[:8]})"] = branches
    return coverage
