"""Prometheus' text format, read back by Prometheus' own parser; and everything counted has its words."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.telemetry.catalogue import METRICS
from edge_agent.telemetry.metrics import BOUNDS, Counts

_AGENT = Path(__file__).parents[2] / "edge_agent"


def _samples(counts: Counts) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(counts.exposition())
        for sample in family.samples
    }


def test_counters_gauges_and_totals_are_read_back() -> None:
    counts = Counts()
    counts.add("readings", 3, source="filler")
    counts.add("readings", 0, source="tanks")
    counts.total("published", 7)
    counts.set("store_bytes", 4096)
    families = {family.name: family for family in text_string_to_metric_families(counts.exposition())}
    assert {name: (family.type, family.documentation) for name, family in families.items()} == {
        "edge_agent_readings": ("counter", METRICS["readings"]),
        "edge_agent_published": ("counter", METRICS["published"]),
        "edge_agent_store_bytes": ("gauge", METRICS["store_bytes"]),
    }
    assert _samples(counts) == {
        ("edge_agent_readings_total", (("source", "filler"),)): 3,
        ("edge_agent_readings_total", (("source", "tanks"),)): 0,
        ("edge_agent_published_total", ()): 7,
        ("edge_agent_store_bytes", ()): 4096,
    }


def test_any_text_in_a_label_comes_through() -> None:
    counts = Counts()
    odd = 'a "quoted" name\nin two lines\\ {x="y"} ü'
    counts.add("movements", rule=odd, outcome="booked")
    assert _samples(counts) == {("edge_agent_movements_total", (("outcome", "booked"), ("rule", odd))): 1}


def test_a_histogram_is_cumulative_and_adds_up() -> None:
    counts = Counts()
    for seconds in (0.0005, 0.001, 0.3, 0.3, 99.0):
        counts.observe("commit_seconds", seconds)
    (family,) = text_string_to_metric_families(counts.exposition())
    assert family.type == "histogram"
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert [float(le) for le in found if re.fullmatch(r"[\d.]+", le)] == list(BOUNDS)
    assert (found["0.001"], found["0.25"], found["0.5"], found["30.0"], found["+Inf"]) == (2, 2, 4, 4, 5)
    assert found["edge_agent_commit_seconds_count"] == 5
    assert found["edge_agent_commit_seconds_sum"] == pytest.approx(99.6015)


def test_nothing_counted_is_an_empty_page() -> None:
    assert Counts().exposition() == "\n"


def test_everything_that_is_counted_is_in_the_catalogue_and_the_other_way_round() -> None:
    assert _counted() == set(METRICS)


def test_names_are_prometheus_names_with_base_units() -> None:
    for name, words in METRICS.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert not name.endswith(("_total", "_count", "_ms", "_milliseconds", "_kb", "_mb", "_percent"))
        assert words.endswith(".")
        assert "\n" not in words


def _counted() -> set[str]:
    """The metric names that the agent's code hands to `Counts`, and the keys of the relay's own."""
    found = set()
    for path in _AGENT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found |= _names(node)
    return found


def _names(node: ast.AST) -> set[str]:
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr="add" | "set" | "total" | "observe"), args=[name, *_]):
            if ast.unparse(owner).rsplit(".", maxsplit=1)[-1].lstrip("_") == "counts" and isinstance(
                name, ast.Constant
            ):
                return {str(name.value)}
        case ast.Call(func=ast.Name(id="partial"), args=[ast.Attribute(attr="observe"), ast.Constant(value=str(name))]):
            return {name}
        case ast.AnnAssign(target=ast.Name(id="_OF_THE_RELAY"), value=ast.Dict(keys=keys)):
            return {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return set()
