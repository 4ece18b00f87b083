"""A review names the movement as it is found in the PLC, and says what stood there; never how we hold it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.signals import Handshake
from edge_agent.derivation.confirmed_block import read
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Instant, Quality, Reading
from edge_agent.workbench.maps import load_map
from tests.workbench.recordings import MAP, NOON, Line, at, derived

START = Instant(NOON, 0, "boot")
COUNTER = "{trigger: filler.pal_seq, ack: filler.pal_ack, result: filler.pal_result}"
BITS = "{kind: bits, trigger: filler.pal_req, ack: filler.pal_done, number: filler.pal_no}"
BITS_UNNAMED = "{kind: bits, trigger: filler.pal_req, ack: filler.pal_done}"
RING = "{kind: ring, head: filler.pal_head, tail: filler.pal_tail, number: filler.pal_no}"
MORE_TAGS = """
    pal_req:  {node: "nsu={pv};s=Req",  type: bool}
    pal_done: {node: "nsu={pv};s=Done", type: bool, write: true}
    pal_head: {node: "nsu={pv};s=Head", type: int16}
    pal_tail: {node: "nsu={pv};s=Tail", type: int16, write: true}
    pal_no:   {node: "nsu={pv};s=No",   type: uint32}
"""


def messages(folder: Path, handshake: str, blocks: list[Line]) -> list[str]:
    """What the reviews and then the gaps of the pallets say."""
    text = MAP.read_text(encoding="utf-8").replace(COUNTER, handshake)
    text = text.replace("\nunits:", f"{MORE_TAGS}units:", 1)
    text = text.replace("type: int16, unit: case}", "type: int16, unit: case, range: [0, 60]}")
    lines = [_fitting(line, handshake) for line in text.splitlines()]
    path = folder / "map.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    found = derived(folder, blocks, path)["pallet_out"]
    return [one["message"] for one in (*found["review"], *found["gaps"])]


def _fitting(line: str, handshake: str) -> str:
    """The tag of a map's line as this handshake needs it: a slot's, or not written."""
    tag = line.strip().split(":")[0]
    if handshake is RING and tag in {"pal_no", "pal_cases", "pal_sscc"}:
        return line.replace('",', '[{slot}]", slots: 8,', 1)
    return (
        line if f"filler.{tag}," in handshake or f"filler.{tag}}}" in handshake else line.replace(", write: true", "")
    )


def block(second: float, number: int, acknowledged: int, cases: Any, **more: Any) -> Line:
    own = {} if "no" not in more else {"filler.pal_no": more.pop("no")}
    values = {"filler.pal_cases": cases, "filler.pal_sscc": f"P{second}"} | own
    return at(second, block="pallet_out", number=number, acknowledged=acknowledged, values=values, **more)


@pytest.mark.parametrize(
    ("handshake", "blocks", "named"),
    [
        (COUNTER, [block(1, 6, 5, 40), block(2, 7, 6, 0)], "number 7"),
        (BITS, [block(1, 1, 0, 40, no=41), block(2, 0, 1, 40, no=41), block(3, 1, 0, 0, no=42)], "number 42"),
        (BITS_UNNAMED, [block(1, 1, 0, 40), block(2, 0, 1, 40), block(3, 1, 0, 0)], "request 2"),
        (RING, [block(1, 0, 0, 40, no=41, waiting=1), block(2, 1, 1, 0, no=42, waiting=1)], "number 42"),
    ],
)
def test_a_pallet_of_nothing_is_named_as_the_plc_does(
    tmp_path: Path, handshake: str, blocks: list[Line], named: str
) -> None:
    assert messages(tmp_path, handshake, blocks) == [f"{named}: filler.pal_cases is 0, not a positive quantity"]


@pytest.mark.parametrize(
    ("cases", "shown"),
    [
        (61, "61, of bad quality or beyond its range"),
        ({"v": 40, "q": "bad"}, "40, of bad quality or beyond its range"),
        ({"v": 40, "q": "uncertain"}, "40, uncertain"),
        (None, "no value, bad"),
    ],
)
def test_what_is_no_quantity_is_shown_as_it_stands(tmp_path: Path, cases: Any, shown: str) -> None:
    found = messages(tmp_path, COUNTER, [block(1, 6, 5, 40), block(2, 7, 6, cases)])

    assert found == [f"number 7: filler.pal_cases is not a good number: {shown}"]


@pytest.mark.parametrize(
    ("shown", "message"), [(8, "number 7 was never shown"), (9, "numbers 7 to 8 were never shown")]
)
def test_numbers_that_were_never_shown(tmp_path: Path, shown: int, message: str) -> None:
    assert messages(tmp_path, COUNTER, [block(1, 6, 5, 40), block(2, shown, 6, 40)]) == [message]


def test_a_pallet_whose_quantity_is_none_is_named_by_its_container_all_the_same() -> None:
    handshake = load_map([MAP]).rules["pallet_out"].signal
    assert isinstance(handshake, Handshake)
    assert handshake.container is not None
    values = {
        handshake.quantity: Reading(handshake.quantity, 99, Quality.BAD, START),
        handshake.container: Reading(handshake.container, "P2", Quality.GOOD, START),
    }

    assert read(handshake, Block("pallet_out", 2, 1, values, START))[:2] == (None, "P2")
