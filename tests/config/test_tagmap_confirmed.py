"""Sources that send messages, and rules that someone confirms: what is resolved, and what is refused where."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.config.devices import CommandAddress, CommandSource, TagType
from edge_agent.config.findings import Finding
from edge_agent.config.loader import Loaded, load
from edge_agent.config.signals import Confirmation, Handshake
from edge_agent.config.tagmap import Arrival, OncePer, TagMap
from edge_agent.model.movement import EventType
from edge_agent.model.reading import TagRef
from tests.inbound.speaking import CONFIG, spoken_text

Check = Callable[[str, tuple[tuple[str, str], ...]], Finding]
_AGV = "    confirmation: {source: mes}\n"
_MES = (
    "\ntags:\n",
    "\n  mes: {mqtt: commands}\ntags:\n  mes:\n    order_no: {type: string}\n    lot: {type: uint32}\n",
)
_BACK = """  agv_back:
    event: moved
    material: "900001"
    from: L3-OUT
    to: WH-01
    confirmation: {source: mes}
    phase: arrived
    pairs_with: agv_out
    arrives_within: 4 h
"""


def _loaded(folder: Path, text: str) -> Loaded:
    file = folder / "map.yaml"
    file.write_text(text, encoding="utf-8")
    return load([file])


def _map(folder: Path, *edits: tuple[str, str]) -> TagMap:
    text = spoken_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    loaded = _loaded(folder, text)
    assert loaded.findings == (), [finding.render() for finding in loaded.findings]
    assert loaded.tag_map is not None
    return loaded.tag_map


def test_a_source_that_sends_messages(tmp_path: Path) -> None:
    tag_map = _map(tmp_path)
    assert tag_map.sources["mes"] == CommandSource("mes")
    assert set(tag_map.devices) == {"filler"}
    assert "mes" not in {ref.source for ref in tag_map.read_tags}
    tag = tag_map.tags[TagRef("mes", "order_no")]
    assert (tag.type, tag.address) == (TagType.STRING, CommandAddress())
    rule = tag_map.rules["agv_out"]
    assert (rule.signal, rule.source_unit.name) == (Confirmation("mes"), "pcs")
    assert rule.factor == 1
    assert (rule.order, rule.from_, rule.to) == (TagRef("mes", "order_no"), "L3-OUT", "WH-01")


def test_a_confirmation_may_say_the_places(tmp_path: Path) -> None:
    rule = _map(tmp_path, ("    to: WH-01\n    order: mes", "    order: mes")).rules["agv_out"]
    assert (rule.from_, rule.to) == ("L3-OUT", None)


def test_once_per_container(tmp_path: Path) -> None:
    for word, exclude in (("review", False), ("exclude", True)):
        once = f"    once_per: {{key: container, within: 12 h, else: {word}}}\n"
        of_message = _map(tmp_path, (_AGV, _AGV + once)).rules["agv_out"]
        handshake = ("    container: filler.pal_sscc\n", f"    container: filler.pal_sscc\n{once}")
        of_handshake = _map(tmp_path, handshake).rules["pallet_out"]
        assert of_message.once_per == of_handshake.once_per == OncePer(timedelta(hours=12), exclude)


def test_two_steps_of_a_transport(tmp_path: Path) -> None:
    edits = ((_AGV, f"{_AGV}    phase: departed\n{_BACK}"), ("    order: mes.order_no\n", ""))
    rules = _map(tmp_path, *edits).rules
    assert (rules["agv_out"].departs, rules["agv_out"].arrival) == (True, None)
    assert (rules["agv_back"].departs, rules["agv_back"].arrival) == (False, Arrival("agv_out", timedelta(hours=4)))
    back = _BACK.replace("agv_out", "pallet_out")
    departs = ("    container: filler.pal_sscc\n", f"    container: filler.pal_sscc\n    phase: departed\n{back}")
    by_plc = _map(tmp_path, departs)
    assert by_plc.rules["pallet_out"].departs
    assert isinstance(by_plc.rules["pallet_out"].signal, Handshake)


@pytest.mark.parametrize("event", ["returned", "scrapped", "sampled"])
def test_these_events_are_run(tmp_path: Path, event: str) -> None:
    side = "to" if event == "returned" else "from"
    edits = (("event: moved\n", f"event: {event}\n"), ("    from: L3-OUT\n    to: WH-01\n", f"    {side}: WH-01\n"))
    text = spoken_text()
    head, _, tail = text.partition("  agv_out:")
    for old, new in edits:
        tail = tail.replace(old, new, 1)
    loaded = _loaded(tmp_path, f"{head}  agv_out:{tail}")
    assert loaded.findings == ()
    assert loaded.tag_map is not None
    assert loaded.tag_map.rules["agv_out"].event is EventType(f"material.{event}")


@pytest.mark.parametrize(
    ("event", "why", "instead"),
    [("received", "its reference document", "receives against the document"), ("adjusted", "a reason", "count in")],
)
def test_these_are_not(tmp_path: Path, event: str, why: str, instead: str) -> None:
    side = "to: WH-01"
    text = spoken_text().replace("    from: L3-OUT\n    to: WH-01\n    order: mes", f"    {side}\n    order: mes")
    head, _, tail = text.partition("  agv_out:")
    loaded = _loaded(tmp_path, f"{head}  agv_out:{tail.replace('event: moved', f'event: {event}', 1)}")
    (finding,) = loaded.unsupported
    assert (finding.code.value, why in finding.message) == ("EA-1906", True)
    assert finding.suggestion is not None
    assert instead in finding.suggestion


_SAID = """    event: moved
    material: "900001"
    from: L3-OUT
    to: WH-01
