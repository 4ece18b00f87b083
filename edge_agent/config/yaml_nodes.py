"""YAML text to nodes with places. No anchors, no tags, no merge keys, bounded depth and size: a tag map needs none.

The nodes are a dict, a list and `Scalar`, so the document's models read them as they are. Built from the parser's
events without recursion: nothing the text holds can exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import yaml
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, Place, SourceFile, Unfit, printable, shown
from edge_agent.config.scalars import Kind, kind_of

MOST_NODES = 400_000
LONGEST_LIST = 1000
LONGEST_MAP = 50_000
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


class EventParser(Protocol):
    """What libyaml's parser and PyYAML's own have in common."""

    def get_event(self) -> yaml.Event | None:
        """The next event; None after the last."""
        ...


class PurePythonParser(Reader, Scanner, Parser):
    """PyYAML's own parser, where libyaml is missing: slower by far, the same events."""

    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)


try:
    from yaml._yaml import CParser
except ImportError:  # PyYAML built without libyaml
    FASTEST: Callable[[str], EventParser] = PurePythonParser
else:
    FASTEST = CParser


def find(root: Node, path: Sequence[Step]) -> tuple[Node | None, Place]:
    """The node at `path` and the place of its key; None and the last place on the way where there is none."""
    node, place = root, root.place
    for step in path:
        if isinstance(node, Map) and isinstance(step, str) and step in node:
            place, node = node.places[step], node[step]
        elif isinstance(node, Seq) and isinstance(step, int) and step < len(node):
            node = node[step]
            place = node.place
        else:
            return None, place
    return node, place


