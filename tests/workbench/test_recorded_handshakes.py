"""Handshakes of recordings: blocks as `record` keeps them, and plain readings as a historian exports them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.workbench.recordings import MAP, Line, at, derived, read, short

AT_REST = [read(0, "pal_seq", 5), read(0, "pal_ack", 5), read(0, "pal_cases", 40), read(0, "pal_sscc", "P5")]


def pallet(second: float, number: int, cases: int, sscc: str) -> list[Line]:
    """What a PLC writes, the trigger where the alphabet puts it."""
    return [
        read(second, "pal_cases", cases),
        read(second, "pal_seq", number),
        read(second, "pal_sscc", sscc),
    ]


def block(second: float, number: int, acknowledged: int | None, cases: Any, sscc: str) -> Line:
    values = {"filler.pal_cases": cases, "filler.pal_sscc": sscc}
    return at(second, block="pallet_out", number=number, acknowledged=acknowledged, values=values)


def found(folder: Path, lines: list[Line]) -> Any:
    return short(derived(folder, lines)).get("pallet_out", {})


def test_what_was_acknowledged_before_we_looked_is_where_we_begin(tmp_path: Path) -> None:
    assert found(tmp_path, AT_REST) == {}


def test_each_new_number_is_a_pallet(tmp_path: Path) -> None:
    lines = [
        *AT_REST,
        *pallet(10, 6, 40, "P6"),
        read(11, "pal_ack", 6),
        *pallet(50, 7, 12, "P7"),
        read(51, "pal_ack", 7),
    ]

    assert found(tmp_path, lines) == {"booked": {"": str(52 * 24)}}


def test_a_pallet_that_waited_for_its_answer_when_recording_began_is_booked(tmp_path: Path) -> None:
    assert found(tmp_path, [read(0, "pal_ack", 5), *pallet(0, 6, 40, "P6")]) == {"booked": {"": "960"}}


def test_the_answer_may_be_recorded_later_than_the_number(tmp_path: Path) -> None:
    assert found(tmp_path, [*pallet(0, 6, 40, "P6"), read(1, "pal_ack", 5)]) == {"booked": {"": "960"}}
    assert found(tmp_path, [*pallet(0, 6, 40, "P6"), read(1, "pal_ack", 6)]) == {}


def test_without_the_answers_the_plc_s_going_on_tells_of_them(tmp_path: Path) -> None:
    lines = [*pallet(0, 5, 40, "P5"), *pallet(10, 6, 40, "P6"), *pallet(20, 7, 12, "P7")]

    assert found(tmp_path, lines) == {"booked": {"": str(52 * 24)}}


def test_a_number_that_is_read_again_every_minute_is_one_pallet(tmp_path: Path) -> None:
    polled = [
        line for second in range(60, 600, 60) for line in (*pallet(second, 6, 40, "P6"), read(second, "pal_ack", 6))
    ]

    assert found(tmp_path, [*AT_REST, *pallet(10, 6, 40, "P6"), *polled]) == {"booked": {"": "960"}}


def test_a_new_session_shows_the_same_pallet(tmp_path: Path) -> None:
    again = [at(20, source="filler", state="lost"), at(30, source="filler", state="up"), *pallet(30, 6, 40, "P6")]

    assert found(tmp_path, [*AT_REST, *pallet(10, 6, 40, "P6"), *again]) == {"booked": {"": "960"}}


def test_a_skipped_number_is_a_gap(tmp_path: Path) -> None:
    assert found(tmp_path, [*AT_REST, *pallet(10, 8, 40, "P8")]) == {"booked": {"": "960"}, "gaps": [["0", None]]}


def test_a_quantity_that_could_not_be_read_is_for_a_person(tmp_path: Path) -> None:
    lines = [*AT_REST, read(9, "pal_cases", None), read(9, "pal_sscc", "P6"), read(10, "pal_seq", 6)]

    assert found(tmp_path, lines) == {"review": [["0"]]}


def test_recorded_blocks_are_what_counts_and_readings_beside_them_do_not_double_them(tmp_path: Path) -> None:
    lines = [
        *(*AT_REST, block(0, 5, 5, 40, "P5")),
        *(*pallet(10, 6, 40, "P6"), block(10.1, 6, 5, 40, "P6"), at(10.2, released="pallet_out", number=6)),
        *(read(10.3, "pal_ack", 6), *pallet(20, 7, 41, "P7"), block(20.1, 7, 6, {"v": 41, "q": "good"}, "P7")),
    ]

    assert found(tmp_path, lines) == {"booked": {"": str(81 * 24)}}


def test_blocks_of_a_renamed_rule_are_its_heir_s(tmp_path: Path) -> None:
    text = MAP.read_text(encoding="utf-8").replace("  pallet_out:\n", "  pallets:\n    was: pallet_out\n")
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text(text, encoding="utf-8")

    told = short(derived(tmp_path, [block(0, 5, 5, 40, "P5"), block(9, 6, 5, 40, "P6")], renamed))

    assert told == {"pallets": {"booked": {"": "960"}}}


@pytest.mark.parametrize("acknowledged", [5, None])
def test_a_block_without_a_readable_answer_is_none(tmp_path: Path, acknowledged: int | None) -> None:
    lines = [block(0, 5, 5, 40, "P5"), block(9, 6, acknowledged, 40, "P6")]

    assert found(tmp_path, lines) == ({} if acknowledged is None else {"booked": {"": "960"}})
