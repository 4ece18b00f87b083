"""Sizes and habits that no other checker of this project holds (docs: CONTRIBUTING.md). Gated on the worst case."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

LONGEST_FILE = 400
LONGEST_FUNCTION = 50
DEEPEST_NESTING = 4

_Function = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
_SUPERVISOR = "edge_agent/supervisor.py"
_CODE = re.compile(r"EA-\d{4}")
_EXCUSE = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma)\b.*")
_REASONED = re.compile(
    r"#\s*(?:noqa: [A-Z]+\d+(?:, [A-Z]+\d+)*|type: ignore\[[a-z-]+(?:, [a-z-]+)*\]|pragma: no cover) +[-#] .{6,}"
)

Modules = Mapping[str, ast.Module]


def test_no_file_is_too_long(modules: Modules, root: Path) -> None:
    lengths = {name: (root / name).read_text(encoding="utf-8").count("\n") for name in modules}

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_too_long(modules: Modules) -> None:
    lengths = {where: (node.end_lineno or node.lineno) - node.lineno + 1 for where, node in _functions(modules)}

    assert {where: lines for where, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_no_function_is_nested_too_deeply(modules: Modules) -> None:
    depths = {where: _depth(node) for where, node in _functions(modules)}

    assert {where: depth for where, depth in depths.items() if depth > DEEPEST_NESTING} == {}


def test_only_the_supervisor_stops_every_exception(modules: Modules) -> None:
    stopped = [
        f"{name}:{handler.lineno}"
        for name, tree in _of_the_agent(modules)
        for handler in _handlers(tree)
        if _catches_all(handler) and not _raises_on(handler)
    ]

    assert [where for where in stopped if not where.startswith(_SUPERVISOR)] == []


def test_no_import_is_hidden_in_a_function(modules: Modules) -> None:
    assert [
        f"{where}: {ast.unparse(inner)}"
        for where, node in _functions(dict(_of_the_agent(modules)))
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom) or _imports_by_call(inner)
    ] == []


def test_every_excused_check_names_its_rule_and_its_reason(modules: Modules, root: Path) -> None:
    excuses = {
        f"{name}:{number}": found.group()
        for name in modules
        for number, line in enumerate((root / name).read_text(encoding="utf-8").splitlines(), 1)
        if (found := _EXCUSE.search(line))
    }

    assert {where: text for where, text in excuses.items() if not _REASONED.match(text)} == {}


def test_every_code_of_a_log_line_is_defined_once(modules: Modules) -> None:
    defined = Counter(
        node.value
        for _, tree in _of_the_agent(modules)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value)
    )

    assert defined
    assert {code: times for code, times in defined.items() if times > 1} == {}


def test_the_measures_measure() -> None:
    source = """
def deep():
    if a:
        pass
    elif b:
        for x in y:
            while z:
                with w:
                    try:
                        import late
                    except Exception:
                        pass
                    except BaseException:
                        undo()
                        raise
"""
    planted = {"edge_agent/planted.py": ast.parse(source)}
    ((where, function),) = _functions(planted)

    assert where == "edge_agent/planted.py:2 deep"
    assert _depth(function) == 5
    assert [_catches_all(handler) and not _raises_on(handler) for handler in _handlers(function)] == [True, False]


def _of_the_agent(modules: Modules) -> Iterator[tuple[str, ast.Module]]:
    return ((name, tree) for name, tree in modules.items() if name.startswith("edge_agent/"))


def _functions(modules: Modules) -> Iterator[tuple[str, _Function]]:
    for name, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, _Function):
                yield f"{name}:{node.lineno} {node.name}", node


def _handlers(tree: ast.AST) -> Iterator[ast.ExceptHandler]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler))


def _depth(node: ast.AST, *, is_elif: bool = False) -> int:
    """How many blocks stand within each other at the deepest place; an `elif` is no deeper than its `if`."""
    inner = (
        _depth(child, is_elif=isinstance(node, ast.If) and node.orelse == [child] and isinstance(child, ast.If))
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, _Function)
    )
    return max(inner, default=0) + (isinstance(node, _BLOCKS) and not is_elif)


def _catches_all(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def _raises_on(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def _imports_by_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"__import__", "importlib.import_module"}
