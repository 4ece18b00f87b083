"""Of the events in one group only the one whose EventId the store knows is marked as known."""

from __future__ import annotations

from datetime import UTC, datetime

from edge_agent.errors import NaturalKeyTaken
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Instant
from edge_agent.pipeline import _marked

NOW = Instant(datetime(2026, 3, 2, 12, tzinfo=UTC), 0, "boot")


def test_only_the_event_that_is_known_is_marked() -> None:
    group = [Block("pallet_out", number, 0, {}, NOW, event=name) for number, name in enumerate(("aa", "ab", "a"), 1)]
    other = Block("other", 1, 0, {}, NOW, event="ab")
    taken = NaturalKeyTaken("pallet_out", "pallet_out/event/ab")

    marked = [_marked(block, taken) for block in (*group, other)]
    assert [isinstance(one, Block) and one.conflicting for one in marked] == [False, True, False, False]
