"""Eight hours of the line on a virtual clock: exact to the unit, through every kind of fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.derivation import confirmed
from edge_agent.model.outcome import Outcome
from edge_agent.store.reader import open_reader
from edge_agent_simulators.faults import Kind
from edge_agent_simulators.ledger import PALLETS, key_of
from tests.system.exactness import disagreements
from tests.system.virtual_plant import DATABASE, VirtualPlant, virtual_plant

SHIFT = timedelta(hours=8)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_shift_of_eight_hours_is_exact(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    async with virtual_plant(tmp_path, seed=7, duration=SHIFT) as plant:
        plant.line.start()
        await plant.run(SHIFT)
        await plant.finish()

        assert _wrong(plant, tmp_path) == []
        happened = Counter(fault.kind for fault in plant.line.faults)
        assert set(happened) == set(Kind), "the script must bring every kind of fault"
        stats = plant.inbox.stats()
        assert not stats["conflicts"]
        assert not stats["malformed"]
        assert all(not one["gaps"] and not one["chain_breaks"] for one in stats["sources"].values())
        record_property("faults in a virtual shift", str({str(kind): number for kind, number in happened.items()}))
        record_property("units of the line", str(sum(int(units) for units in plant.line.totals().values())))


async def test_half_an_hour_is_exact_whatever_the_seed(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        folder = tmp_path / str(seed)
        folder.mkdir()
        async with virtual_plant(folder, seed=seed, duration=timedelta(minutes=30)) as plant:
            plant.line.start()
            await plant.run(timedelta(minutes=30))
            await plant.finish()
            assert _wrong(plant, folder) == [], seed


async def _forgetful_shift(plant: VirtualPlant) -> None:
    """Two restarts that forget the count of pallets, the first with one nobody was shown; and one that does not."""
    plant.line.start()
    for forgets, sends in ((True, True), (True, False), (False, False)):
        await plant.run(timedelta(minutes=2))
        if sends:
            assert plant.line.send_partial()
        plant.line.inject_restart(Kind.PLC_RESTART, 60, forgets=forgets)
    await plant.run(timedelta(minutes=1))
    await plant.finish()


async def test_a_restart_that_forgets_its_count_is_a_gap_and_no_other_is(tmp_path: Path) -> None:
    async with virtual_plant(tmp_path, seed=5, duration=timedelta(minutes=30)) as plant:
        await _forgetful_shift(plant)
        assert _wrong(plant, tmp_path) == []
        caused = [fault for fault in plant.line.faults if key_of(PALLETS, "") in fault.gaps]
        lost = plant.line.totals()[key_of(PALLETS, "")] - plant.inbox.totals()[key_of(PALLETS, "")]
        assert lost == sum(fault.unseen for fault in caused) > 0
        with open_reader(tmp_path / DATABASE) as reader:
            gaps = [gap for gap in reader.gaps() if gap["rule"] == "pallet_out"]
            assert [gap for gap in gaps if gap["max"] is not None] == []
        assert len(gaps) == len(caused) == 2


async def test_a_restart_that_is_no_gap_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirmed, "_with_gap", lambda verdict, _gap: verdict)
    async with virtual_plant(tmp_path, seed=5, duration=timedelta(minutes=30)) as plant:
        await _forgetful_shift(plant)
        assert [one for one in _wrong(plant, tmp_path) if key_of(PALLETS, "") in one] != []


@pytest.mark.parametrize("bug", ["a delta is booked twice", "a cut is lost"])
async def test_a_planted_bug_is_caught(tmp_path: Path, bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with virtual_plant(tmp_path, seed=5, duration=timedelta(minutes=10)) as plant:
        fold = plant.pipeline._engine.fold
        planted: list[str] = []

        def wrong_fold(state: object, inputs: object) -> Outcome:
            outcome = fold(state, inputs)  # type: ignore[arg-type]  # passed through as it came
            for place, draft in enumerate(outcome.events):
                if draft.lines and not planted:
                    planted.append(bug)
                    times = 2 if bug.startswith("a delta") else 0
                    lines = tuple(replace(line, quantity=times * line.quantity) for line in draft.lines)
                    outcome.events[place] = replace(draft, lines=lines)
            return outcome

        plant.line.start()
        await plant.run(timedelta(minutes=2))
        monkeypatch.setattr(plant.pipeline._engine, "fold", wrong_fold)
        await plant.run(timedelta(minutes=8))
        await plant.finish()
        assert planted
        assert _wrong(plant, tmp_path) != []


def _wrong(plant: VirtualPlant, directory: Path) -> list[str]:
    line = plant.line
    return disagreements(
        directory / DATABASE, line.totals(), plant.inbox.totals(), truth=line.truth, faults=line.faults
    )
