"""The dashboard and the alert rules that ship name only metrics, labels and suffixes that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.telemetry.catalogue import METRICS
from edge_agent.telemetry.metrics import Counts

_FOLDER = Path(__file__).parents[2] / "config" / "monitoring"
_METRIC = re.compile(r"\bedge_agent_[a-z0-9_]+")
_LABELS = {"job", "instance", "le", "source", "rule", "outcome", "stream", "python", "version", "why"}
_GAUGES = re.compile(
    r"_up$|_bytes$|_info$|^tags_|^outbox_|_open$|_fds$|_tasks$|_time_seconds$|^progress$|^dead_letters$"
)
_HISTOGRAMS = {"commit_seconds", "publish_latency_seconds"}


def _dashboard() -> Any:
    return json.loads((_FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))


def _rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((_FOLDER / "alert-rules.yaml").read_text(encoding="utf-8"))
    (group,) = document["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def _expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in _rules())
    for panel in _dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable["query"] for variable in _dashboard()["templating"]["list"])


def _exposed() -> set[str]:
    """Every name on a page where everything in the catalogue was counted once."""
    counts = Counts()
    for name in METRICS:
        if name in _HISTOGRAMS:
            counts.observe(name, 1.0)
        elif _GAUGES.search(name):
            counts.set(name, 1)
        else:
            counts.add(name)
    return set(re.findall(r"(?m)^([a-z_]+)", counts.exposition()))


def test_they_name_only_metrics_that_exist() -> None:
    named = {name for expression in _expressions() for name in _METRIC.findall(expression)}
    assert len(named) > 20
    assert named - _exposed() == set()


@pytest.mark.parametrize("planted", ["edge_agent_readings", "edge_agent_tags_good_total", "edge_agent_lost_total"])
def test_a_name_that_does_not_exist_is_caught(planted: str) -> None:
    assert _METRIC.findall(f"rate({planted}[5m])") == [planted]
    assert planted not in _exposed()


def test_they_group_by_labels_that_exist() -> None:
    grouped = {
        label.strip()
        for expression in _expressions()
        for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    assert grouped - _LABELS == set()


def test_every_alert_says_what_to_do() -> None:
    for rule in _rules():
        assert re.fullmatch(r"EdgeAgent[A-Za-z]+", rule["alert"])
        assert rule["annotations"].keys() == {"summary", "action"}
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_a_drop_a_rejection_and_a_late_handshake_raise_an_alert() -> None:
    expressions = " ".join(rule["expr"] for rule in _rules())
    gauges = ("review_open", "outbox_oldest_seconds", "source_up", "progress")
    for name in ("dropped_total", "rejected_total", "handshakes_late_total", *gauges):
        assert f"edge_agent_{name}" in expressions


def test_panels_do_not_overlap_and_have_an_id_of_their_own() -> None:
    panels = _dashboard()["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert len({panel["id"] for panel in panels}) == len(panels)
