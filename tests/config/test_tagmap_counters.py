"""Counters of every kind, as the loader resolves them: in counts, whatever the device shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from edge_agent.config.signals import AtChange, Counter, Direction, Resets
from edge_agent.config.tagmap import TagMap
from edge_agent.model.reading import TagRef
from tests.config.conftest import CONFIG, Load

COUNTER = "{tag: filler.preforms_in, wraps_at: 65536, max_rate: 25 pcs/s, settle: 2 s, resets: [restart]}"


def resolved(text: str, load_text: Load) -> tuple[Counter, Fraction]:
    loaded = load_text(text)
    assert loaded.findings == ()
    assert isinstance(loaded.tag_map, TagMap)
    rule = loaded.tag_map.rules["preforms_used"]
    assert isinstance(rule.signal, Counter)
    return rule.signal, rule.factor


def of_type(text: str, kind: str) -> str:
    line = next(line for line in text.splitlines() if line.lstrip().startswith("preforms_in:"))
    return text.replace(line, line.replace("uint16", kind))


def test_a_counter_down_has_its_figures_turned_round(bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace(
        COUNTER,
        "{tag: filler.preforms_in, direction: down, wraps_at: -1, wraps_to: 65535, max_rate: 25 pcs/s, resets_to: 500}",
    )
    spec, _ = resolved(text, load_text)
    assert (spec.wraps_at, spec.wraps_to, spec.modulus, spec.resets_to) == (1, -65535, 65536, -500)
    assert (spec.counts(7), spec.shows(-7)) == (-7, "7")
    assert not spec.is_plain


def test_a_signed_counter_down_wraps_below_its_lowest_value(bottling_line: str, load_text: Load) -> None:
    text = of_type(bottling_line, "int16").replace(
        COUNTER,
        "{tag: filler.preforms_in, direction: down, wraps_at: -32769, wraps_to: 32767, max_rate: 25 pcs/s}",
    )
    spec, _ = resolved(text, load_text)
    assert (spec.wraps_at, spec.wraps_to, spec.modulus) == (32769, -32767, 65536)


@pytest.mark.parametrize(("kind", "wraps_at"), [("bcd16", 10_000), ("bcd32", 100_000_000)])
def test_a_bcd_counter_wraps_where_its_digits_end(
    kind: str, wraps_at: int, bottling_line: str, load_text: Load
) -> None:
    section = f"{{tag: filler.preforms_in, wraps_at: {wraps_at}, max_rate: 25 pcs/s}}"
    spec, _ = resolved(of_type(bottling_line, kind).replace(COUNTER, section), load_text)
    assert spec.modulus == wraps_at
    too_far = section.replace(str(wraps_at), str(wraps_at + 1))
    refused = load_text(of_type(bottling_line, kind).replace(COUNTER, too_far))
    assert [finding.code for finding in refused.errors] == ["EA-1705"]


@pytest.mark.parametrize(
    ("kind", "figures", "grain"),
    [
        ("float32", "wraps_at: 16777216, max_rate: 25 pcs/s", "1"),
        ("float32", "saturates_at: 9999999", "1"),
        ("float32", "saturates_at: 8388608", "1"),
        ("float32", "saturates_at: 100000", "0.01"),
        ("float32", "saturates_at: 100000, resolution: 0.5 pcs", "0.5"),
        ("float64", "saturates_at: 100000", "0.000001"),
        ("float64", "saturates_at: 100000000000", "0.0001"),
    ],
)
def test_a_float_counts_in_grains_that_it_tells_apart(
    kind: str, figures: str, grain: str, bottling_line: str, load_text: Load
) -> None:
    text = of_type(bottling_line, kind).replace(COUNTER, f"{{tag: filler.preforms_in, {figures}}}")
    spec, factor = resolved(text, load_text)
    assert (spec.grain, factor, spec.rounded) == (Decimal(grain), Fraction(grain), True)


def test_figures_of_a_float_are_in_grains(bottling_line: str, load_text: Load) -> None:
    section = "{tag: filler.preforms_in, wraps_at: 10000, max_rate: 25 pcs/s, step: 3 pcs, resolution: 0.1 pcs}"
    spec, _ = resolved(of_type(bottling_line, "float32").replace(COUNTER, section), load_text)
    assert (spec.wraps_at, spec.max_rate) == (100_000, Decimal(250))
    assert spec.counts(Decimal("12.3499998")) == 123
    assert spec.shows(123) == "12.3"


def test_the_tags_range_bounds_a_float_too(bottling_line: str, load_text: Load) -> None:
    text = of_type(bottling_line, "float32").replace(COUNTER, "{tag: filler.preforms_in}")
    line = next(line for line in text.splitlines() if line.lstrip().startswith("preforms_in:"))
    spec, _ = resolved(text.replace(line, line.replace("float32", "float32, range: [0, 5000]")), load_text)
    assert spec.grain == Decimal("0.001")


def test_resets_by_order_shift_and_day_with_the_last_total(bottling_line: str, load_text: Load) -> None:
    line = next(line for line in bottling_line.splitlines() if line.lstrip().startswith("preforms_in:"))
    last = line.replace("preforms_in", "preforms_last").replace("Infeed", "Infeed2")
    text = bottling_line.replace(line, f"{line}\n{last}").replace(
        COUNTER,
        "{tag: filler.preforms_in, resets: [order, shift, day, restart], final_tag: filler.preforms_last}",
    )
    text = text.replace('day_starts: "06:00"', 'day_starts: "06:00", shifts: {early: "06:00", late: "14:00"}')
    spec, _ = resolved(text, load_text)
    assert spec.resets == {Resets.ORDER, Resets.SHIFT, Resets.DAY, Resets.RESTART}
    assert spec.final_tag == TagRef("filler", "preforms_last")


ORDER = "    order: filler.order_no\n"


def latching(text: str, latch: str = "{count: filler.latched, changes: filler.pal_seq}", more: str = "") -> str:
    """The map whose PLC latches the counter, into tags of its own."""
    line = next(line for line in text.splitlines() if line.lstrip().startswith("preforms_in:"))
    added = line.replace("preforms_in", "latched").replace("Infeed", "Latched")
    return text.replace(line, f"{line}\n{added}").replace(
        COUNTER, f"{{tag: filler.preforms_in, {more}at_change: {latch}}}"
    )


def test_a_count_that_is_latched_at_the_change(bottling_line: str, load_text: Load) -> None:
    spec, _ = resolved(latching(bottling_line), load_text)
    assert spec.at_change == AtChange(TagRef("filler", "latched"), TagRef("filler", "pal_seq"), 1 << 32)


@pytest.mark.parametrize(
    ("latch", "more", "edit", "code"),
    [
        ("{count: filler.preforms_in, changes: filler.pal_seq}", "", ("", ""), "EA-1209"),
        ("{count: filler.pal_cases, changes: filler.pal_seq}", "", ("", ""), "EA-1209"),
        ("{count: filler.order_no, changes: filler.pal_seq}", "", ("", ""), "EA-1707"),
        ("{count: filler.latched, changes: filler.order_no}", "", ("", ""), "EA-1707"),
        ("{count: filler.latched, changes: filler.latched}", "", ("", ""), "EA-1209"),
        ("{count: filler.latched, changes: filler.nothing}", "", ("", ""), "EA-1208"),
        ("{count: filler.latched}", "", ("", ""), "EA-1202"),
        ("{count: filler.latched, changes: filler.pal_seq}", "direction: up-down, ", ("", ""), "EA-1209"),
        ("{count: filler.latched, changes: filler.pal_seq}", "resets: [order], ", ("", ""), "EA-1209"),
        (
            "{count: filler.latched, changes: filler.pal_seq}",
            "",
            ("from: L3-HOPPER", "from: L3-HOPPER\n    lag: 45 s"),
            "EA-1209",
        ),
        (
            "{count: filler.latched, changes: filler.pal_seq}",
            "",
            (
                ORDER,
                "",
            ),
            "EA-1209",
        ),
        (
            "{count: filler.latched, changes: filler.pal_seq}",
            "",
            (
                ORDER,
                "    order: mes.order_no\n",
            ),
            "EA-1703",
        ),
    ],
)
def test_what_does_not_latch_is_said(
    latch: str, more: str, edit: tuple[str, str], code: str, bottling_line: str, load_text: Load
) -> None:
    text = latching(bottling_line, latch, more).replace(*edit, 1) if edit[0] else latching(bottling_line, latch, more)
    text = text.replace("sources:\n", "sources:\n  mes: {mqtt: commands}\n").replace(
        "tags:\n", "tags:\n  mes: {order_no: {type: string}}\n", 1
    )
    found = load_text(text).findings
    assert code in {one.code.value for one in found}, [one.render() for one in found]


def test_an_up_down_counter_of_what_can_move_back(bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace(COUNTER, "{tag: filler.preforms_in, direction: up-down, max_rate: 25 pcs/s}")
    spec, _ = resolved(text, load_text)
    assert spec.direction is Direction.UP_DOWN
    assert replace(spec, runs_back=True).counts(7) == -7


@pytest.mark.parametrize(
    ("tolerance", "share", "amount"), [("4 %", Fraction(1, 25), Decimal(0)), ("2 case", Fraction(0), Decimal(48))]
)
def test_a_second_counter_is_in_counts_of_the_first(
    tolerance: str, share: Fraction, amount: Decimal, bottling_line: str, load_text: Load
) -> None:
    section = f"{{tag: filler.preforms_in, cross_check: {{tag: filler.pal_cases, tolerance: {tolerance}}}}}"
    spec, _ = resolved(bottling_line.replace(COUNTER, section), load_text)
    check = spec.cross_check
    assert check is not None
    assert (check.tag, check.factor) == (TagRef("filler", "pal_cases"), Fraction(24))
    assert (check.share, check.amount, check.every) == (share, amount, timedelta(hours=1))
    assert not spec.is_plain


def test_the_example_of_each_kind_is_run_whole(load_text: Load) -> None:
    loaded = load_text((CONFIG / "examples" / "counters.yaml").read_text("utf-8"))
    assert [finding.render() for finding in loaded.findings] == []
    assert loaded.tag_map is not None
    assert len(loaded.tag_map.rules) == 7
    sugar = loaded.tag_map.rules["sugar_used"]
    assert isinstance(sugar.signal, Counter)
    assert (sugar.factor, sugar.signal.grain) == (Fraction(1, 20), Decimal("0.05"))
