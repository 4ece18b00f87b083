"""The demo's comparison: what counts as agreement, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from edge_agent.demo.compare import Doubt, Fault, Hole, disagreements

T0 = datetime(2026, 3, 2, 8, tzinfo=UTC)
KEY = "produced/900001/A1/L3-OUT"


def totals(quantity: int) -> dict[str, Decimal]:
    return {KEY: Decimal(quantity)}


def doubt(truth: int, since: int = 0, until: int = 5) -> Doubt:
    return Doubt("bottles_made", {KEY: Decimal(truth)}, T0 + timedelta(seconds=since), T0 + timedelta(seconds=until))


def fault(since: int = 1, until: int = 3, key: str = KEY) -> Fault:
    return Fault(frozenset({key}), T0 + timedelta(seconds=since), T0 + timedelta(seconds=until))


def test_equal_figures_agree() -> None:
    assert disagreements(totals(7), totals(7), totals(7), reviews=[], gaps=[], faults=[]) == []


def test_a_missing_key_counts_as_zero() -> None:
    assert disagreements(totals(0), {}, {}, reviews=[], gaps=[], faults=[]) == []


def test_booked_and_received_must_be_equal_even_where_a_gap_would_allow_the_difference() -> None:
    gap = Hole(KEY, Decimal(0), None)
    assert len(disagreements(totals(7), totals(6), totals(7), reviews=[], gaps=[gap], faults=[])) == 1


def test_what_is_missing_must_lie_within_the_gaps() -> None:
    gaps = [Hole(KEY, Decimal(0), Decimal(2)), Hole(KEY, Decimal(1), Decimal(3))]
    for missing, agrees in ((0, False), (1, True), (5, True), (6, False), (-1, False)):
        wrong = disagreements(totals(20), totals(20 - missing), totals(20 - missing), reviews=[], gaps=gaps, faults=[])
        assert (wrong == []) is agrees, missing


def test_an_unbounded_gap_allows_any_loss_but_no_surplus() -> None:
    gaps = [Hole(KEY, Decimal(0), None)]
    assert disagreements(totals(20), {}, {}, reviews=[], gaps=gaps, faults=[]) == []
    assert disagreements(totals(20), totals(21), totals(21), reviews=[], gaps=gaps, faults=[]) != []


def test_a_review_accounts_for_its_truth_and_needs_a_fault_of_its_own() -> None:
    reviews = [doubt(3), doubt(4, 10, 15)]
    both = [fault(), fault(11, 12)]
    assert disagreements(totals(17), totals(10), totals(10), reviews=reviews, gaps=[], faults=both) == []
    unexplained = disagreements(totals(17), totals(10), totals(10), reviews=reviews, gaps=[], faults=both[:1])
    assert len(unexplained) == 1
    other_key = [fault(), fault(11, 12, "consumed/300017/A1/L3-HOPPER")]
    assert len(disagreements(totals(17), totals(10), totals(10), reviews=reviews, gaps=[], faults=other_key)) == 1
