"""Conditions such as `filler.state == packml.Execute and not tanks.refill_on`: true, false, or unknown.

The text is parsed and evaluated by simpleeval, whose syntax nodes and operators are cut down to those named here: tags,
constants, comparisons, `and`/`or`/`not`, arithmetic on exact fractions. There are no functions, no attributes but
`source.tag` and `packml.State`, and never `eval`. A number is what the tag's `range` bounds: raw value times `scale`.
A text is compared without the blanks around it.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import partial

from simpleeval import SimpleEval  # type: ignore[import-untyped]  # it ships no types

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.packml import UNDEFINED, PackMLState, state_named
from edge_agent.model.reading import Scalar, TagRef

LONGEST = 500
"""Characters of a condition."""
DEEPEST = 20
"""Levels of brackets, `not` and arithmetic within each other."""
_LONGEST_NUMBER = 40
_LARGEST_EXPONENT = 400
"""Beyond what a float64 can hold, no device means it."""
_PACKML = "packml"
_ADVICE = 'write it like filler.order_no != "" or (tanks.level > 20 and not tanks.refill_on)'
_TRUTH = {"true": True, "false": False}


class Kind(StrEnum):
    """What a part of a condition is."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "bool"
    STATE = "PackML state"


class _UnknownError(Exception):
    """An operand has no value that could be compared."""


_UNKNOWN = (_UnknownError, ArithmeticError, TypeError)
"""What evaluating ends with where it is not known; a TypeError where a device sends another type than the map says."""


_Value = Fraction | bool | str | PackMLState


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as parsed: bounded, and made of nothing but what is allowed. `tags` are those it names, each once.

    `states` are those of them that it compares with a PackML state.
    """

    text: str
    tags: tuple[TagRef, ...]
    states: frozenset[TagRef]
    _tree: ast.expr = field(compare=False, repr=False)

    def check(self, kinds: Mapping[TagRef, Kind]) -> None:
        """Whether the parts go together, given what the tags hold. Raises Unfit."""
        kind = _kind(self._tree, kinds)
        if kind is not Kind.BOOL:
            advice = "compare it: ... > 0" if kind is Kind.NUMBER else 'compare it: ... != ""'
            message = f"{shown(_said(self._tree))} is a {kind}, neither true nor false"
            raise Unfit(_blame(self._tree), message, advice)

    def holds(self, values: Mapping[TagRef, Scalar | None]) -> bool | None:
        """Whether it holds; None where that is unknown, because a tag that matters has no good value."""
        try:
            return _truth(_evaluator(values)._eval(self._tree))  # noqa: SLF001 - simpleeval's door for a parsed tree
        except _UNKNOWN:
            return None


def condition(text: str) -> Condition:
    """The condition of a text. Raises Unfit."""
    if len(text) > LONGEST:
        raise Unfit(Code.BAD_CONDITION, f"a condition of {len(text):,} characters; {LONGEST} is the most")
    if "\\" in text or "\n" in text:
        raise Unfit(Code.BAD_CONDITION, f"{shown(text)}: no backslash or line break in a condition", _ADVICE)
    try:
        with warnings.catch_warnings():  # what Python only warns of is no condition either
            warnings.simplefilter("error")
            tree = ast.parse(text.strip(" "), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise Unfit(Code.BAD_CONDITION, f"{shown(text)} is not a condition", _ADVICE) from None
    tags: dict[TagRef, None] = {}
    _allow(text, tree, tags)
    if not tags:
        raise Unfit(Code.BAD_CONDITION, f"{shown(text)} names no tag: it is always the same", _ADVICE)
    return Condition(text.strip(" "), tuple(tags), _states(tree), _exact(text.strip(" "), tree))


# what is allowed

_OPERATORS: dict[type[ast.AST], Callable[..., object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALITY = (ast.Eq, ast.NotEq)
_MEMBERSHIP = (ast.In, ast.NotIn)


def _allow(text: str, tree: ast.expr, tags: dict[TagRef, None]) -> None:
    """Refuse whatever is not named here, and note the tags."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > DEEPEST:
            raise Unfit(Code.BAD_CONDITION, f"{shown(text)} is nested more than {DEEPEST} deep", "make it simpler")
        waiting += [(part, depth + 1) for part in reversed(_parts(text, node))]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id != _PACKML:
            tags.setdefault(TagRef(node.value.id, node.attr))


