"""The map in one piece: the same map, and what its rules say alike only once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from edge_agent.config.loader import Loaded, load
from edge_agent.config.packing import packed, unpacked
from edge_agent.config.share import shared_file
from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import TagMap


def shipped() -> TagMap:
    loaded: Loaded = load([shared_file("bottling-line.yaml")])
    assert loaded.tag_map is not None
    return loaded.tag_map


def test_the_same_map_comes_out() -> None:
    before, after = shipped(), unpacked(packed(shipped()))
    assert after == before
    assert repr(after) == repr(before), "a Decimal's trailing zeros are part of it"


def test_what_is_said_alike_is_there_once() -> None:
    rules = unpacked(packed(shipped())).rules.values()
    counters = [(rule.order, rule.signal) for rule in rules if isinstance(rule.signal, Counter)]
    said = [(order, counter.sampling, counter.settle, counter.resets) for order, counter in counters]
    assert len(said) > 1
    for values in zip(*said, strict=True):
        assert len({id(value) for value in values}) == len(set(values))


def test_equal_figures_that_are_written_otherwise_stay_apart() -> None:
    tag_map = shipped()
    tag = next(iter(tag_map.tags.values()))
    tags = {
        ref: replace(tag, scale=Decimal(text)) for ref, text in zip(tag_map.tags, ("1", "1.0", "1.00"), strict=False)
    }
    found = unpacked(packed(replace(tag_map, tags=tags))).tags
    assert [str(each.scale) for each in found.values()] == ["1", "1.0", "1.00"]
