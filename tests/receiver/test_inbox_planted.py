"""Each suite catches the bug it is there for: planted here, one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge_agent_receiver import sql
from edge_agent_receiver.acks import Acks
from edge_agent_receiver.arrivals import Arrivals
from edge_agent_receiver.chain import Chain
from edge_agent_receiver.effects import Effects
from edge_agent_receiver.event import HIGHEST, Event
from edge_agent_receiver.gaps import Gaps
from edge_agent_receiver.reversals import Reversals, Turn, Verdict
from edge_agent_receiver.snapshots import Snapshots
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db, Store
from tests.receiver import (
    test_inbox_answers,
    test_inbox_chain,
    test_inbox_holes,
    test_inbox_once,
    test_inbox_positions,
    test_inbox_reversals,
    test_inbox_snapshots,
)
from tests.receiver.agent_log import AgentLog
from tests.receiver.plant import Plant

Planted = Callable[[pytest.MonkeyPatch], None]
Scenario = Callable[[Plant, AgentLog], None]


def forgets_deduplication(patch: pytest.MonkeyPatch) -> None:
    def known(_self: Arrivals, db: Any, source: Source, event: Any, _known: Any) -> None:
        db.run(sql.RECEIVE_AGAIN, source.number, event.sequence)

    patch.setattr(Arrivals, "_known", known)


def posts_out_of_order(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Source, "limit", lambda self, *, prove: self.filled.highest)


def skips_the_chain(patch: pytest.MonkeyPatch) -> None:
    def check_all(self: Chain, _db: Any) -> None:
        for source in self._desk.sources:
            source.checks.clear()

    patch.setattr(Chain, "check_all", check_all)


def posts_unproven(patch: pytest.MonkeyPatch) -> None:
    limit = Source.limit
    patch.setattr(Source, "limit", lambda self, *, prove: limit(self, prove=False))


def replaces_what_is_posted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "STANDING_CONTENT", sql.STANDING_CONTENT.replace("state, posted", "'received', 0"))


def posts_before_recording(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "OFFER", sql.OFFER.replace("'offered'", "'received'"))


def offers_no_rejection_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "RECEIVE_AGAIN", sql.RECEIVE_AGAIN.replace("WHERE", "WHERE 1 = 0 AND"))


def covers_rejections(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "ANSWERS", sql.ANSWERS.replace("LIMIT ?", "LIMIT ? - 1"))


def forgets_what_was_not_confirmed(patch: pytest.MonkeyPatch) -> None:
    step = Acks.step

    def once(self: Acks, db: Any) -> Any:
        for outgoing in list(step(self, db)):
            self._messages.clear()
            yield outgoing

    patch.setattr(Acks, "step", once)


def posts_every_reversal(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reversals, "taken_back", lambda *_: False)
    patch.setattr(Reversals, "turn", lambda _self, _db, event: Verdict(Turn.POST, event))


def forgets_what_was_voided(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "VOIDED_BY_REVERSAL", sql.VOIDED_BY_REVERSAL + " AND 1 = 0")


def forgets_what_stood_before_a_voided_number(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Effects, "_voided", _voids_alone)


def _voids_alone(self: Effects, db: Db, source: Source, event: Event) -> None:
    said = event.data["voided"]
    target = self._of_same_agent(db, source, said["source"])
    self._holes.void(db, target, said["sequence"], said["sha256"], (source.number, event.sequence))


def prunes_what_is_on_its_way(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gaps, "_gone_up_to", lambda *_: HIGHEST)


def asks_for_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Gaps, "step", lambda self: iter(()))


def compares_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Snapshots, "_complete", lambda *_: True)


def publishes_per_snapshot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("edge_agent_receiver.discrepancies.Finding.says_more_than", lambda *_: True)


def counts_no_lot(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sql, "NEW_MOVE", sql.NEW_MOVE.replace("(?, ?, ?, ?, ?,", "(?, ?, ?, ?, substr(?, 9),"))


CAUGHT: dict[Planted, Scenario] = {
    forgets_deduplication: test_inbox_once.test_events_are_posted_once_and_in_order,
    posts_out_of_order: test_inbox_once.test_a_late_event_is_waited_for,
    asks_for_nothing: test_inbox_once.test_a_missing_last_event_is_known_from_the_heartbeat,
    skips_the_chain: test_inbox_chain.test_a_changed_event_is_healed_before_it_is_posted,
    posts_unproven: test_inbox_chain.test_nothing_is_posted_before_it_is_proven,
    replaces_what_is_posted: test_inbox_chain.test_a_change_known_too_late_says_what_was_posted_and_what_is_right,
    posts_before_recording: test_inbox_answers.test_a_crash_between_post_and_its_record_offers_the_event_again_as_such,
    offers_no_rejection_again: test_inbox_answers.test_the_agents_retry_is_offered_again,
    covers_rejections: test_inbox_answers.test_more_rejections_than_a_message_holds_are_never_covered_by_up_to,
    forgets_what_was_not_confirmed: test_inbox_answers.test_lost_answers_are_sent_again_unchanged_until_confirmed,
    posts_every_reversal: test_inbox_reversals.test_the_original_was_rejected_so_nothing_is_posted,
    forgets_what_was_voided: test_inbox_reversals.test_the_original_was_voided_by_the_agent_and_comes_later,
    forgets_what_stood_before_a_voided_number: test_inbox_holes.test_a_change_before_a_voided_number_is_known,
    prunes_what_is_on_its_way: test_inbox_holes.test_what_is_not_brought_to_the_broker_yet_is_not_pruned,
    compares_at_once: test_inbox_snapshots.test_it_is_compared_at_the_watermark_whatever_comes_before_and_after,
    publishes_per_snapshot: test_inbox_snapshots.test_a_difference_is_published_once_per_change_and_closed,
    counts_no_lot: test_inbox_snapshots.test_figures_agree,
}
_PROVING = {skips_the_chain, posts_unproven}


@pytest.mark.parametrize("planted", CAUGHT, ids=lambda planted: planted.__name__)
def test_a_planted_bug_is_caught(
    store: Store, log: AgentLog, monkeypatch: pytest.MonkeyPatch, planted: Planted
) -> None:
    planted(monkeypatch)

    with pytest.raises((AssertionError, KeyError, ValueError)):
        CAUGHT[planted](Plant(store, log, prove=planted in _PROVING), log)


def test_a_forgotten_overlap_is_caught(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "OVERLAPPING", sql.OVERLAPPING.replace("WHERE", "WHERE 1 = 0 AND"))
    old, new = AgentLog(store="old"), AgentLog(store="new")
    plant = Plant(store, old, new)
    plant.deliver(test_inbox_positions._span(old, 0, 100), test_inbox_positions._span(old, 100, 200))
    plant.settle(3)

    with pytest.raises(AssertionError):
        test_inbox_positions.test_what_another_store_holds_is_not_posted_again(plant, new)
