"""A short hard shift; `make shift` runs the long one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.hard_shift import WRONG, plant, run, verdict

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


async def test_everything_goes_wrong_once_and_the_figures_are_exact(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with plant(tmp_path, seed=11) as shift:
        await run(shift, 60)
        wrong, figures = await verdict(shift)
    assert wrong == []
    assert figures["did"] == [one.__name__ for one in WRONG]
    record_property("units made", str(sum(float(made) for made in figures["made"].values())))
    record_property("agent after the first fifth and at the end", f"{figures['first']} {figures['last']}")
