"""Whatever a file holds, the answer is findings inside it: nothing is raised, by libyaml's parser or PyYAML's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.config.findings import Findings, SourceFile
from edge_agent.config.loader import Loaded, load
from edge_agent.config.yaml_nodes import FASTEST, Map, Node, PurePythonParser, Scalar, parse

GOOD = (Path(__file__).parents[2] / "config" / "bottling-line.yaml").read_text("utf-8")
FULL = (Path(__file__).parents[2] / "config" / "examples" / "full-line.yaml").read_text("utf-8")
SPICE = "{}[]:,&*!|>%@`'\"#?-\t\n\r \\\0\x01\x7f\x85\u2028\u202e\ufeff\ufffe\u0661\u2167\U0001d7d9~"
SPICE += "0123456789._+-eEoOxXbBnNyY/$<=>"
WORDS = st.sampled_from(
    ["yes", "0x1", "010", ".nan", "1e999", "1_0", "~", "[]", "{}", "<<", "*a", "&a b", "!t c", "101", "9" * 80, "- a",
     '"\\ud800"', '"\\0"', "12:30", "2026-01-01", "null", "true", "-5", "0.1", "a.b", "25 pcs/s", "24 pcs", "12 h"]
)  # fmt: skip
TEXTS = st.text(st.one_of(st.sampled_from(SPICE), st.characters()), max_size=60)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good map with a few cuts, copies and insertions."""
    text = draw(st.sampled_from([GOOD, FULL]))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        put = draw(st.one_of(WORDS, TEXTS, st.just(text[start:end] * 2), st.just("")))
        text = text[:start] + put + text[end:]
    return text


@st.composite
def respelled(draw: st.DrawFn) -> str:
    """A good map with some values replaced by others."""
    lines = draw(st.sampled_from([GOOD, FULL])).split("\n")
    for _ in range(draw(st.integers(1, 5))):
        number = draw(st.integers(0, len(lines) - 1))
        parts = lines[number].split(": ")
        index = draw(st.integers(0, len(parts) - 1))
        parts[index] = draw(st.one_of(WORDS, TEXTS.map(lambda text: f'"{text}"')))
        lines[number] = ": ".join(parts)
    return "\n".join(lines)


def check(directory: Path, content: bytes) -> Loaded:
    path = directory / "map.yaml"
    path.write_bytes(content)
    loaded = load([path])
    assert loaded.tag_map is not None or loaded.errors
    assert loaded.tag_map is None or not loaded.errors
    text = content.decode("utf-8", "replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    places = [(finding.line, finding.col) for finding in loaded.findings]
    assert places == sorted(places)
    for finding in loaded.findings:
        assert 1 <= finding.line <= len(lines)
        assert 1 <= finding.col <= len(lines[finding.line - 1]) + 1
        finding.render().encode("utf-8")
    return loaded


shared_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@shared_directory
@given(content=st.binary(max_size=200))
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    check(tmp_path, content)


@shared_directory
@given(text=st.text(st.one_of(st.sampled_from(SPICE), st.characters(codec="utf-8")), max_size=200))
def test_any_text(text: str, tmp_path: Path) -> None:
    check(tmp_path, text.encode("utf-8", "surrogatepass"))


@shared_directory
@given(text=st.one_of(mutated(), respelled()))
def test_a_good_map_gone_wrong(text: str, tmp_path: Path) -> None:
    check(tmp_path, text.encode("utf-8", "surrogatepass"))


@given(text=st.one_of(mutated(), respelled(), TEXTS))
def test_without_libyaml_nothing_is_raised_either(text: str) -> None:
    parse(SourceFile("map.yaml"), text, Findings(), PurePythonParser)


def _shown(node: Node) -> object:
    if isinstance(node, Scalar):
        return (node.text, node.kind, node.place.line, node.place.column)
    if isinstance(node, Map):
        return {(key, *node.places[key][1:]): _shown(value) for key, value in node.items()}
    return [_shown(item) for item in node]


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML has no libyaml here")
@pytest.mark.parametrize("text", [GOOD, FULL])
def test_both_parsers_read_the_same(text: str) -> None:
    source = SourceFile("map.yaml")
    findings = Findings()
    fast, own = (parse(source, text, findings, parser) for parser in (FASTEST, PurePythonParser))
    assert fast is not None
    assert own is not None
    assert _shown(fast) == _shown(own)
    assert findings.in_order() == ()
