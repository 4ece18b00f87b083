"""Levels, flows and densities in a tag map: what they resolve to, exactly, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from edge_agent.config.loader import Loaded, load
from edge_agent.config.packing import packed, unpacked
from edge_agent.config.signals import Flow, FlowCheck, Level
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.model.movement import EventType
from edge_agent.model.reading import TagRef

ROOM = Path(__file__).parents[2] / "config" / "examples" / "syrup-room.yaml"
TEXT = ROOM.read_text("utf-8")


def mapped(loaded: Loaded) -> TagMap:
    assert loaded.tag_map is not None, [finding.render() for finding in loaded.errors]
    return loaded.tag_map


def level_of(rule: Rule) -> Level:
    assert isinstance(rule.signal, Level)
    return rule.signal


def flow_of(rule: Rule) -> Flow:
    assert isinstance(rule.signal, Flow)
    return rule.signal


def changed(load_text: Callable[[str], Loaded], *edits: tuple[str, str]) -> Loaded:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return load_text(text)


def test_the_syrup_room_is_run_without_a_word() -> None:
    loaded = load([ROOM])
    assert loaded.findings == ()
    assert list(mapped(loaded).rules) == ["syrup_used", "acid_used", "flavour_used"]
    assert unpacked(packed(mapped(loaded))) == mapped(loaded)


def test_a_level_with_strapping_table_and_density() -> None:
    rule = mapped(load([ROOM])).rules["syrup_used"]
    level = level_of(rule)
    assert (rule.factor, rule.source_unit.name, rule.material.unit.name) == (Fraction(1, 10**6), "L", "kg")
    assert (level.hysteresis, level.refill_min) == (10_320_000, 258_000_000)
    assert level.max_rate == 3 * 1_290_000
    assert [(reading, contents) for reading, contents in level.table] == [
        (Fraction(0), Fraction(0)),
        (Fraction("0.4"), Fraction(232_845_000)),
        (Fraction("4.2"), Fraction(9830 * 1_290_000)),
    ]
    assert level.contents(Fraction("0.2")) == 116_422_500
    assert (level.blind_below, level.blind_above) == (Fraction("0.05"), Fraction("4.2"))
    assert (level.window, level.settle, level.hold) == (
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=2),
    )
    assert level.conversion.startswith("strapping ")
    assert level.conversion.endswith("1 L = 1.29 kg")
    assert not level.rises


def test_a_scale() -> None:
    level = level_of(mapped(load([ROOM])).rules["acid_used"])
    assert level.contents(Fraction(1)) == 10 * 10**6, "one step is 10 g, booked in g"
    assert (level.hysteresis, level.refill_min) == (50 * 10**6, 2000 * 10**6)
    assert level.max_rate == 200 * 10**6
    assert (level.hold, level.after_flow) == (timedelta(minutes=5), timedelta(seconds=2))
    assert (level.stable, level.tare) == (TagRef("scale", "stable"), TagRef("scale", "tare"))
    assert level.conversion == "1 kg = 1000 g"


def test_a_flow_with_a_second_meter() -> None:
    rule = mapped(load([ROOM])).rules["flavour_used"]
    flow, rate = flow_of(rule), Fraction("1.04") * 10**12 / 60
    assert (flow.rate, flow.max_gap, flow.by_exception) == (rate, timedelta(seconds=10), True)
    assert (flow.max_rate, flow.low_cut) == (int(80 * rate), round(rate / 5))
    assert flow.check == FlowCheck(TagRef("skid", "second"), rate, timedelta(hours=1), Fraction(1, 25))
    assert flow.conversion == "1 L = 1.04 kg, per min"
    assert rule.conversion == flow.conversion


def test_a_conversion_may_need_any_number_of_decimals(load_text: Callable[[str], Loaded]) -> None:
    loaded = changed(load_text, ('scale: "0.01", range: [0, 600]', 'scale: "0.0123456789012", range: [0, 600]'))
    assert level_of(mapped(loaded).rules["acid_used"]).contents(Fraction(3)) == 37_037_037


def test_a_density_converts_both_ways_and_for_counters_too(load_text: Callable[[str], Loaded]) -> None:
    loaded = changed(
        load_text,
        ("class: bulk, unit: kg, density: 1.04 kg/L", "class: bulk, unit: L, density: 1.04 kg/L"),
        ("unit: L, range: [-5, 100]}", "unit: kg, range: [-5, 100]}"),
    )
    assert flow_of(mapped(loaded).rules["flavour_used"]).conversion == "1 kg = 25/26 L, per min"


def test_production_into_a_tank_counts_what_rises(load_text: Callable[[str], Loaded]) -> None:
    loaded = changed(
        load_text,
        ('event: consumed\n    material: "100200"\n    from:', 'event: produced\n    material: "100200"\n    to:'),
    )
    rule = mapped(loaded).rules["syrup_used"]
    assert (rule.event, level_of(rule).rises) == (EventType.PRODUCED, True)


def test_an_amount_as_tolerance(load_text: Callable[[str], Loaded]) -> None:
    loaded = changed(load_text, ("tolerance: 4 %", "tolerance: 5 kg"))
    check = flow_of(mapped(loaded).rules["flavour_used"]).check
    assert check is not None
    assert (check.share, check.amount) == (Fraction(0), 5_000_000)


BESIDE = """
  milk_in:
    event: produced
    material: "100200"
    to: S1-TANK
    flow: {tag: skid.second, per: min, max_gap: 10 s}
