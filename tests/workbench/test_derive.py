"""What is derived from recordings, told by what physically happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.workbench import deriving
from tests.workbench.recordings import MAP, at, derived, read, short

ORDER = read(0, "order_no", "4711")
BOOTED = "2026-03-01T05:00:00Z"
UP = at(0, source="filler", state="up", start_time=BOOTED)


def test_a_counter_that_shows_zero_for_a_moment_lost_nothing(tmp_path: Path) -> None:
    counts = (500_000, 0, 500_012)
    lines = [ORDER, *(read(second, "bottles_out", count) for second, count in enumerate(counts))]

    assert short(derived(tmp_path, lines)) == {"bottles_made": {"booked": {"4711": "12"}}}


def test_a_zero_that_stays_is_for_a_person(tmp_path: Path) -> None:
    lines = [ORDER, read(0, "bottles_out", 500_000), read(60, "bottles_out", 0)]

    found = derived(tmp_path, lines)

    assert short(found) == {"bottles_made": {"review": [["0", "4294467296"]], "gaps": [["0", "1505"]]}}
    assert found["bottles_made"]["review"][0]["cause"] == "fell"
    assert [way["order"] for way in found["bottles_made"]["review"][0]["ways"]] == ["4711", "4711"]


def test_a_counter_of_16_bits_goes_round(tmp_path: Path) -> None:
    lines = [ORDER, read(0, "preforms_in", 65_530), read(2, "preforms_in", 4)]

    assert short(derived(tmp_path, lines)) == {"preforms_used": {"booked": {"4711": "10"}}}


def test_what_ran_while_nobody_looked_is_booked_once(tmp_path: Path) -> None:
    lost = [at(11, source="filler", state="lost"), at(70, source="filler", state="up", start_time=BOOTED)]
    lines = [UP, ORDER, read(0, "bottles_out", 100), read(10, "bottles_out", 300), *lost, read(71, "bottles_out", 1500)]

    assert short(derived(tmp_path, lines)) == {"bottles_made": {"booked": {"4711": "1400"}}}


def test_a_restart_of_the_plc_begins_a_new_count(tmp_path: Path) -> None:
    restarted = [
        at(11, source="filler", state="lost"),
        at(14, source="filler", state="up", start_time="2026-03-02T11:00:12Z"),
    ]
    lines = [UP, ORDER, read(0, "bottles_out", 5_000), *restarted, read(14, "bottles_out", 20)]

    found = short(derived(tmp_path, lines))

    assert found["bottles_made"]["booked"] == {"4711": "20"}
    assert found["bottles_made"]["gaps"] == [["0", "335"]]  # 25 a second for 14 s, and two samples of 100 ms, less 20


def test_the_first_reading_of_a_source_that_says_nothing_of_itself_is_no_sign_of_a_reset(tmp_path: Path) -> None:
    lines = [ORDER, read(0, "bottles_out", 40), read(1, "bottles_out", 50)]

    assert short(derived(tmp_path, lines)) == {"bottles_made": {"booked": {"4711": "10"}}}


def test_orders_keep_their_own(tmp_path: Path) -> None:
    lines = [
        *(ORDER, read(0, "bottles_out", 0), read(1, "bottles_out", 10), read(2, "order_no", "4712")),
        *(read(2, "bottles_out", 10), read(3, "bottles_out", 25)),
    ]

    assert short(derived(tmp_path, lines)) == {"bottles_made": {"booked": {"4711": "10", "4712": "15"}}}


def test_a_difference_over_a_change_of_order_is_for_a_person(tmp_path: Path) -> None:
    lines = [ORDER, read(0, "bottles_out", 0), read(30, "order_no", "4712"), read(60, "bottles_out", 600)]

    found = derived(tmp_path, lines)["bottles_made"]

    assert found["booked"] == {}
    assert [review["candidates"] for review in found["review"]] == [["600"]]
    assert [way["order"] for way in found["review"][0]["ways"]] == ["4711", "4712"]


def test_time_runs_on_until_the_last_value_has_settled(tmp_path: Path) -> None:
    lines = [ORDER, read(0, "preforms_in", 65_500), read(5, "preforms_in", 10)]

    assert short(derived(tmp_path, lines)) == {"preforms_used": {"booked": {"4711": "46"}}}


GONE_FOR_A_MINUTE = [
    ORDER,
    read(0, "bottles_out", 500_000),
    read(60, "bottles_out", 0),
    read(120, "bottles_out", 500_012),
]


def test_time_passes_between_two_readings(tmp_path: Path) -> None:
    """The zero had stood for two seconds long before the count came back: each jump is for a person."""
    assert short(derived(tmp_path, GONE_FOR_A_MINUTE)) == {
        "bottles_made": {"review": [["0", "4294467296"], ["0", "500012"]], "gaps": [["0", "1505"]]}
    }


def test_a_time_that_stood_still_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deriving._Fold, "_due", lambda _self: iter(()))  # planted: no ticks between two deliveries

    assert short(derived(tmp_path, GONE_FOR_A_MINUTE)) != {
        "bottles_made": {"review": [["0", "4294467296"], ["0", "500012"]], "gaps": [["0", "1505"]]}
    }


def test_a_bad_value_is_no_zero(tmp_path: Path) -> None:
    lines = [
        *(ORDER, read(0, "bottles_out", 10), read(1, "bottles_out", None), read(2, "bottles_out", 0, q="bad")),
        *(read(3, "bottles_out", 9, q="uncertain"), read(4, "bottles_out", 30)),
    ]

    assert short(derived(tmp_path, lines)) == {"bottles_made": {"booked": {"4711": "20"}}}


def test_what_an_order_had_left_is_told_in_the_material_s_unit(tmp_path: Path) -> None:
    """A line in cases, posted in whole pallets of 10: what is left at the end of the order is cut in pieces."""
    cases = tmp_path / "cases.yaml"
    text = MAP.read_text(encoding="utf-8")
    text = text.replace('"900001": {name: Soda 0.5 L, class: finished, unit: pcs}', _CASES)
    text = text.replace(
        "{send: every 2 s, stream: routine}", "{send: every 2 s, stream: routine, or_at: [order-change]}"
    )
    cases.write_text(text.replace("type: uint32, unit: pcs}", "type: uint32, unit: case}"), encoding="utf-8")
    lines = [
        *(ORDER, read(0, "bottles_out", 0), read(8, "bottles_out", 8), read(30, "bottles_out", 23)),
        *(read(31, "order_no", "4712"), read(60, "bottles_out", 23)),
    ]

    found = derived(tmp_path, lines, cases)["bottles_made"]

    assert (found["unit"], found["booked"]) == ("case", {"4711": "23"})


_CASES = '"900001": {name: Soda 0.5 L, class: finished, unit: case, precision: "10"}'
