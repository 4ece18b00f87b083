"""The shipped recording is the simulated line's, its cases pass, and the line's own ledger agrees with them."""

from __future__ import annotations

from decimal import Decimal

from edge_agent.workbench.cases import load_cases
from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.testing import run
from edge_agent.workbench.view import Movement, view
from tests.workbench.example import SHIPPED, recorded
from tests.workbench.recordings import MAP

_EVENTS = {"preforms_used": "consumed", "bottles_made": "produced", "pallet_out": "moved"}


def test_the_shipped_recording_is_the_line_s_own() -> None:
    """`python -m tests.workbench.example` writes it anew."""
    assert SHIPPED.read_text(encoding="utf-8") == recorded()[1]


def test_the_shipped_cases_pass() -> None:
    report = run(load_cases([SHIPPED.parent]))

    assert [str(failure) for verdict in report.verdicts for failure in verdict.failures] == []
    assert len(report.verdicts) > 10


def test_every_piece_of_the_line_s_ledger_is_booked_in_review_or_in_a_gap() -> None:
    line, _ = recorded()
    tag_map = load_map([MAP])
    found = view(tag_map, derive(tag_map, load_recording(SHIPPED, tag_map).deliveries))

    for name, movement in found.items():
        made = sum(
            (quantity for key, quantity in line.totals().items() if key.startswith(f"{_EVENTS[name]}/")), Decimal(0)
        )
        booked = sum(movement.booked.values(), Decimal(0))
        assert booked <= made <= booked + _open(movement), name
    assert found["preforms_used"].review == found["pallet_out"].review == ()
    assert found["preforms_used"].gaps == found["pallet_out"].gaps == ()


def _open(movement: Movement) -> Decimal:
    """The most that was neither booked nor left out."""
    reviews = sum((doubt.candidates[-1] for doubt in movement.review), Decimal(0))
    return reviews + sum((high for _, high in movement.bounds if high is not None), Decimal(0))
