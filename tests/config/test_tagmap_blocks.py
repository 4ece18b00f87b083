"""What a handshake's block says beside its quantity (order, operator), and quantities that are floats."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import Rule
from edge_agent.model.reading import TagRef
from tests.config.conftest import CONFIG, Load
from tests.config.test_tagmap_handshakes import OPCUA_EVENT, OPCUA_RING, filler, resolved, text_of
from tests.config.test_tagmap_resolved import loaded_map

BOOTH = (CONFIG / "examples" / "weighing-booth.yaml").read_text("utf-8")
FINE = "resolution: 0.01 kg"
WEIGHT = "type: float32, unit: kg"
PAIR = """\
  left:  {event: moved, material: "100320", from: A, to: B, phase: departed, confirmation: {source: scada}}
  there: {event: moved, material: "100320", from: A, to: B, phase: arrived, pairs_with: left, arrives_within: 4 h,
          handshake: {trigger: booth.seq, ack: booth.ack, order: booth.order},
          quantity: booth.weight, container: booth.drum}
"""


def booth(text: str, load_text: Load, rule: str = "acid_weighed") -> tuple[Rule, Handshake]:
    found = loaded_map(load_text(text)).rules[rule]
    assert isinstance(found.signal, Handshake)
    return found, found.signal


def test_the_block_of_the_example_says_all_of_it(load_text: Load) -> None:
    rule, signal = booth(BOOTH, load_text)

    names = ("weight", "drum", "lot", "order", "operator")
    assert signal.contents == tuple(TagRef("booth", name) for name in names)
    assert signal.surroundings == {part: TagRef("booth", part) for part in ("order", "lot", "operator")}
    assert (rule.order, rule.operator, rule.lot_tag) == (None, None, None)


def test_a_slot_of_a_ring_says_its_order(load_text: Load) -> None:
    text = text_of(OPCUA_RING.replace("filler.tail}", "filler.tail, order: filler.r_order}"))
    tag = '    r_order: {node: "nsu={pv};s=::Ring.Slots[{slot}].Order", type: string, slots: 16}\n'
    _, signal = resolved(load_text(text.replace("  tanks:\n", f"{tag}  tanks:\n")))

    assert signal.contents == (filler("r_cases"), filler("r_sscc"), filler("r_order"))


def test_an_event_has_a_field_of_who_worked(load_text: Load) -> None:
    text = text_of(OPCUA_EVENT.replace("filler.left}", "filler.left, operator: filler.e_who}"))
    tag = '    e_who:   {field: "nsu={pv};Who", type: uint16}\n'
    _, signal = resolved(load_text(text.replace("  tanks:\n", f"{tag}  tanks:\n")))

    assert signal.contents == (filler("e_cases"), filler("e_sscc"), filler("e_who"))


@pytest.mark.parametrize(
    ("kind", "resolution", "grain", "factor"),
    [
        ("float32", "resolution: 0.01 kg", "0.01", Fraction(1, 100)),
        ("float64", "resolution: 5 g", "0.005", Fraction(1, 200)),
        ("float32, scale: '0.001'", "resolution: 0.01 kg", "10", Fraction(1, 100)),
        ("float32", "within: 30 s", "0.000001", Fraction(1, 10**6)),
        ("float64", "within: 30 s", "0.000001", Fraction(1, 10**6)),
        ("int32", "within: 30 s", "1", Fraction(1)),
    ],
)
def test_a_weight_is_rounded_to_its_resolution(
    kind: str, resolution: str, grain: str, factor: Fraction, load_text: Load
) -> None:
    text = BOOTH.replace(WEIGHT, f"type: {kind}, unit: kg").replace(FINE, resolution)
    rule, signal = booth(text, load_text)

    assert (signal.grain, signal.rounded) == (Decimal(grain), kind.startswith("float"))
    assert rule.factor == factor


def test_a_resolution_may_be_in_another_unit_than_the_material(load_text: Load) -> None:
    rule, signal = booth(BOOTH, load_text, "vanilla_weighed")

    assert (signal.grain, rule.factor, rule.source_unit.name) == (Decimal("0.1"), Fraction(1, 10_000), "g")


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ([("from: B1-ACID", "from: B1-ACID\n    order: scale.order")], "the block says its order, and the rule names"),
        ([("from: B1-ACID", "from: B1-ACID\n    operator: scale.order")], "the block says its operator, and the rule"),
        ([("order: booth.order", "order: booth.weight")], "`booth.weight` is a float32; an order is a string or whole"),
        ([("order: booth.order", "order: booth.drum")], "`booth.drum` is its order already"),
        ([("order: booth.order", "order: scale.order")], "`scale.order` is on another source than the trigger"),
        ([("order: booth.order", "order: booth.nothing")], "there is no tag `booth.nothing`"),
        ([(WEIGHT, "type: int32, unit: kg")], "a int32 states whole raw units"),
        ([(FINE, "resolution: 1 m")], "there is no unit `m`"),
        ([(FINE, "resolution: 0.0000000001 kg")], "more than nine decimals"),
        ([(f"{WEIGHT}, range", f"{WEIGHT}, scale: 3, range")], "are no decimal number"),
        (
            [("  scale: {modbus", "  scada: {mqtt: commands}\n  scale: {modbus"), ("  vanilla", f"{PAIR}  vanilla")],
            "what arrives belongs to the order it departed for",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(edits: list[tuple[str, str]], said: str, load_text: Load) -> None:
    text = BOOTH
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    messages = [finding.message for finding in load_text(text).errors]
    assert any(said in message for message in messages), messages
