"""The subset of IEC 61131-3 structured text that docs/plc is written in, checked strictly and run.

What is outside of it is refused: undeclared names, blocks that do not close, statements without a semicolon. Siemens
SCL differs by its declarations' dress and by `#` before local names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"\s+|//[^\n]*|\{[^}]*\}|(?P<text>'[^']*')|(?P<time>T#\d+(?:MS|S))|(?P<name>[A-Za-z_]\w*)|(?P<number>\d+)"
    r'|(?P<mark>:=|<>|<=|>=|\.\.|[-+*()\[\].,;:=<>#"])'
)
_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "MOD": "%", "TRUE": "True", "FALSE": "False", "=": "==", "<>": "!="}
_BLANK: dict[str, Callable[[], Any]] = {"BOOL": bool, "INT": int, "UDINT": int, "STRING": str, "TIME": int}


class StructuredTextError(Exception):
    """The text is not what it claims to be."""


class Record:
    """A structure's fields."""


@dataclass
class Ton:
    """A timer with on-delay (IEC 61131-3, 2.5.2.3.4). Times in milliseconds."""

    now: Callable[[], int]
    Q: bool = False
    _since: int | None = None

    def __call__(self, *, IN: bool, PT: int) -> None:  # noqa: N803 - the standard's names
        if not IN:
            self._since, self.Q = None, False
            return
        self._since = self.now() if self._since is None else self._since
        self.Q = self.now() - self._since >= PT


@dataclass
class Block:
    """A function block: its variables by section, and its body as code. Call it to scan once."""

    name: str
    sections: dict[str, dict[str, str]]
    structures: dict[str, dict[str, str]]
    body: str
    milliseconds: int = 0
    variables: Record = field(default_factory=Record)

    def __post_init__(self) -> None:
        for declared in self.sections.values():
            for name, kind in declared.items():
                setattr(self.variables, name, self.blank(kind))
        self._code = compile(self.body, self.name, "exec")

    def scan(self) -> None:
        exec(self._code, {"__builtins__": {}, "v": self.variables})

    def blank(self, kind: str) -> Any:
        """A variable's first value."""
        base, _, initial = kind.partition(":=")
        if array := re.fullmatch(r"ARRAY\[0\.\.(\d+)\]OF(\w+)", base):
            return [self.blank(array[2]) for _ in range(int(array[1]) + 1)]
        if base in self.structures:
            record = Record()
            for name, one in self.structures[base].items():
                setattr(record, name, self.blank(one))
            return record
        if base == "TON":
            return Ton(lambda: self.milliseconds)
        plain = _BLANK[re.sub(r"[(\[].*", "", base)]
        return eval(_value(initial)) if initial else plain()


def parse(text: str) -> Block:
    """The function block in `text`. Raises StructuredTextError."""
    return _Parser(_tokens(text)).unit()


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise StructuredTextError(f"what is this: {text[at : at + 20]!r}")
        if match.lastgroup and match[0] not in {"#", '"'}:
            found.append(match[0])
        at = match.end()
    return found


