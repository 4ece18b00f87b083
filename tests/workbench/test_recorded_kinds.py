"""Signals of other kinds in plain readings: handshakes in bits, and counters that run back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.view import view
from tests.workbench.recordings import MAP

LINE = MAP.read_text("utf-8")
BITS = (
    LINE.replace('s=::Pal.Seq",       type: uint32', 's=::Pal.Seq",       type: bool')
    .replace('s=::Pal.Ack",       type: uint32', 's=::Pal.Ack",       type: bool')
    .replace("handshake: {trigger", "handshake: {kind: bits, trigger")
)
COUNTER = "counter: {tag: filler.preforms_in, "


def booked(folder: Path, tag_map: str, lines: Sequence[tuple[float, str, object]]) -> dict[str, Any]:
    (folder / "map.yaml").write_text(tag_map, encoding="utf-8")
    stamp = "2026-03-02T11:00:{:06.3f}Z"
    shown = [
        f'{{"t": "{stamp.format(t)}", "tag": "filler.{tag}", "v": {str(v).lower() if isinstance(v, bool) else v}}}\n'
        for t, tag, v in lines
    ]
    (folder / "taken.jsonl").write_text("".join(shown), encoding="utf-8")
    checked = load_map([folder / "map.yaml"])
    movements = view(checked, derive(checked, load_recording(folder / "taken.jsonl", checked).deliveries))
    return {name: one.as_json() for name, one in movements.items()}


def pallet(second: float, cases: int, sscc: str) -> list[tuple[float, str, object]]:
    """The request rises with its block, our bit follows, both go."""
    return [
        (second, "pal_cases", cases),
        (second, "pal_sscc", f'"{sscc}"'),
        (second, "pal_seq", True),
        (second + 0.2, "pal_ack", True),
        (second + 0.4, "pal_seq", False),
        (second + 0.6, "pal_ack", False),
    ]


AT_REST: list[tuple[float, str, object]] = [(0, "pal_seq", False), (0, "pal_ack", False)]


def test_each_request_in_bits_is_a_pallet(tmp_path: Path) -> None:
    found = booked(tmp_path, BITS, [*AT_REST, *pallet(1, 40, "P1"), *pallet(5, 12, "P2"), *pallet(9, 12, "P3")])

    assert (found["pallet_out"]["booked"], found["pallet_out"]["review"]) == ({"": str(64 * 24)}, [])


def test_a_request_that_is_seen_again_and_again_is_one_pallet(tmp_path: Path) -> None:
    again = [(t, "pal_seq", True) for t in (1.05, 1.1, 1.15)]

    found = booked(tmp_path, BITS, [*AT_REST, *sorted([*pallet(1, 40, "P1"), *again], key=lambda line: line[0])])

    assert found["pallet_out"]["booked"] == {"": "960"}


def test_without_our_bit_each_request_counts_once_too(tmp_path: Path) -> None:
    lines = [line for line in (*AT_REST, *pallet(1, 40, "P1"), *pallet(5, 12, "P2")) if line[1] != "pal_ack"]

    assert booked(tmp_path, BITS, lines)["pallet_out"]["booked"] == {"": str(52 * 24)}


def test_what_runs_back_is_taken_from_what_ran(tmp_path: Path) -> None:
    both_ways = LINE.replace(f"{COUNTER}wraps_at: 65536,", f"{COUNTER}direction: up-down,")
    ran = [(float(second), "preforms_in", value) for second, value in enumerate((100, 120, 140, 130, 115, 135))]

    found = booked(tmp_path, both_ways, [(0, "order_no", '"A"'), *ran])

    assert (found["preforms_used"]["booked"], found["preforms_used"]["review"]) == ({"A": "35"}, [])
