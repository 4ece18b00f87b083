"""Counters and gauges by name and labels."""

from __future__ import annotations

import pytest

from edge_agent.telemetry.metrics import Counts


def test_counters_add_up_by_their_labels() -> None:
    counts = Counts()
    counts.add("readings", 3, source="filler")
    counts.add("readings", source="filler")
    counts.add("readings", source="tanks")
    counts.add("movements", outcome="baseline", rule="a")
    counts.add("movements", rule="a", outcome="baseline")
    assert counts.get("readings", source="filler") == 4
    assert counts.get("readings", source="nobody") == 0
    assert counts.snapshot() == {
        'movements{outcome="baseline",rule="a"}': 2,
        'readings{source="filler"}': 4,
        'readings{source="tanks"}': 1,
    }


def test_a_counter_never_falls() -> None:
    counts = Counts()
    with pytest.raises(ValueError, match="cannot be lowered"):
        counts.add("readings", -1)
    assert counts.snapshot() == {}


def test_a_gauge_is_what_was_said_last() -> None:
    counts = Counts()
    counts.set("source_up", 1, source="filler")
    counts.set("source_up", 0, source="filler")
    counts.set("pending", 2.5)
    assert counts.snapshot() == {"pending": 2.5, 'source_up{source="filler"}': 0}


def test_labels_may_have_any_name() -> None:
    counts = Counts()
    counts.add("x", name="n", by="b")
    counts.set("y", 1, value="v")
    assert set(counts.snapshot()) == {'x{by="b",name="n"}', 'y{value="v"}'}
