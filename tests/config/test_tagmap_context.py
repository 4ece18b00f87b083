"""What surrounds a movement, as the loader resolves it: context, conditions, lag, lots."""

from __future__ import annotations

from datetime import timedelta

import pytest

from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import LotWay
from edge_agent.model.reading import TagRef
from tests.config.conftest import Load
from tests.config.test_tagmap_resolved import loaded_map


def test_context_and_conditions_are_resolved(bottling_line: str, load_text: Load) -> None:
    added = """from: L3-HOPPER
    operator: filler.pal_sscc
    container: filler.pal_sscc
    only_while: filler.order_no != "" and filler.pal_seq in (1, 2)
    pause_while: {when: filler.pal_cases > 5, on_resume: rebase}
    lag: 1.5 case"""
    rule = loaded_map(load_text(bottling_line.replace("from: L3-HOPPER", added, 1))).rules["preforms_used"]

    assert rule.only_while is not None
    assert rule.only_while.tags == (TagRef("filler", "order_no"), TagRef("filler", "pal_seq"))
    assert (rule.pause and rule.pause.when.text, rule.pause and rule.pause.rebase) == ("filler.pal_cases > 5", True)
    assert (rule.operator, rule.container) == (TagRef("filler", "pal_sscc"), TagRef("filler", "pal_sscc"))
    assert (rule.lag, rule.pipe, rule.time_lag) == (36, 36, timedelta(0))


def test_a_lag_may_be_a_time(bottling_line: str, load_text: Load) -> None:
    added = "from: L3-HOPPER\n    lag: 45 s\n    into_lot: filler.pal_sscc"
    rule = loaded_map(load_text(bottling_line.replace("from: L3-HOPPER", added, 1))).rules["preforms_used"]

    assert (rule.pipe, rule.time_lag) == (0, timedelta(seconds=45))
    assert rule.into_lot == TagRef("filler", "pal_sscc")


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        ("lot_from: {tag: filler.pal_sscc}", TagRef("filler", "pal_sscc")),
        ("lot_from: fifo", LotWay.FIFO),
        ("lot_from: blend", LotWay.BLEND),
        ("container: filler.pal_sscc\n    lot_from: container", LotWay.CONTAINER),
    ],
)
def test_where_the_lot_is_known_from(
    added: str, expected: TagRef | LotWay, bottling_line: str, load_text: Load
) -> None:
    text = bottling_line.replace("from: L3-HOPPER", "from: L3-HOPPER\n    " + added, 1)
    tag_map = loaded_map(load_text(text))
    rule = tag_map.rules["preforms_used"]

    assert rule.lot_from == expected
    assert rule.lot_tag == (expected if isinstance(expected, TagRef) else None)
    followed = expected in {LotWay.FIFO, LotWay.BLEND}
    assert tag_map.lot_places == ({("L3-HOPPER", "300017"): expected} if followed else {})
    assert tag_map.lots_by_container == (frozenset({"300017"}) if expected is LotWay.CONTAINER else frozenset())


def test_the_lot_in_a_handshakes_block(bottling_line: str, load_text: Load) -> None:
    block = "quantity: filler.pal_cases\n    lot_from: block\n    lot: filler.order_no"
    rule = loaded_map(load_text(bottling_line.replace("quantity: filler.pal_cases", block))).rules["pallet_out"]

    assert isinstance(rule.signal, Handshake)
    assert rule.signal.contents == tuple(TagRef("filler", name) for name in ("pal_cases", "pal_sscc", "order_no"))
