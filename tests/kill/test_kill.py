"""kill -9 at named points and at random instants: nothing lost, nothing doubled, whatever the instant.

Real simulator, real broker, real MES, each in its own process. The planted bugs must be caught by the same checks.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kill.harness import POINTS, duplicates, plant, some_hit, violations

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TIMES = 3
RANDOM_KILLS = 36


async def test_killed_at_every_named_point(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    chance = random.Random(20)
    async with plant(tmp_path, seed=3) as made:
        for _ in range(TIMES):
            for point in POINTS:
                hit = 1 if "acknowledge" in point else some_hit(chance, point)
                assert await made.kill_at(point, hit), (point, made.log())
        await made.settle()
        assert await violations(made, replays_allowed=False) == []
        assert await duplicates(made) >= 1
        assert all(made.hits[point] >= TIMES for point in POINTS)
        record_property("kills per named point", str(dict(made.hits)))
        record_property("byte-identical duplicates", await duplicates(made))


async def test_killed_at_random_instants_with_the_broker_away_in_some(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(21)
    async with plant(tmp_path, seed=4) as made:
        for kill in range(RANDOM_KILLS):
            away = kill % 6 == 5
            if away:
                await made.broker_away(away=True)
            await made.kill_after(chance.uniform(0.05, 2.5))
            if away:
                await made.broker_away(away=False)
        await made.settle()
        assert await violations(made, replays_allowed=True) == []
        assert made.hits["random"] == RANDOM_KILLS
        record_property("random kills", made.hits["random"])
        record_property("byte-identical duplicates", await duplicates(made))


@pytest.mark.parametrize("bug", ["acknowledge-before-commit", "baseline-apart", "marked-before-puback"])
async def test_a_planted_bug_is_caught(tmp_path: Path, bug: str) -> None:
    async with plant(tmp_path, seed=5) as made:
        for hit in (1, 2, 1):
            assert await made.kill_at("planted", hit, bug=bug), made.log()
        await made.settle(bug)
        assert await violations(made, replays_allowed=False) != []
