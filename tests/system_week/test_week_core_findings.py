"""What the week has found in the agent's core, each in its smallest form."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from edge_agent.config.tagmap import Cadence
from edge_agent.derivation.entering import RULE
from edge_agent.derivation.restored import decided
from edge_agent.model.event import Entered, Entry
from edge_agent.model.movement import EventType
from edge_agent.model.signal_state import CounterState, HandshakeState
from edge_agent.model.state import EPOCH_LEAP
from tests.derivation.plant import AT_ONCE, Bench, counter, handshake
from tests.system_week.folder import in_memory
from tests.system_week.script import MONDAY, Scenario, local
from tests.system_week.verdict import Allowed, wrong


def test_entries_after_a_restore_have_places_of_their_own() -> None:
    """Receivers hold the lost store's entries by their positions: what is entered since was taken for those."""
    bench = Bench(handshake(cadence=replace(AT_ONCE, accepted_by=("mes",))))
    bench.feed(_entered(bench, "form-1"))
    state = bench.state.rules[RULE]
    assert isinstance(state.signal, HandshakeState)
    bench.state.rules[RULE] = replace(state, signal=replace(state.signal, restored=True))
    bench.feed(_entered(bench, "form-2")).feed(_entered(bench, "form-3"))
    proofs = [event.lines[0].evidence for event in bench.material_events()]
    assert [(proof.epoch, proof.from_position) for proof in proofs] == [
        (1, 0),
        (1 + EPOCH_LEAP, 1),
        (1 + EPOCH_LEAP, 2),
    ]
    marks = bench.journal.epochs
    assert [(one.first_raw, one.last_raw) for one in (marks[RULE, 1], marks[RULE, 1 + EPOCH_LEAP])] == [(0, 1), (1, 3)]


def _entered(bench: Bench, form: str) -> Entered:
    entry = Entry(form, "A. Kern", "dropped", bench.now.wall)
    return Entered(entry, EventType.SCRAPPED, "900001", Decimal(3), "pcs", bench.now, order="A", from_="L3-OUT")


@pytest.mark.parametrize(("hours", "certain"), [(0.5, True), (2, False)])
def test_where_a_whole_turn_more_fits_a_statement_decides_nothing(hours: float, certain: bool) -> None:
    """65,536 at 25 a second take 44 minutes: after that the value shown says nothing of how often it came round."""
    cadence = Cadence("packaging", timedelta(minutes=1), "routine", accepted_by=("erp",))
    bench = Bench(counter(cadence=cadence)).read(100)
    state = bench.state.rules["u16"]
    assert isinstance(state.signal, CounterState)
    bench.state.rules["u16"] = replace(state, signal=replace(state.signal, restored=True, outage=True))
    bench.after(hours * 3600).read(9_000)
    (review,) = bench.journal.reviews.values()
    decision = decided(review, bench.map.rules["u16"], {"erp": {("u16", 1): 5_000}}, bench.now.wall)
    assert (decision is not None) == certain
    assert decision is None or decision.quantity == 4_000


Restore = tuple[str, str, int]
"""When the disk is lost, when the agent is back, and on which backup."""


@pytest.mark.parametrize(
    ("backups", "restores"),
    [
        (("06:57", "08:37"), (("07:40", "07:50", 0), ("09:20", "09:30", 1))),
        (("06:57",), (("07:40", "07:50", 0), ("09:20", "09:30", 0))),
    ],
    ids=["another backup", "the same backup"],
)
async def test_a_second_restore_is_as_exact_as_the_first(
    backups: tuple[str, ...], restores: tuple[Restore, ...]
) -> None:
    """A statement said after the first one is in the second backup, and says less than the lost store did since: what
    was pending in it was booked twice. Of the same backup restored again all that ran in between was."""
    with in_memory() as folder:
        day = Scenario(folder, 4, [(MONDAY, "4711")])
        for clock in backups:
            day.world.at(local(1, clock), day.back_up_agent)
        for lost, back, generation in restores:
            day.world.at(local(1, lost), day.lose_agent)
            day.world.at(local(1, back), day.restore_agent(generation))
        await day.world.start()
        try:
            await day.world.run(local(1, "10:30"))
            day.plant.held = True
            await day.world.run(local(1, "12:30"))
            assert day.restored == 2
            assert wrong(day.world, day.people, Allowed()) == []
        finally:
            await day.world.stop()