def locate(root: Node, path: Sequence[Step], *, key: bool = False) -> Place:
    """The place of the value at `path` (of its key with `key`); of the nearest thing above it where there is none."""
    node, place = find(root, path)
    return place if key or node is None else node.place


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a document is called, and the line that it may begin with."""

    name: str
    first: str


TAG_MAP = Dialect("tag map", "schema: 1")


def parse(
    source: SourceFile,
    text: str,
    findings: Findings,
    parser: Callable[[str], EventParser] = FASTEST,
    dialect: Dialect = TAG_MAP,
) -> Map | None:
    """The document of one file, every fault of its YAML reported; None where there is no mapping to go on with."""
    builder = _Builder(source, findings, dialect)
    try:
        builder.read(parser(text))
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        what = ": ".join(str(part) for part in (error.context, error.problem) if part)
        findings.error(place, Code.SYNTAX, f"this is not YAML: {what}", "look at brackets, quotes and indentation here")
        return None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        findings.error(Place(source, 1, 1), Code.SYNTAX, f"this is not YAML: {printable(str(error))[:200]}")
        return None
    return builder.document()


class _Stop(Exception):
    """The file is not read any further; why has been reported."""


@dataclass(slots=True)
class _Open:
    """A container being filled. A mapping waits for a key or, with `key` set, for its value; `dropped` ones are
    parsed for their faults and forgotten.
    """

    node: Map | Seq
    key: str | None = None
    dropped: bool = False
    is_key: bool = False


class _Builder:
    """Puts nodes together, event by event."""

    def __init__(self, source: SourceFile, findings: Findings, dialect: Dialect) -> None:
        self._source = source
        self._findings = findings
        self._what, self._first = dialect.name, dialect.first
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0
        self._documents = 0
        self._handlers: dict[type[yaml.Event], Callable[[yaml.Event], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document_start,
        }

    def read(self, parser: EventParser) -> None:
        """All events of the file; a tag map of 20,000 tags has a third of a million."""
        next_event, handlers = parser.get_event, self._handlers
        while (event := next_event()) is not None:
            handler = handlers.get(type(event))
            if handler is not None:
                handler(event)

    def document(self) -> Map | None:
        """The root, if it is a mapping."""
        start = Place(self._source, 1, 1)
        if self._root is None or (isinstance(self._root, Scalar) and self._root.kind is Kind.NULL):
            self._findings.error(start, Code.EMPTY, f"the file holds no {self._what}", f"start with `{self._first}`")
            return None
        if not isinstance(self._root, Map):
            place = self._root.place
            message = f"a {self._what} is a mapping of names such as `{self._first}`"
            self._findings.error(place, Code.WRONG_SHAPE, message, f"start with `{self._first}`")
            return None
        return self._root

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self._source, mark.line + 1, mark.column + 1) if mark else Place(self._source, 1, 1)

    def _document_start(self, event: yaml.Event) -> None:
        assert isinstance(event, yaml.DocumentStartEvent)  # noqa: S101 - by the table above
        self._documents += 1
        if self._documents > 1:
            message = "a second document begins here"
            self._findings.error(self._place(event), Code.SEVERAL_DOCUMENTS, message, "one document a file: split it")
            raise _Stop
        if event.version or event.tags:
            message = f"YAML directives (%YAML, %TAG) are not used in a {self._what}"
            self._findings.error(self._place(event), Code.SEVERAL_DOCUMENTS, message, "remove the line")

    def _alias(self, event: yaml.Event) -> None:
        place = self._place(event)
        message = f"aliases (`*name`) are not used in a {self._what}"
        self._findings.error(place, Code.ALIAS, message, 'write the value out; quote a text that begins with "*"')
        self._add(Scalar("", Kind.BAD, place))

    def _check_properties(self, event: yaml.NodeEvent, tag: str | None, place: Place) -> bool:
        """Whether the node is free of anchors and tags."""
        if event.anchor is not None:
            message = f"anchors (`&name`) are not used in a {self._what}"
            self._findings.error(place, Code.ALIAS, message, 'write values out; quote a text that begins with "&"')
        if tag is not None:
            message = f"the tag {shown(tag)} is not allowed: a {self._what} holds plain data"
            self._findings.error(place, Code.EXPLICIT_TAG, message, 'remove it; quote a text that begins with "!"')
        return event.anchor is None and tag is None

    def _scalar(self, event: yaml.Event) -> None:
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101 - by the table above
        place = self._place(event)
        kind = Kind.TEXT
        if (event.anchor is not None or event.tag is not None) and not self._check_properties(event, event.tag, place):
            kind = Kind.BAD
        elif not event.style:
            kind = self._kind(event.value, place)
        self._add(Scalar(event.value, kind, place))

    def _kind(self, text: str, place: Place) -> Kind:
        """What an unquoted scalar holds."""
        if text == "<<" and self._wants_key():
            message = f"merge keys (`<<`) are not used in a {self._what}"
            self._findings.error(place, Code.MERGE_KEY, message, "write the keys out")
            return Kind.BAD
        try:
            return kind_of(text)
        except Unfit as fault:
            self._findings.unfit(place, fault)
            return Kind.BAD

    def _begin(self, event: yaml.Event) -> None:
        assert isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))  # noqa: S101 - by the table above
        place = self._place(event)
        if event.anchor is not None or event.tag is not None:
            self._check_properties(event, event.tag, place)
        node: Map | Seq = Map(place) if isinstance(event, yaml.MappingStartEvent) else Seq(place)
        if len(self._stack) >= DEEPEST:
            message = f"nested deeper than {DEEPEST} levels; the rest of the file is not read"
            self._findings.error(
                place, Code.TOO_DEEP, message, f"a {self._what} needs six levels: look for a stray bracket"
            )
            raise _Stop
        is_key = self._wants_key()
        if is_key:
            self._findings.error(place, Code.KEY_NOT_TEXT, "a key must be text", 'quote it: "..."')
        else:
            self._add(node)
        self._stack.append(_Open(node, dropped=is_key, is_key=is_key))

    def _end(self, _: yaml.Event) -> None:
        closed = self._stack.pop()
        if closed.is_key:
            parent = self._stack[-1]
            parent.key, parent.dropped = "", True

    def _wants_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, Map) and self._stack[-1].key is None

    def _add(self, node: Node) -> None:
        """Put a node where it belongs: root, item, key or value."""
        self._nodes += 1
        if self._nodes > MOST_NODES:
            message = f"more than {MOST_NODES:,} keys and values; the rest of the file is not read"
            self._findings.error(node.place, Code.TOO_LARGE, message, "split the map: one agent a line")
            raise _Stop
        if not self._stack:
            self._root = node
            return
        top = self._stack[-1]
        if isinstance(top.node, Seq):
            if len(top.node) >= LONGEST_LIST:
                message = f"a list of more than {LONGEST_LIST:,} items; the rest of the file is not read"
                self._findings.error(node.place, Code.TOO_LARGE, message, f"no list of a {self._what} is that long")
                raise _Stop
            top.node.append(node)
        elif top.key is not None:
            if not top.dropped:
                top.node[top.key] = node
            top.key, top.dropped = None, False
        elif isinstance(node, Scalar):
            self._key(top, top.node, node)

    def _key(self, top: _Open, into: Map, key: Scalar) -> None:
        """Begin an entry; a second one of the same name is reported and dropped."""
        text = key.text
        top.key = text
        if text in into.places:
            first = into.places[text]
            message = f"{shown(text)} is given twice, first at {first}"
            self._findings.error(key.place, Code.DUPLICATE, message, "keep one of them")
            top.dropped = True
            return
        if key.kind is Kind.BAD and (not text or text == "<<"):
            top.dropped = True
            return
        if len(into) >= LONGEST_MAP:
            message = f"a mapping of more than {LONGEST_MAP:,} keys; the rest of the file is not read"
            self._findings.error(key.place, Code.TOO_LARGE, message, "split the map: one agent a line")
            raise _Stop
        into.places[text] = key.place
        if key.kind is not Kind.TEXT and key.kind is not Kind.BAD:
            message = f"the key {shown(text)} unquoted is {key.kind.value} to YAML, not text"
            self._findings.error(key.place, Code.UNQUOTED, message, f'quote it: "{printable(text[:60])}"')
