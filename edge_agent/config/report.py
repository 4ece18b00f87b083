"""Findings by path: whoever checks a value names it as `("tags", "filler", "order_no", "node")`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as Directory
from typing import ParamSpec, TypeVar

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, Unfit, shown
from edge_agent.config.paths import inside
from edge_agent.config.yaml_nodes import Map, Node, Scalar, Step, find, locate

P = ParamSpec("P")
T = TypeVar("T")
Path = tuple[Step, ...]


@dataclass(slots=True)
class Report:
    """The merged document and what is to be said about it.

    `left_out` are the entries, as (section, name), that this version does not run as they stand. `alone`: the map is
    looked at away from its plant, so the files that it names need not be there.
    """

    root: Map
    findings: Findings
    left_out: set[Path] = field(default_factory=set)
    alone: bool = False

    def error(self, path: Path, code: Code, message: str, suggestion: str | None = None, *, key: bool = False) -> None:
        """An error at the value of `path`, or at its key."""
        self.findings.error(locate(self.root, path, key=key), code, message, suggestion)

    def warning(self, path: Path, code: Code, message: str, suggestion: str) -> None:
        """Valid, and probably not meant."""
        self.findings.warning(locate(self.root, path), code, message, suggestion)

    def not_run(self, path: Path, code: Code, what: str, instead: str) -> None:
        """Valid, but not run by this version; what to do instead."""
        self.left_out.add(path[:2])
        message = f"valid, but not run by this version: {what}"
        advice = f"{instead}; `run` refuses the map until this is taken out"
        self.findings.warning(locate(self.root, path), code, message, advice)

    def attempt(self, path: Path, parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The parsed value; where it is unfit, None and an error."""
        try:
            return parse(*args, **kwargs)
        except Unfit as fault:
            self.error(path, fault.code, fault.message, fault.suggestion)
            return None

    def file(self, path: Path, text: str, *, secret: bool = False) -> Directory | None:
        """The file that the value at `path` names; where it is unfit, None and an error."""
        return self.attempt(path, inside, self.directory(path), text, secret=secret, unseen=self.alone)

    def node(self, *path: Step) -> Node | None:
        """What the document holds at `path`."""
        return find(self.root, path)[0]

    def directory(self, path: Path) -> Directory:
        """The directory of the file that holds the value at `path`: paths in it start from there."""
        return locate(self.root, path).source.directory

    def names(self, *path: Step) -> Map:
        """The mapping at `path`; an empty one where there is none."""
        node = self.node(*path)
        return node if isinstance(node, Map) else Map(self.root.place)

    def text(self, *path: Step) -> str | None:
        """The text of the scalar at `path`."""
        node = self.node(*path)
        return node.text if isinstance(node, Scalar) else None

    def look_up(self, path: Path, what: str, name: str, found: Mapping[str, T], section: str) -> T | None:
        """The entry `name` of a section. One that is given but faulty has been reported already."""
        if name in found:
            return found[name]
        given = self.names(section)
        if name not in given:
            advice = self.findings.nearest(name, given) or f"add it to `{section}`"
            self.error(path, Code.UNKNOWN_NAME, f"there is no {what} {shown(name)}", advice)
        return None
