"""A month of a historian's minutes, and the same bytes whenever it is derived."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.view import view
from tests.workbench.recordings import MAP, NOON, Line, at, derived, read, short, text_of

_MINUTES = 30 * 24 * 60
_RULE = """
  counted_{number}:
    event: consumed
    material: "300017"
    from: L3-HOPPER
    order: filler.order_no
    counter: {{tag: filler.total_{number}, wraps_at: 4294967296, max_rate: 25 pcs/s}}"""


def _ten_counters(folder: Path) -> Path:
    text = MAP.read_text(encoding="utf-8")
    tags = "".join(
        f'\n    total_{number}: {{node: "nsu={{pv}};s=::Total{number}", type: uint32, unit: pcs}}'
        for number in range(9)
    )
    rules = "".join(_RULE.format(number=number) for number in range(9))
    text = text.replace("send: every 5 s", "send: every 15 min")
    text = text.replace("tags:\n  filler:", f"tags:\n  filler:{tags}").replace("movements:", f"movements:{rules}")
    path = folder / "ten.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _month(made: dict[str, dict[str, int]]) -> Iterator[Line]:
    """Nine counters and an order that changes every eight hours at a standstill; what ran is added to `made`."""
    chance = random.Random(11)
    shown = [chance.randrange(1 << 31) for _ in range(9)]
    for minute in range(_MINUTES):
        stamp = (NOON + timedelta(minutes=minute)).isoformat()
        order = str(4711 + minute // 480)
        yield {"t": stamp, "tag": "filler.order_no", "v": order}
        for number in range(9):
            ran = chance.randrange(1500) if minute % 480 not in (0, 1) else 0
            shown[number] += ran
            by_order = made.setdefault(f"counted_{number}", {})
            by_order[order] = by_order.get(order, 0) + ran
            yield {"t": stamp, "tag": f"filler.total_{number}", "v": shown[number]}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_month_of_minutes_is_derived_to_the_unit(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    made: dict[str, dict[str, int]] = {}
    path = tmp_path / "month.jsonl"
    path.write_text(text_of(_month(made)), encoding="utf-8")
    tag_map = load_map([_ten_counters(tmp_path)])

    began = time.monotonic()
    recording = load_recording(path, tag_map)
    read_in = time.monotonic()
    movements = view(tag_map, derive(tag_map, recording.deliveries))
    record_property(
        f"{recording.lines:,} lines", f"read {read_in - began:.1f} s, derived {time.monotonic() - read_in:.1f} s"
    )

    for name, by_order in made.items():
        assert {order: int(quantity) for order, quantity in movements[name].booked.items()} == by_order
        assert movements[name].review == ()
        assert movements[name].gaps == ()


def _shift() -> list[Line]:
    """Something of everything."""
    lost = [
        at(30, source="filler", state="lost"),
        at(40, source="filler", state="up", start_time="2026-03-02T11:00:35Z"),
    ]
    return [
        *(read(0, "order_no", "4711"), read(0, "bottles_out", 100), read(0, "preforms_in", 65_530)),
        *(read(1, "preforms_in", 12), read(2, "bottles_out", 0), read(3, "bottles_out", 124)),
        *(read(10, "pal_seq", 1), read(10, "pal_ack", 0), read(10, "pal_cases", 4), read(10, "pal_sscc", "A")),
        *lost,
        *(read(40, "bottles_out", 3), read(41, "preforms_in", 200), read(60, "order_no", "4712")),
        *(read(90, "preforms_in", 700), read(90, "pal_sscc", "B"), read(90, "pal_seq", 3)),
    ]


def _printed(*arguments: object, seed: int) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *map(str, arguments)],
        env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_the_same_recording_is_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "shift.jsonl"
    path.write_text(text_of(_shift()), encoding="utf-8")

    told = [_printed("derive", MAP, path, "--json", seed=seed) for seed in (1, 2)]

    assert told[0] == told[1]
    found: dict[str, Any] = json.loads(told[0])
    assert list(found) == ["preforms_used", "bottles_made", "pallet_out"]
    assert set(found["pallet_out"]) == {"unit", "booked", "review", "excluded", "gaps", "exceptions"}


@settings(max_examples=25)
@given(data=st.data())
def test_the_order_of_a_line_s_keys_says_nothing(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, lines = tmp_path_factory.mktemp("turned"), _shift()
    turned = [dict(data.draw(st.permutations([*line.items()]))) for line in lines]

    assert derived(folder, lines) == derived(folder, turned)


def test_the_shift_comes_to_what_happened(tmp_path: Path) -> None:
    found = short(derived(tmp_path, _shift()))

    assert found["bottles_made"]["booked"] == {"4711": "27"}  # 24, and 3 since the restart
    assert found["bottles_made"]["gaps"] == [["0", "927"]]
    assert found["preforms_used"]["booked"]["4711"] == "18"
    assert found["pallet_out"]["booked"] == {"": "192"}
    assert found["pallet_out"]["gaps"] == [["0", None]]