def _parts(text: str, node: ast.AST) -> list[ast.expr]:  # noqa: PLR0911 - one answer for each kind of part
    match node:
        case ast.BoolOp():
            return node.values
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.UAdd()):
            return [node.operand]
        case ast.BinOp(op=ast.Div(), right=ast.Constant(value=0)):
            raise Unfit(Code.BAD_CONDITION, f"{shown(_said(node))} divides by zero", "divide by another number")
        case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div()):
            return [node.left, node.right]
        case ast.Compare():
            return [node.left, *_compared(text, node)]
        case ast.Attribute(value=ast.Name()):
            if isinstance(node.value, ast.Name) and node.value.id == _PACKML:
                _packml(node)
            return []
        case ast.Name() if node.id in _TRUTH:
            return []
        case ast.Constant() if isinstance(node.value, bool | str | int | float):
            return []
    raise Unfit(Code.BAD_CONDITION, f"{shown(_said(node))} means nothing in a condition", _ADVICE)


def _compared(text: str, node: ast.Compare) -> list[ast.expr]:
    """The right sides of a comparison; those of `in` are lists."""
    parts: list[ast.expr] = []
    for sign, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(sign, _MEMBERSHIP):
            if not isinstance(right, ast.Tuple | ast.List) or not right.elts or len(node.ops) > 1:
                raise Unfit(Code.BAD_CONDITION, f"{shown(text)}: `in` needs a list by itself", "in (1, 2, 3)")
            parts += right.elts
        elif isinstance(sign, _EQUALITY) or type(sign) in _OPERATORS:
            parts.append(right)
        else:
            raise Unfit(Code.BAD_CONDITION, f"{shown(_said(node))} means nothing in a condition", _ADVICE)
    return parts


def _packml(node: ast.Attribute) -> PackMLState:
    state = state_named(node.attr)
    if state is None:
        known = ", ".join(one.label for one in PackMLState)
        raise Unfit(Code.BAD_CONDITION, f"PackML has no state {shown(node.attr)}", f"one of {known}")
    return state


