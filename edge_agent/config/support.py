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


NOT_RUN = (
    Feature(Code.NOT_RUN_MATERIAL, "density", "materials/*/density"),
    Feature(Code.NOT_RUN_MATERIAL, "lot-tracked materials", "materials/*/lot_tracked", _is("true", "True", "TRUE")),
    Feature(Code.NOT_RUN_CADENCE, "cutting when the lot changes", "cadence/*/or_at/*", _is("lot-change")),
    Feature(Code.NOT_RUN_EVENT, "this event", "movements/*/event", _other_than(*RUN_EVENTS)),
    Feature(Code.NOT_RUN_SIGNAL, "level rules", "movements/*/level"),
    Feature(Code.NOT_RUN_SIGNAL, "flow rules", "movements/*/flow"),
    Feature(
        Code.NOT_RUN_SIGNAL,
        "handshakes other than the transaction counter",
        "movements/*/handshake/kind",
        _other_than("transaction-counter"),
    ),
    Feature(Code.NOT_RUN_COUNTER, "saturates_at", "movements/*/counter/saturates_at"),
    Feature(Code.NOT_RUN_COUNTER, "final_tag", "movements/*/counter/final_tag"),
    Feature(Code.NOT_RUN_COUNTER, "a direction other than up", "movements/*/counter/direction", _other_than("up")),
    Feature(
        Code.NOT_RUN_COUNTER,
        "resets by order, shift or day",
        "movements/*/counter/resets/*",
        _is("order", "shift", "day"),
    ),
    Feature(Code.NOT_RUN_RULE, "lag", "movements/*/lag"),
    Feature(Code.NOT_RUN_RULE, "lot_from", "movements/*/lot_from"),
    Feature(Code.NOT_RUN_RULE, "only_while", "movements/*/only_while"),
    Feature(Code.NOT_RUN_RULE, "pause_while", "movements/*/pause_while"),
)
"""Float counters and quantities are found where tags are resolved; they belong here too."""


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
