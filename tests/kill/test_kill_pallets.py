"""kill -9 at named points while pallets are confirmed in bits and by a ring, over OPC UA, by programs of docs/plc."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kill.harness import POINTS, some_hit
from tests.kill.pallet_site import pallet_site, pallet_violations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TIMES = 3
KINDS = pytest.mark.parametrize("kind", ["bits", "ring"])


@KINDS
async def test_every_pallet_is_booked_once_whenever_the_agent_is_killed(
    tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(22)
    async with pallet_site(tmp_path, kind) as made:
        for turn in range(TIMES):
            for point in POINTS:
                hit = turn + 1 if "acknowledge" in point else some_hit(chance, point)
                assert await made.kill_at(point, hit), (point, made.log())
        await made.settle()
        assert await pallet_violations(made) == []
        assert len(made.plc.moved) > TIMES * len(POINTS)
        assert all(made.hits[point] >= TIMES for point in POINTS)
        record_property("kills per named point", str(dict(made.hits)))
        record_property("pallets", len(made.plc.moved))


@KINDS
async def test_an_acknowledgement_before_the_commit_is_caught(tmp_path: Path, kind: str) -> None:
    async with pallet_site(tmp_path, kind) as made:
        for hit in (1, 2, 1):
            assert await made.kill_at("planted", hit, bug="acknowledge-before-commit"), made.log()
        await made.settle()
        wrong = await pallet_violations(made)
        assert [one for one in wrong if "in 0 events" in one], wrong
