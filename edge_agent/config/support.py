"""What is valid in a tag map and not run by this version, so that nothing is ever guessed. The table shrinks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge_agent.config.codes import Code
from edge_agent.config.report import Path, Report
from edge_agent.config.scalars import Kind
from edge_agent.config.yaml_nodes import Map, Node, Scalar, Seq
from edge_agent.model.movement import EventType

RUN_EVENTS = {
    "consumed": EventType.CONSUMED,
    "produced": EventType.PRODUCED,
    "moved": EventType.MOVED,
    "returned": EventType.RETURNED,
    "scrapped": EventType.SCRAPPED,
    "sampled": EventType.SAMPLED,
}
"""The events of rules that this version books."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What is not run: the key at `path` (`*` stands for any name), if its text passes `when`."""

    code: Code
    what: str
    path: str
    when: Callable[[str], bool] | None = None


def _other_than(*words: str) -> Callable[[str], bool]:
    return lambda text: text not in words


def _is(*words: str) -> Callable[[str], bool]:
    return lambda text: text in words


NOT_RUN = (Feature(Code.NOT_RUN_EVENT, "this event", "movements/*/event", _other_than(*RUN_EVENTS)),)
"""Float quantities of handshakes are found where signals are resolved; they belong here too."""


def check_support(report: Report) -> None:
    """Name every place of the document that this version does not run."""
    for feature in NOT_RUN:
        for path, node in _matches(report.root, feature.path.split("/")):
            if _applies(feature, node):
                report.not_run(path, feature.code, feature.what)


def _applies(feature: Feature, node: Node) -> bool:
    if feature.when is None:
        return True
    return isinstance(node, Scalar) and node.kind is not Kind.BAD and feature.when(node.text)


def _matches(node: Node, steps: list[str], path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Every place of the document that fits the steps."""
    if not steps:
        yield path, node
        return
    step, *rest = steps
    if isinstance(node, Map):
        for key in node if step == "*" else (step,):
            if key in node:
                yield from _matches(node[key], rest, (*path, key))
    elif isinstance(node, Seq) and step == "*":
        for index, item in enumerate(node):
            yield from _matches(item, rest, (*path, index))