def _exact(text: str, tree: ast.expr) -> ast.expr:
    """Numbers as they are written: no binary float stands between."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or isinstance(node.value, bool | str):
            continue
        written = ast.get_source_segment(text, node) or ""
        if len(written) > _LONGEST_NUMBER or not set(written) <= set("0123456789."):
            raise Unfit(Code.BAD_CONDITION, f"{shown(written)} is no plain number", "write it like 20 or 0.5")
        node.kind = written  # where Python notes a prefix; nobody compiles this tree
    return tree


def _states(tree: ast.expr) -> frozenset[TagRef]:
    """The tags that are sides of a comparison of which another side is a PackML state."""
    found: set[TagRef] = set()
    for node in ast.walk(tree):
        sides = [node.left, *_compared("", node)] if isinstance(node, ast.Compare) else []
        names = [
            TagRef(side.value.id, side.attr)
            for side in sides
            if isinstance(side, ast.Attribute) and isinstance(side.value, ast.Name)
        ]
        if any(name.source == _PACKML for name in names):
            found.update(name for name in names if name.source != _PACKML)
    return frozenset(found)


def is_state(value: Scalar | None) -> bool:
    """Whether a tag that holds PackML states, by number or by name, shows one, or none yet (0, an empty text)."""
    if isinstance(value, str):
        return not value.strip() or state_named(value) is not None
    return value is None or value == UNDEFINED or value in set(PackMLState)


# what goes together


def _kind(node: ast.AST, kinds: Mapping[TagRef, Kind]) -> Kind:  # noqa: PLR0911 - one answer for each kind of part
    match node:
        case ast.BoolOp():
            for part in node.values:
                _need(part, Kind.BOOL, kinds, "and, or")
            return Kind.BOOL
        case ast.UnaryOp(op=ast.Not()):
            _need(node.operand, Kind.BOOL, kinds, "not")
            return Kind.BOOL
        case ast.UnaryOp():
            _need(node.operand, Kind.NUMBER, kinds, "a sign")
            return Kind.NUMBER
        case ast.BinOp():
            _need(node.left, Kind.NUMBER, kinds, "arithmetic")
            _need(node.right, Kind.NUMBER, kinds, "arithmetic")
            return Kind.NUMBER
        case ast.Compare():
            _comparable(node, kinds)
            return Kind.BOOL
        case ast.Attribute(value=ast.Name()) if isinstance(node.value, ast.Name):
            return Kind.STATE if node.value.id == _PACKML else kinds[TagRef(node.value.id, node.attr)]
        case ast.Constant() if isinstance(node.value, str):
            return Kind.TEXT
        case ast.Constant() if not isinstance(node.value, bool):
            return Kind.NUMBER
    return Kind.BOOL


def _need(node: ast.expr, wanted: Kind, kinds: Mapping[TagRef, Kind], why: str) -> None:
    kind = _kind(node, kinds)
    if kind is not wanted:
        message = f"{shown(_said(node))} is a {kind}; `{why}` needs a {wanted}"
        raise Unfit(_blame(node), message, "compare it with something" if wanted is Kind.BOOL else None)


def _comparable(node: ast.Compare, kinds: Mapping[TagRef, Kind]) -> None:
    left = node.left
    for sign, right in zip(node.ops, node.comparators, strict=True):
        ours = _kind(left, kinds)
        others = right.elts if isinstance(right, ast.Tuple | ast.List) else [right]
        for other in others:
            _pair(node, sign, (left, ours), (other, _kind(other, kinds)))
        left = right


def _pair(node: ast.Compare, sign: ast.cmpop, ours: tuple[ast.expr, Kind], theirs: tuple[ast.expr, Kind]) -> None:
    """Whether two sides can be compared so."""
    together = {ours[1], theirs[1]}
    states = Kind.STATE in together and Kind.BOOL not in together
    if len(together) > 1 and not states:
        message = f"{shown(_said(node))} compares a {ours[1]} with a {theirs[1]}"
        raise Unfit(_blame(node), message, "compare what is alike, or name another tag")
    if not isinstance(sign, _EQUALITY + _MEMBERSHIP) and together != {Kind.NUMBER}:
        message = f"{shown(_said(node))}: only numbers are less or greater"
        raise Unfit(Code.BAD_CONDITION, message, "use ==, != or in")


def _said(node: ast.AST) -> str:
    return ast.unparse(node)


def _blame(node: ast.AST) -> Code:
    """A tag of the wrong type, or, where no tag is concerned, the condition itself."""
    tags = (isinstance(part, ast.Attribute) for part in ast.walk(node))
    return Code.WRONG_TAG_TYPE if any(tags) else Code.BAD_CONDITION


# what holds


def _evaluator(values: Mapping[TagRef, Scalar | None]) -> SimpleEval:
    """simpleeval, with these syntax nodes and operators alone."""
    one = SimpleEval(operators=_OPERATORS, functions={}, names={})
    one.nodes = {
        ast.UnaryOp: one._eval_unaryop,  # noqa: SLF001 - its node table is how simpleeval is restricted
        ast.BinOp: one._eval_binop,  # noqa: SLF001 - likewise
        ast.BoolOp: partial(_joined, one),
        ast.Compare: partial(_compare, one),
        ast.Attribute: partial(_named, values),
        ast.Name: lambda node: _TRUTH[node.id],
        ast.Constant: _constant,
    }
    return one


def _constant(node: ast.Constant) -> _Value:
    if isinstance(node.value, bool):
        return node.value
    return node.value.strip() if isinstance(node.value, str) else Fraction(node.kind or "")


def _joined(one: SimpleEval, node: ast.BoolOp) -> bool:
    """`and`, `or` of three values (Kleene): unknown only where what is known does not settle it."""
    settles, unknown = isinstance(node.op, ast.Or), False
    for part in node.values:
        try:
            if _truth(one._eval(part)) is settles:  # noqa: SLF001 - likewise
                return settles
        except _UNKNOWN:
            unknown = True
    if unknown:
        raise _UnknownError
    return not settles


def _compare(one: SimpleEval, node: ast.Compare) -> bool:
    left = one._eval(node.left)  # noqa: SLF001 - likewise
    for sign, side in zip(node.ops, node.comparators, strict=True):
        others = side.elts if isinstance(side, ast.Tuple | ast.List) else [side]
        rights: list[_Value] = [one._eval(other) for other in others]  # noqa: SLF001 - likewise
        if isinstance(sign, _EQUALITY + _MEMBERSHIP):
            same = any(_same(left, right) for right in rights)
            held = same is isinstance(sign, ast.Eq | ast.In)
        else:
            held = bool(_OPERATORS[type(sign)](left, rights[0]))
        if not held:
            return False
        left = rights[0]
    return True


def _same(one: _Value, other: _Value) -> bool:
    if isinstance(one, PackMLState) and isinstance(other, str):
        return one is state_named(other)
    if isinstance(other, PackMLState) and isinstance(one, str):
        return other is state_named(one)
    if isinstance(one, PackMLState) or isinstance(other, PackMLState) or type(one) is type(other):
        return one == other
    raise _UnknownError


def _named(values: Mapping[TagRef, Scalar | None], node: ast.Attribute) -> _Value:
    if not isinstance(node.value, ast.Name):
        raise _UnknownError
    if node.value.id == _PACKML:
        return _packml(node)
    found = values.get(TagRef(node.value.id, node.attr))
    match found:
        case bool():
            return found
        case str():
            return found.strip()
        case int():
            return Fraction(found)
        case Decimal() if found.is_finite() and abs(found.adjusted()) <= _LARGEST_EXPONENT:
            return Fraction(found)
    raise _UnknownError


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise _UnknownError
    return value