"""


@pytest.mark.parametrize(
    ("edits", "code", "said"),
    [
        ((("      hysteresis: 8 L\n", ""),), "EA-1202", "`hysteresis` is missing"),
        ((("      refill_min: 200 L\n", ""),), "EA-1202", "`refill_min` is missing"),
        ((("refill_min: 200 L", "refill_min: 8 L"),), "EA-1409", "not above `hysteresis`"),
        ((("hysteresis: 50 g", "hysteresis: 9 g"),), "EA-1409", "one step of `scale.weight`"),
        ((("window: 30 s", "window: 5 s"),), "EA-1409", "fewer than three readings"),
        ((("      max_rate: 0.2 kg/s\n", ""),), "EA-1209", "`tare` needs `max_rate`"),
        ((("stable: scale.stable", "stable: scale.tare"),), "EA-1707", "scale.tare"),
        ((("printed: scale.printed", "printed: tanks.order_no"),), "EA-1703", "another source"),
        ((("      contents: L\n", "      contents: m\n"),), "EA-1405", "does not convert"),
        (((', ["4.2", "9830"]', ', ["4.2", "100"]'),), "EA-1409", "both rising"),
        ((("      window: 4 s\n", "      window: 4 s\n      contents: kg\n"),), "EA-1209", "without a strapping table"),
        (((", density: 1.29 kg/L", ""),), "EA-1405", "does not convert"),
        ((("hysteresis: 8 L", "hysteresis: 8 m"),), "EA-1405", "`m` does not convert"),
        ((("max_gap: 10 s", "max_gap: 900 ms"),), "EA-1409", "would be a gap"),
        ((("low_cut: 0.2 L/min", "low_cut: 90 L/min"),), "EA-1409", "nothing is left"),
        ((("tag: skid.second", "tag: skid.flow"),), "EA-1209", "the meter itself"),
        ((("every: 1 h", "every: 5 s"),), "EA-1409", "less than `max_gap`"),
        ((("tolerance: 4 %", "tolerance: 100 %"),), "EA-1409", "no tolerance"),
        ((("tolerance: 4 %", "tolerance: 4"),), "EA-1403", "not an amount"),
        ((("movements:", "movements:" + BESIDE),), "EA-1209", "`milk_in` fills `S1-TANK`"),
        (
            (("type: float32, unit: m, range", "type: float32, range"), ("      strapping:", "      # :")),
            "EA-1710",
            "has no unit",
        ),
    ],
)
def test_what_is_refused(
    edits: tuple[tuple[str, str], ...], code: str, said: str, load_text: Callable[[str], Loaded]
) -> None:
    loaded = changed(load_text, *edits)
    assert loaded.tag_map is None
    errors = [(finding.code.value, finding.message) for finding in loaded.errors]
    assert any(found == code and said in message for found, message in errors), errors


@pytest.mark.parametrize(
    ("edit", "advice"),
    [
        ((", density: 1.29 kg/L", ""), "give the material its `density:`, like 1.29 kg/L"),
        (("hysteresis: 8 L", "hysteresis: 8 m"), "both must come from one base unit"),
    ],
    ids=["a mass and a volume", "a length and a volume"],
)
def test_a_refused_unit_says_what_is_missing(
    edit: tuple[str, str], advice: str, load_text: Callable[[str], Loaded]
) -> None:
    found = {finding.suggestion for finding in changed(load_text, edit).errors if finding.code.value == "EA-1405"}

    assert found
    assert all(advice in (suggestion or "") for suggestion in found)


def test_a_net_quantity_may_have_inflow(load_text: Callable[[str], Loaded]) -> None:
    loaded = changed(
        load_text, ("movements:", "movements:" + BESIDE), ("contents: L\n", "contents: L\n      net: true\n")
    )
    assert level_of(mapped(loaded).rules["syrup_used"]).net


def test_defaults(load_text: Callable[[str], Loaded]) -> None:
    loaded = changed(load_text, ("      window: 30 s\n", ""), ("      settle: 2 min\n", ""), (", every: 1 h", ""))
    level = level_of(mapped(loaded).rules["syrup_used"])
    assert (level.window, level.settle, level.hold) == (
        timedelta(seconds=30),
        timedelta(minutes=1),
        timedelta(minutes=1),
    )
    check = flow_of(mapped(loaded).rules["flavour_used"]).check
    assert check is not None
    assert check.over == timedelta(hours=1)
    assert level.grain * 1_290_000 == pytest.approx(Decimal(1))