def _value(word: str) -> str:
    if time := re.fullmatch(r"T#(\d+)(MS|S)", word):
        return str(int(time[1]) * (1 if time[2] == "MS" else 1000))
    return _WORDS.get(word, word)


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._at = 0
        self._declared: set[str] = set()

    def unit(self) -> Block:
        structures: dict[str, dict[str, str]] = {}
        while self._peek() == "TYPE":
            self._take("TYPE")
            name = self._next()
            self._skip_dress()
            self._take("STRUCT")
            structures[name] = self._declarations("END_STRUCT", structures)
            self._skip(";")
            self._take("END_TYPE")
        self._take("FUNCTION_BLOCK")
        name, sections = self._next(), {}
        self._skip_dress()
        while self._peek() == "VAR" or self._peek().startswith("VAR_"):
            head = self._next()
            head += f" {self._next()}" if self._peek() in {"RETAIN", "PERSISTENT", "CONSTANT"} else ""
            sections[head] = self._declarations("END_VAR", structures)
        self._declared = {one for declared in sections.values() for one in declared}
        self._skip("BEGIN")
        body = "\n".join(self._statements(0, {"END_FUNCTION_BLOCK"})) + "\n"
        self._take("END_FUNCTION_BLOCK")
        if self._at != len(self._tokens):
            raise StructuredTextError(f"after the end: {self._peek()}")
        return Block(name, sections, structures, body)

    def _skip_dress(self) -> None:
        """What SCL and IEC say between a name and its contents: VERSION : 0.1, or a colon."""
        if self._peek() == "VERSION":
            self._at += 5
        self._skip(":")

    def _declarations(self, end: str, structures: dict[str, dict[str, str]]) -> dict[str, str]:
        found: dict[str, str] = {}
        while self._peek() != end:
            name = self._next()
            self._take(":")
            kind = []
            while self._peek() != ";":
                kind.append(self._next())
            self._take(";")
            if name in found:
                raise StructuredTextError(f"{name} is declared twice")
            found[name] = _kind("".join(kind), structures)
        self._take(end)
        return found

    def _statements(self, depth: int, ends: set[str]) -> Iterator[str]:
        indent = "    " * depth
        empty = True
        while self._peek() not in ends:
            empty = False
            yield from self._if(depth) if self._peek() == "IF" else self._simple(indent)
        if empty:
            yield f"{indent}pass"

    def _if(self, depth: int) -> Iterator[str]:
        indent, word = "    " * depth, "if"
        while self._next() in {"IF", "ELSIF"}:
            yield f"{indent}{word} {self._expression({'THEN'})}:"
            self._take("THEN")
            yield from self._statements(depth + 1, {"ELSIF", "ELSE", "END_IF"})
            word = "elif"
            if self._peek() == "ELSE":
                self._take("ELSE")
                yield f"{indent}else:"
                yield from self._statements(depth + 1, {"END_IF"})
            if self._peek() == "END_IF":
                self._take("END_IF")
                break
        self._take(";")

    def _simple(self, indent: str) -> Iterator[str]:
        target = self._expression({":=", "("}, calls=False)
        if self._next() == ":=":
            yield f"{indent}{target} = {self._expression({';'})}"
        else:
            arguments = []
            while self._peek() != ")":
                name = self._next()
                self._take(":=")
                arguments.append(f"{name}={self._expression({',', ')'})}")
                self._skip(",")
            self._take(")")
            yield f"{indent}{target}({', '.join(arguments)})"
        self._take(";")

    def _expression(self, ends: set[str], *, calls: bool = True) -> str:
        found: list[str] = []
        depth = 0
        while depth or self._peek() not in ends:
            word = self._next()
            if word in {";", "IF", "THEN"}:
                raise StructuredTextError(f"{' '.join(found)} {word}: not closed")
            depth += (word in "([" and calls) + (word == "[" and not calls) - (word in ")]")
            is_name = re.fullmatch(r"[A-Za-z_]\w*", word) and word not in _WORDS
            if is_name and (not found or found[-1] != "."):
                if word not in self._declared:
                    raise StructuredTextError(f"{word} is not declared")
                word = f"v.{word}"
            found.append(_value(word) if word != "=" else "==")
        return " ".join(found).replace(" . ", ".")

    def _peek(self) -> str:
        if self._at >= len(self._tokens):
            raise StructuredTextError("the text ends too early")
        return self._tokens[self._at]

    def _next(self) -> str:
        word = self._peek()
        self._at += 1
        return word

    def _take(self, word: str) -> None:
        if (found := self._next()) != word:
            raise StructuredTextError(f"{word} is expected, not {found}")

    def _skip(self, word: str) -> None:
        if self._peek() == word:
            self._at += 1


def _kind(text: str, structures: dict[str, dict[str, str]]) -> str:
    """A type in IEC's spelling. Raises StructuredTextError where nobody knows it."""
    base, mark, initial = re.sub(r"(?i)(STRING)\[(\d+)\]", r"\1(\2)", text).partition(":=")
    kind = next((f"ARRAY{rest}" for word, rest in [(base[:5], base[5:])] if word.upper() == "ARRAY"), base)
    kind = kind.replace("]of", "]OF").replace("TON_TIME", "TON")
    element = kind.rpartition("]OF")[2]
    plain = re.sub(r"[(\[].*", "", element)
    if plain.upper() in {*_BLANK, "TON"}:
        return kind.upper() + mark + initial
    if plain not in structures:
        raise StructuredTextError(f"{plain} is no type")
    return kind + mark + initial
