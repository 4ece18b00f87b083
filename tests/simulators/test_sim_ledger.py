"""The ledger answers exactly what was counted between two instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent_simulators.ledger import BOTTLES, PALLETS, Ledger, key_of

AT = datetime(2026, 3, 1, tzinfo=UTC)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 3)), max_size=60),
    st.integers(-5, 200),
    st.integers(-5, 200),
)
def test_truth_is_what_was_counted_after_the_one_and_not_after_the_other(
    units: list[tuple[str, int, int]], since: int, until: int
) -> None:
    ledger = Ledger()
    moment, entries = 0, []
    for key, count, pause in units:
        moment += pause
        entries.append((key, count, moment))
        ledger.count(key, count, AT + timedelta(microseconds=moment))
    since, until = min(since, until), max(since, until)
    bounds = (AT + timedelta(microseconds=since), AT + timedelta(microseconds=until))
    for key in "abc":
        assert ledger.truth(key, *bounds) == sum(n for k, n, at in entries if k == key and since < at <= until)
    totals = ledger.totals()
    assert all(totals[key] == sum(n for k, n, _ in entries if k == key) for key in totals)
    assert set(totals) == {key for key, _, _ in entries}


def test_keys_are_event_material_order_location() -> None:
    assert key_of(BOTTLES, "4711") == "produced/900001/4711/L3-OUT"
    assert key_of(PALLETS, "") == "moved/900001//L3-OUT"


def test_time_never_goes_back() -> None:
    ledger = Ledger()
    ledger.count("a", 1, AT)
    ledger.count("a", 1, AT)
    with pytest.raises(ValueError, match="before the last unit"):
        ledger.count("a", 1, AT - timedelta(microseconds=1))
    assert ledger.totals() == {"a": Decimal(2)}
