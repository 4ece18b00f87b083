"""Reading a case file's nodes: each value checked where it stands, each fault a finding with its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, Place, Unfit, shown
from edge_agent.config.quantities import MICROSECONDS, decimal, duration
from edge_agent.config.scalars import Kind
from edge_agent.config.yaml_nodes import Map, Node, Scalar, Seq

T = TypeVar("T")
_NOTHING_YET = re.compile(rf"0 ?({'|'.join(MICROSECONDS)})")
_LONGEST_NUMBER = 64


@dataclass(slots=True)
class Nodes:
    """Nodes as values; what does not fit is reported, and None."""

    findings: Findings = field(default_factory=Findings)

    def entries(self, node: Node, known: Collection[str], needed: Collection[str] = ()) -> Map | None:
        """A mapping with these keys."""
        found = self.map(node)
        if found is None:
            return None
        for key in found:
            if key not in known:
                advice = self.findings.nearest(key, known) or f"known here: {', '.join(sorted(known))}"
                self.findings.error(found.places[key], Code.UNKNOWN_KEY, f"unknown key {shown(key)}", advice)
        for key in needed:
            if key not in found:
                self.findings.error(found.place, Code.MISSING_KEY, f"`{key}` is missing", f"add `{key}:`")
        return found

    def map(self, node: Node) -> Map | None:
        """A mapping."""
        if isinstance(node, Map):
            return node
        self._wrong_shape(node, "a mapping is expected here", "write {key: value}")
        return None

    def items(self, node: Node) -> Iterator[Node]:
        """The items of a list."""
        if isinstance(node, Seq):
            yield from node
        else:
            self._wrong_shape(node, "a list is expected here", "write [a, b], or one item a line behind `- `")

    def text(self, node: Node) -> str | None:
        """A text; a number unquoted is none."""
        scalar = self._scalar(node)
        if scalar is None or scalar.kind is Kind.TEXT:
            return None if scalar is None else scalar.text
        message = f"{shown(scalar.text)} unquoted is {scalar.kind.value} to YAML, not text"
        self.findings.error(scalar.place, Code.UNQUOTED, message, f'quote it: "{scalar.text[:60]}"')
        return None

    def number(self, node: Node) -> Decimal | None:
        """A plain decimal number, quoted or not."""
        scalar = self._scalar(node)
        return None if scalar is None else self.attempt(scalar.place, decimal, scalar.text)

    def value(self, node: Node) -> tuple[int | Decimal | bool | str | None] | None:
        """What a tag may show, in a tuple by itself: `null` is a value too."""
        scalar = self._scalar(node)
        return None if scalar is None else self.attempt(scalar.place, _value, scalar)

    def offset(self, node: Node) -> timedelta | None:
        """A time since the beginning, from `0 s` on."""
        scalar = self._scalar(node)
        return None if scalar is None else self.attempt(scalar.place, offset, scalar.text)

    def attempt(self, place: Place, parse: Callable[..., T], *args: object) -> T | None:
        """The parsed value; where it is unfit, None and an error."""
        try:
            return parse(*args)
        except Unfit as unfit:
            self.findings.unfit(place, unfit)
            return None

    def _scalar(self, node: Node) -> Scalar | None:
        if isinstance(node, Scalar):
            return None if node.kind is Kind.BAD else node
        self._wrong_shape(node, "a single value is expected here", "write it on the same line, without brackets")
        return None

    def _wrong_shape(self, node: Node, message: str, advice: str) -> None:
        if not isinstance(node, Scalar) or node.kind is not Kind.BAD:
            self.findings.error(node.place, Code.WRONG_SHAPE, message, advice)


def offset(text: str) -> timedelta:
    """`0 s`, or a duration. Raises Unfit."""
    return timedelta(0) if _NOTHING_YET.fullmatch(text) else duration(text)


def _value(scalar: Scalar) -> tuple[int | Decimal | bool | str | None]:
    if scalar.kind in (Kind.INTEGER, Kind.DECIMAL) and len(scalar.text) > _LONGEST_NUMBER:
        raise Unfit(Code.OUT_OF_RANGE, f"{shown(scalar.text)} has more than {_LONGEST_NUMBER} digits")
    match scalar.kind:
        case Kind.INTEGER:
            return (int(scalar.text),)
        case Kind.DECIMAL:
            return (Decimal(scalar.text),)
        case Kind.BOOLEAN:
            return (scalar.text.lower() == "true",)
        case Kind.NULL:
            return (None,)
        case _:
            return (scalar.text,)
