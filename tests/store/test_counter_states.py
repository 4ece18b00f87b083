"""What counters of every kind remember comes back from the store as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from edge_agent.model.movement import Evidence, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import Beyond, CounterState, FinalTotal, Hold, Second, Stop
from edge_agent.model.state import RuleState, State
from edge_agent.store.checkpoint import decoded, rows

NOON = datetime(2026, 3, 2, 11, tzinfo=UTC)
AT = Instant(NOON, 10**12, "boot")
PLAIN = CounterState(3, -100, -40, 0, AT, NOON)
HELD = Hold(AT, -45, -41, AT, NOON, NOON, Decimal("0.5"), 2, left=True, began=AT, sure=False, continuous=True)


@pytest.mark.parametrize(
    "state",
    [
        PLAIN,
        CounterState(3, 0, 999, 0, AT, NOON, stop=Stop(AT, NOON)),
        CounterState(3, 0, 5, 0, AT, NOON, final=FinalTotal(4711, NOON, AT)),
        CounterState(3, 0, 5, 0, AT, NOON, final=FinalTotal(4711)),
        CounterState(3, 0, 5, 0, AT, NOON, second=Second(Decimal("12.50"), AT, None, Decimal("0.1"), NOON, 7)),
        CounterState(3, 0, 5, 0, AT, NOON, beyond=Beyond(-3, 10_135, None, sure=True)),
        CounterState(4, -100, -40, 0, AT, NOON, ("order", "day"), True, 1, False, HELD, NOON, back=True),
    ],
    ids=["plain", "stopped", "new total", "old total", "second", "beyond", "back"],
)
def test_a_counters_state_comes_back(state: CounterState) -> None:
    before = RuleState(state, (), 5)
    ((kind, name, body, _),) = rows(State(rules={"count": before}))
    assert (kind, name) == ("rule", "count")
    assert decoded(kind, body) == before


def test_what_waits_comes_back() -> None:
    waiting = Evidence(3, -60, -40, NOON, NOON, 7, "60", "40", (0, 1), (Flag.SPANNED_OUTAGE,))
    before = RuleState(PLAIN, (), 5, uncounted=waiting)
    ((kind, _, body, _),) = rows(State(rules={"count": before}))
    assert decoded(kind, body) == before


def test_a_state_of_before_is_read() -> None:
    """A store written by a version that knew plain counters only."""
    ((kind, _, body, _),) = rows(State(rules={"count": RuleState(PLAIN)}))
    for key in ("due", "stop", "final", "second"):
        assert f'"{key}":null' in body
        body = body.replace(f',"{key}":null', "")
    assert '"back":false' in body
    assert decoded(kind, body.replace(',"back":false', "")) == RuleState(PLAIN)
