"""Case files: a map, recordings or steps, and what has to come of them (docs/workbench.md, Cases)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from edge_agent.config.codes import Code
from edge_agent.config.files import read_all
from edge_agent.config.findings import Finding, Place, TooManyFindings
from edge_agent.config.loader import load
from edge_agent.config.tagmap import TagMap
from edge_agent.config.yaml_nodes import FASTEST, Dialect, Map, Node, Seq, parse
from edge_agent.workbench.expectations import Expected, read_expected
from edge_agent.workbench.maps import faulty
from edge_agent.workbench.nodes import Nodes
from edge_agent.workbench.recording import Recording, read
from edge_agent.workbench.steps import Steps
from edge_agent.workbench.values import ingested

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""When a case of steps begins, unless it says so: a Monday, far from the start of a posting day."""
_DIALECT = Dialect("case file", "map: line.yaml")
_OF_CASE = ("name", "recording", "steps", "start", "expect")


@dataclass(frozen=True, slots=True)
class Case:
    """One case, ready to be derived. `place` is that of its expectations."""

    file: str
    name: str
    tag_map: TagMap
    recording: Recording
    expected: dict[str, Expected]
    place: Place


def load_cases(paths: Sequence[Path]) -> list[Case]:
    """The cases of all files, or of directories of `*.yaml`. Raises Faulty with all that is wrong with any of them."""
    reader = _Reader()
    try:
        cases = reader.read(paths)
    except TooManyFindings:
        cases = []
    findings = [*reader.nodes.findings.in_order(), *reader.found]
    if findings:
        raise faulty(findings)
    return cases


@dataclass(slots=True)
class _Reader:
    """Reads case files. `found` are the findings of the maps and recordings they name; each map is read once."""

    nodes: Nodes = field(default_factory=Nodes)
    found: list[Finding] = field(default_factory=list)
    _maps: dict[tuple[Path, ...], TagMap | None] = field(default_factory=dict)

    def read(self, paths: Sequence[Path]) -> list[Case]:
        """Every case that is whole."""
        cases: list[Case] = []
        for source, text in read_all(paths, self.nodes.findings):
            root = parse(source, text, self.nodes.findings, FASTEST, _DIALECT)
            document = None if root is None else self.nodes.entries(root, ("map", "cases"), ("map", "cases"))
            if document is None or not {"map", "cases"} <= document.keys():
                continue
            tag_map = self._map(document["map"])
            names: set[str] = set()
            for node in self.nodes.items(document["cases"]):
                case = None if tag_map is None else self._case(node, tag_map, names)
                cases += [case] if case is not None else []
        return cases

    def _map(self, node: Node) -> TagMap | None:
        """The map that a case file names: a file or directory, or a list of them."""
        names = [self.nodes.text(item) for item in (node if isinstance(node, Seq) else [node])]
        directory = node.place.source.directory
        paths = tuple(directory / name for name in names if name is not None)
        if len(paths) < len(names) or not paths:
            return None
        if paths not in self._maps:
            loaded = load(paths, alone=True)
            refused = (*loaded.errors, *loaded.unsupported)
            self.found += refused
            self._maps[paths] = None if refused else loaded.tag_map
        return self._maps[paths]

    def _case(self, node: Node, tag_map: TagMap, names: set[str]) -> Case | None:
        entry = self.nodes.entries(node, _OF_CASE, ("name", "expect"))
        if entry is None or not {"name", "expect"} <= entry.keys():
            return None
        name = self.nodes.text(entry["name"])
        if name in names:
            self.nodes.findings.error(entry["name"].place, Code.DUPLICATE, "another case has this name", "rename one")
        names.add(name or "")
        recording = self._recording(entry, tag_map)
        expected = read_expected(self.nodes, entry["expect"], tag_map.rules)
        place = entry.places["expect"]
        return None if name is None else Case(place.source.name, name, tag_map, recording, expected, place)

    def _recording(self, entry: Map, tag_map: TagMap) -> Recording:
        """What a case is made of: a recording's, or steps."""
        given = [key for key in ("recording", "steps") if key in entry]
        if len(given) != 1:
            message = "a case has either a `recording` or `steps`"
            self.nodes.findings.error(entry.place, Code.CONFLICT, message, "keep one of them" if given else "add one")
            return Recording([])
        if "steps" in entry:
            start = self._start(entry["start"]) if "start" in entry else START
            return Recording(Steps(self.nodes, tag_map, start).read(entry["steps"]))
        if "start" in entry:
            message = "a recording has times of its own"
            self.nodes.findings.error(entry.places["start"], Code.CONFLICT, message, "remove `start`")
        name = self.nodes.text(entry["recording"])
        if name is None:
            return Recording([])
        recording, findings = read(entry.place.source.directory / name, tag_map)
        self.found += findings
        return recording

    def _start(self, node: Node) -> datetime:
        text = self.nodes.text(node)
        found = None if text is None else self.nodes.attempt(node.place, ingested, text)
        return found or START
