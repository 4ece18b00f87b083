"""Conditions such as `filler.order_no != ""`: comparisons of a tag with a constant, joined by `and`. Never evaluated as
code: the grammar is all there is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown
from edge_agent.model.reading import TagRef

_REF = r"([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)"
_COMPARISON = re.compile(rf' *{_REF} *(==|!=|<=|>=|<|>) *("[^"]*"|true|false|-?[0-9]+(?:\.[0-9]+)?) *')
_BARE = re.compile(rf" *(not +)?{_REF} *")
_AND = re.compile(r" and ")
_ORDERING = frozenset({"<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Comparison:
    """`tag operator constant`; `kind` is that of the constant: text, number or bool."""

    tag: TagRef
    operator: str
    constant: str
    kind: str


def condition(text: str) -> tuple[Comparison, ...]:
    """All of the comparisons must hold. Raises Unfit."""
    return tuple(_comparison(part) for part in _AND.split(text))


def _comparison(text: str) -> Comparison:
    if match := _COMPARISON.fullmatch(text):
        source, tag, operator, constant = match.groups()
        kind = "text" if constant[0] == '"' else "bool" if constant in {"true", "false"} else "number"
        if operator in _ORDERING and kind != "number":
            raise Unfit(Code.BAD_CONDITION, f"{shown(text)}: only numbers are less or greater", "use == or !=")
        return Comparison(TagRef(source, tag), operator, constant.strip('"'), kind)
    if match := _BARE.fullmatch(text):
        return Comparison(TagRef(match[2], match[3]), "==", "false" if match[1] else "true", "bool")
    advice = 'write it like filler.order_no != "" or tanks.level > 20, joined by " and "'
    raise Unfit(Code.BAD_CONDITION, f"{shown(text)} is not a condition", advice)
