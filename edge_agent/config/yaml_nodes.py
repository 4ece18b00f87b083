"""YAML text to nodes with places. No anchors, no tags, no merge keys, bounded depth and size: a tag map needs none.

The nodes are a dict, a list and `Scalar`, so the document's models read them as they are. Built from the parser's
events without recursion: nothing the text holds can exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import yaml
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, Place, SourceFile, Unfit, printable, shown
from edge_agent.config.scalars import Kind, kind_of

MOST_NODES = 500_000
DEEPEST = 12


@dataclass(slots=True)
class Scalar:
    """A scalar as written, and what it holds."""

    text: str
    kind: Kind
    place: Place


class Map(dict[str, "Node"]):
    """A mapping in the order of the file; `places` are those of its keys."""

    __slots__ = ("place", "places")

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}


class Seq(list["Node"]):
    """A sequence."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


Node = Map | Seq | Scalar
Step = str | int


class PurePythonParser(Reader, Scanner, Parser):
    """PyYAML's own parser, where libyaml is missing: ten times slower, the same events."""

    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)


FastParser: Callable[[str], yaml.CParser | PurePythonParser] = (
    yaml.CParser if yaml.__with_libyaml__ else PurePythonParser
)


def locate(root: Node, path: Sequence[Step], *, key: bool = False) -> Place:
    """The place of the value at `path` (of its key with `key`); of the nearest thing above it where there is none."""
    node, place, complete = root, root.place, True
    for step in path:
        if isinstance(node, Map) and isinstance(step, str) and step in node:
            place, node = node.places[step], node[step]
        elif isinstance(node, Seq) and isinstance(step, int) and step < len(node):
            node = node[step]
            place = node.place
        else:
            complete = False
            break
    return node.place if complete and not key else place


def parse(
    source: SourceFile, text: str, findings: Findings, parser: Callable[[str], object] = FastParser
) -> Map | None:
    """The document of one file, every fault of the YAML reported; None where there is no mapping to go on with."""
    builder = _Builder(source, findings)
    try:
        for event in _events(parser(text)):
            builder.take(event)
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        what = ": ".join(part for part in (error.context, error.problem) if part)
        findings.error(place, Code.SYNTAX, f"not YAML: {what}", _syntax_help(source, place))
        return None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        findings.error(Place(source, 1, 1), Code.SYNTAX, f"not YAML: {printable(str(error))[:200]}")
        return None
    return builder.document()


def _events(parser: object) -> Iterator[yaml.Event]:
    assert isinstance(parser, (yaml.CParser, PurePythonParser)) if yaml.__with_libyaml__ else True  # noqa: S101
    while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):  # type: ignore[attr-defined]
        yield event