"""
_LEFT = f"  left:\n{_SAID}    confirmation: {{source: mes}}\n"
_THERE = f"  there:\n{_SAID}    confirmation: {{source: mes}}\n"
_ARRIVED = "    phase: arrived\n    pairs_with: left\n    arrives_within: 4 h\n"
_GONE = "    phase: departed\n"
_SAMPLED = _LEFT.replace("event: moved", "event: sampled").replace("    to: WH-01\n", "")
_COUNTED = _LEFT.replace("confirmation: {source: mes}", "counter: {tag: filler.bottles_out, max_rate: 25 pcs/s}")
_SHAKEN = _LEFT.replace(
    "confirmation: {source: mes}",
    "handshake: {trigger: filler.pal_seq, ack: filler.pal_ack}\n    quantity: filler.pal_cases",
)
_PAIR = _LEFT + _GONE + _THERE + _ARRIVED
_ONCE = "once_per: {key: container, within: 12 h, else: review}\n"

SOURCES = [
    ("EA-1204", ("mqtt: commands", "mqtt: »messages")),
    ("EA-1209", ("  mes: {mqtt: commands}", '  »mes: {mqtt: commands, modbus: "tcp://10.3.0.40:502"}')),
    ("EA-1201", ("{mqtt: commands}", "{mqtt: commands, »poll: 1 s}")),
    ("EA-1209", ("order_no: {type: string}", 'order_no: {type: string, »at: "40001"}')),
    ("EA-1209", ("order_no: {type: string}", 'order_no: {type: string, »node: "i=1"}')),
    ("EA-1608", ("order_no: {type: string}", "order_no: {type: string, »write: true}")),
    ("EA-1209", ("{tag: filler.preforms_in", "{tag: »mes.lot")),
    ("EA-1209", ("{trigger: filler.pal_seq", "{trigger: »mes.lot")),
]
RULES = [
    ("EA-1208", _LEFT.replace("mes}", "»scada}")),
    ("EA-1209", _LEFT.replace("mes}", "»filler}")),
    ("EA-1202", _LEFT.replace("confirmation: {source: mes}", "»confirmation: {}")),
    ("EA-1209", f"{_LEFT}    »container: filler.pal_sscc\n"),
    ("EA-1209", f"{_LEFT}    »quantity: filler.pal_cases\n"),
    ("EA-1701", _LEFT.replace("event: moved", "event: consumed").replace("to:", "»to:")),
    ("EA-1204", f"{_LEFT}    phase: »gone\n"),
    ("EA-1209", f"{_LEFT}    »phase: departed\n"),
    ("EA-1202", f"{_LEFT}{_GONE}  »there:\n{_SAID}    confirmation: {{source: mes}}\n    phase: arrived\n"),
    ("EA-1209", f"{_LEFT}    »pairs_with: pallet_out\n"),
    ("EA-1209", f"{_LEFT}    »arrives_within: 4 h\n"),
    ("EA-1209", f"{_PAIR}    »{_ONCE}"),
    ("EA-1209", _LEFT + _THERE + _ARRIVED.replace("left", "»left")),
    ("EA-1208", _PAIR.replace("pairs_with: left", "pairs_with: »lost")),
    ("EA-1209", _LEFT.replace("WH-01", "WH-02") + _GONE + _THERE + _ARRIVED.replace("left", "»left")),
    ("EA-1209", f"{_PAIR}{_THERE.replace('there', 'twice')}{_ARRIVED.replace('left', '»left')}"),
    ("EA-1209", f"{_SAMPLED}    »phase: departed\n"),
    ("EA-1209", f"{_SHAKEN}    »phase: departed\n"),
    ("EA-1209", f"{_COUNTED}    »phase: departed\n"),
    ("EA-1209", f"{_COUNTED}    {_ONCE.replace('container', '»container')}"),
]


@pytest.mark.parametrize(("code", "edit"), SOURCES)
def test_a_bad_source_is_answered_at_its_place(code: str, edit: tuple[str, str], check_bad: Check) -> None:
    check_bad(code, (_MES, edit))


@pytest.mark.parametrize(("code", "rules"), RULES)
def test_a_bad_confirmation_is_answered_at_its_place(code: str, rules: str, check_bad: Check) -> None:
    check_bad(code, (_MES, ("ownership:", f"{rules}ownership:")))


def test_a_good_pair_has_no_findings(tmp_path: Path) -> None:
    text = spoken_text().replace("ownership:", f"{_PAIR}ownership:")
    assert _loaded(tmp_path, text).findings == ()


_PAGE = (Path(__file__).parents[2] / "docs" / "tag-map.md").read_text(encoding="utf-8")


def _shown(anchor: str) -> str:
    """The example after an anchor of docs/tag-map.md."""
    return _PAGE.split(f'<a id="{anchor}"></a>', 1)[1].split("```yaml\n", 1)[1].split("```", 1)[0]


def test_what_the_page_shows_is_valid(tmp_path: Path) -> None:
    """Its sources, tags and rules in place of ours; the order it gives another rule is left out."""
    shown = _shown("messages")
    sources = shown.split("sources:\n")[1].split("tags:\n")[0]
    tags = shown.split("tags:\n")[1].split("movements:\n")[0]
    rule = "  agv_out:\n" + shown.split("  agv_out:\n")[1] + _shown("once_per")
    transport = "".join(f"  {line}\n" for line in _shown("transport").splitlines())
    text = CONFIG.read_text(encoding="utf-8").replace("\ntags:\n", f"\n{sources}tags:\n{tags}", 1)
    loaded = _loaded(tmp_path, text.replace("\nownership:", f"\n{rule}{transport}ownership:"))
    assert loaded.findings == (), [finding.render() for finding in loaded.findings]
    assert loaded.tag_map is not None
    assert loaded.tag_map.rules["agv_out"].once_per == OncePer(timedelta(hours=12), exclude=False)
    assert loaded.tag_map.rules["pallet_there"].arrival == Arrival("pallet_left", timedelta(hours=4))
