"""How many tags are good, by what the sources deliver."""

from __future__ import annotations

from datetime import UTC, datetime

from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, TagRef
from edge_agent.telemetry.tags import TagBoard

NOW = Instant(datetime(2026, 3, 1, tzinfo=UTC), 0, "boot")
A, B, C = TagRef("filler", "a"), TagRef("filler", "b"), TagRef("tanks", "c")


def _reading(tag: TagRef, quality: Quality = Quality.GOOD) -> Reading:
    return Reading(tag, 1, quality, NOW)


def test_a_tag_is_good_by_its_newest_reading() -> None:
    board = TagBoard([A, B, C])
    assert board.by_source() == {"filler": (0, 2), "tanks": (0, 1)}
    board.observe([_reading(A), _reading(B, Quality.UNCERTAIN), _reading(C)])
    assert board.by_source() == {"filler": (1, 1), "tanks": (1, 0)}
    board.observe([_reading(A, Quality.BAD), _reading(B)])
    assert board.by_source() == {"filler": (1, 1), "tanks": (1, 0)}


def test_none_is_good_while_the_source_is_lost() -> None:
    board = TagBoard([A, B, C])
    board.observe([_reading(A), _reading(B), _reading(C), SourceChange("filler", Link.LOST, NOW)])
    assert board.by_source() == {"filler": (0, 2), "tanks": (1, 0)}
    board.observe([SourceChange("filler", Link.UP, NOW), _reading(A)])
    assert board.by_source() == {"filler": (1, 1), "tanks": (1, 0)}


def test_a_new_map_keeps_what_is_known_and_nothing_else() -> None:
    board = TagBoard([A, B, C])
    board.observe([_reading(A), _reading(C)])
    board.expect([A, TagRef("filler", "new")])
    board.observe([_reading(C), _reading(TagRef("nobody", "x")), SourceChange("nobody", Link.LOST, NOW)])
    assert board.by_source() == {"filler": (1, 1)}
