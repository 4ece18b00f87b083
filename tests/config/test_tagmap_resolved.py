"""Good maps: what the references hold, what is named as not run by this version."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_agent.config.devices import (
    ModbusAddress,
    ModbusSource,
    OpcUaAddress,
    OpcUaSource,
    Parity,
    SerialLine,
    Tag,
    TagType,
    Unit,
)
from edge_agent.config.loader import Loaded, load
from edge_agent.config.mqtt_reference import Mqtt, Tls
from edge_agent.config.signals import Counter, Handshake, Resets
from edge_agent.config.tagmap import Cadence, CutAt, Line, Ownership, Posting, Split, TagMap, Unproven
from edge_agent.model.movement import EventType
from edge_agent.model.reading import TagRef

Load = Callable[[str], Loaded]
COUNTER = "{tag: filler.preforms_in, wraps_at: 65536, max_rate: 25 pcs/s, settle: 2 s, resets: [restart]}"


def loaded_map(loaded: Loaded) -> TagMap:
    assert loaded.tag_map is not None, [finding.render() for finding in loaded.errors]
    return loaded.tag_map


def counter_of(loaded: Loaded) -> Counter:
    signal = loaded_map(loaded).rules["preforms_used"].signal
    assert isinstance(signal, Counter)
    return signal


def test_the_bottling_line(bottling_line: str, load_text: Load) -> None:
    loaded = load_text(bottling_line)
    tag_map = loaded_map(loaded)
    assert loaded.findings == ()
    assert (loaded.tags, loaded.rules) == (8, 3)
    assert tag_map.agent == "l3-edge"
    assert tag_map.line == Line("acme", "berlin", "filling", "L3")
    assert tag_map.calendar.time_zone == ZoneInfo("Europe/Berlin")
    assert tag_map.calendar.day_starts == time(6)
    assert tag_map.mqtt == Mqtt("127.0.0.1", 1883, None, "mat")
    assert tag_map.buffer.max_size == 256 * 1024 * 1024
    assert tag_map.buffer.keep_sent == timedelta(days=90)
    assert tag_map.max_skew == timedelta(seconds=5)
    assert tag_map.sources == {
        "filler": OpcUaSource(
            "filler", "opc.tcp://127.0.0.1:4840", {"pv": "urn:example:bottling-line"}, timedelta(milliseconds=100)
        )
    }
    assert tag_map.config_hash == hashlib.sha256(bottling_line.encode()).hexdigest()
    assert tag_map.streams == ("critical", "routine", "bulk", "ops")
    assert tag_map.cadences["packaging"] == Cadence("packaging", timedelta(seconds=5), "routine")
    assert tag_map.cadences["finished"] == Cadence("finished", None, "critical")
    assert tag_map.units["case"] == Unit("case", "XCS", "pcs", Fraction(24))
    assert tag_map.ownership == (Ownership("WH-*", "wms"), Ownership("L3-*", "mes", ("available", "wip")))
    preforms = TagRef("filler", "preforms_in")
    address = OpcUaAddress("urn:example:bottling-line", "s=::Infeed.Total")
    assert tag_map.tags[preforms] == Tag(preforms, TagType.UINT16, address, tag_map.units["pcs"])
    assert tag_map.tags[TagRef("filler", "pal_ack")].write


def test_the_bottling_lines_rules(bottling_line: str, load_text: Load) -> None:
    rules = loaded_map(load_text(bottling_line)).rules
    assert list(rules) == ["preforms_used", "bottles_made", "pallet_out"]
    used, made, out = rules.values()
    assert used.signal == Counter(
        tag=TagRef("filler", "preforms_in"),
        sampling=timedelta(milliseconds=100),
        settle=timedelta(seconds=2),
        max_rate=Decimal(25),
        burst=Decimal(5),
        wraps_at=65536,
    )
    assert (used.event, used.from_, used.to) == (EventType.CONSUMED, "L3-HOPPER", None)
    assert (used.factor, used.source_unit.name, used.cadence.name) == (Fraction(1), "pcs", "packaging")
    assert used.order == TagRef("filler", "order_no")
    assert (used.material.number, used.material.posting) == ("300017", Posting.ACTUAL)
    assert (made.event, made.to, made.cadence.name) == (EventType.PRODUCED, "L3-OUT", "produced")
    assert (out.event, out.from_, out.to, out.factor) == (EventType.MOVED, "L3-OUT", "WH-01", Fraction(24))
    assert out.signal == Handshake(
        trigger=TagRef("filler", "pal_seq"),
        ack=TagRef("filler", "pal_ack"),
        result=TagRef("filler", "pal_result"),
        quantity=TagRef("filler", "pal_cases"),
        container=TagRef("filler", "pal_sscc"),
        modulus=2**32,
    )
    assert (used.unproven, used.split) == (Unproven.REVIEW, None)


def test_the_complete_example_is_run_whole(full_line: str, load_text: Load) -> None:
    loaded = load_text(full_line)
    tag_map = loaded_map(loaded)
    assert loaded.findings == ()
    assert (loaded.tags, loaded.rules) == (12, 4)
    assert sorted(tag_map.rules) == ["bottles_made", "pallet_out", "preforms_used", "syrup_used"]


def test_the_complete_examples_files_and_modbus_addresses(full_line: str, map_directory: Path, load_text: Load) -> None:
    tag_map = loaded_map(load_text(full_line))
    pki = map_directory / "pki"
    assert tag_map.mqtt.tls == Tls(pki / "ca.pem", pki / "l3.pem", pki / "l3.key")
    assert (tag_map.mqtt.host, tag_map.mqtt.port) == ("broker.plant.example", 8883)
    filler, tanks = tag_map.sources.values()
    assert isinstance(filler, OpcUaSource)
    assert (filler.security, filler.user) == ("Basic256Sha256/SignAndEncrypt", "edge")
    assert filler.password_file == map_directory / "secrets" / "filler"
    assert tanks == ModbusSource("tanks", "tcp://10.3.0.40:502", 1, "CDAB", timedelta(seconds=2))
    level, refill, dosed = (tag for ref, tag in tag_map.tags.items() if ref.source == "tanks")
    assert level.address == ModbusAddress("hr", 100)
    assert level.range == (Decimal(0), Decimal(12000))
    assert refill.address == ModbusAddress("hr", 109, bit=10)
    assert (dosed.address, dosed.scale) == (ModbusAddress("hr", 104), Decimal("0.1"))
    assert tag_map.calendar.shifts == {"early": time(6), "late": time(14), "night": time(22)}


@pytest.mark.parametrize(
    ("at", "kind", "expected"),
    [
        ("40001", "uint16", ModbusAddress("hr", 0)),
        ("49999", "uint16", ModbusAddress("hr", 9998)),
        ("400101", "uint16", ModbusAddress("hr", 100)),
        ("465536", "uint16", ModbusAddress("hr", 65535)),
        ("30001", "int32", ModbusAddress("ir", 0)),
        ("10001", "bool", ModbusAddress("di", 0)),
        ("00017", "bool", ModbusAddress("co", 16)),
        ("hr65534", "float32", ModbusAddress("hr", 65534)),
        ("ir7.15", "bool", ModbusAddress("ir", 7, bit=15)),
        ("co0", "bool", ModbusAddress("co", 0)),
        ("hr10", "string, length: 7", ModbusAddress("hr", 10, length=7)),
    ],
)
def test_modbus_addresses(at: str, kind: str, expected: ModbusAddress, bottling_line: str, load_text: Load) -> None:
    source = '  tanks: {modbus: "tcp://h", unit_id: 1, order: CDAB, poll: 2 s}\n'
    text = bottling_line.replace("tags:\n", f'{source}tags:\n  tanks: {{x: {{at: "{at}", type: {kind}}}}}\n')
    assert loaded_map(load_text(text)).tags[TagRef("tanks", "x")].address == expected


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("nsu={pv};i=85", OpcUaAddress("urn:example:bottling-line", "i=85")),
        ("nsu=http://opcfoundation.org/UA/;i=2258", OpcUaAddress("http://opcfoundation.org/UA/", "i=2258")),
        ("nsu=urn:a%3Bb;s=x;y", OpcUaAddress("urn:a;b", "s=x;y")),
        ("nsu={pv};b=aGk=", OpcUaAddress("urn:example:bottling-line", "b=aGk=")),
    ],
)
def test_nodes_are_named_by_namespace_uri(
    node: str, expected: OpcUaAddress, bottling_line: str, load_text: Load
) -> None:
    text = bottling_line.replace("nsu={pv};s=::Pal.SSCC", node)
    assert loaded_map(load_text(text)).tags[TagRef("filler", "pal_sscc")].address == expected


@pytest.mark.parametrize(
    ("rate", "per_second", "burst"),
    [
        ("25 pcs/s", Decimal(25), Decimal(5)),
        ("1500 pcs/min", Decimal(25), Decimal(5)),
        ("90000 pcs/h", Decimal(25), Decimal(5)),
        ("0.5 pcs/s", Decimal("0.5"), Decimal(1)),
        ("2 case/s", Decimal(48), Decimal("9.6")),
        ("100 pcs/h", Decimal("0.02777777777777777777777777778"), Decimal(1)),
    ],
)
def test_rates_become_raw_units_a_second_never_less(
    rate: str, per_second: Decimal, burst: Decimal, bottling_line: str, load_text: Load
) -> None:
    counter = counter_of(load_text(bottling_line.replace("max_rate: 25 pcs/s", f"max_rate: {rate}", 1)))
    assert (counter.max_rate, counter.burst) == (per_second, burst)


def test_a_counters_figures_in_raw_units(bottling_line: str, load_text: Load) -> None:
    given = "wraps_at: 32768, wraps_to: -32768, max_rate: 25 pcs/s, step: 24 pcs, review_over: 10 case, resets: [never]"
    text = bottling_line.replace(COUNTER, f"{{tag: filler.preforms_in, {given}, epoch_tag: filler.pal_seq}}")
    counter = counter_of(load_text(text.replace("type: uint16, unit: pcs", 'type: int16, unit: pcs, scale: "0.5"')))
    assert (counter.max_rate, counter.burst, counter.review_over) == (Decimal(50), Decimal(48), Decimal(480))
    assert (counter.modulus, counter.resets) == (65536, frozenset({Resets.NEVER}))
    assert counter.epoch_tag == TagRef("filler", "pal_seq")


def test_defaults_of_a_counter(bottling_line: str, load_text: Load) -> None:
    counter = counter_of(load_text(bottling_line.replace(COUNTER, "{tag: filler.preforms_in}")))
    assert (counter.settle, counter.resets, counter.max_rate) == (
        timedelta(seconds=2),
        frozenset({Resets.RESTART}),
        None,
    )
    assert counter.modulus is None


def test_the_factor_is_exact(bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace("type: uint16, unit: pcs", 'type: uint16, unit: pcs, scale: "0.1"')
    assert loaded_map(load_text(text)).rules["preforms_used"].factor == Fraction(1, 10)


def test_a_rules_words_and_where_their_defaults_come_from(bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace("stream: routine}", "stream: routine, unproven: book}", 1)
    assert loaded_map(load_text(text)).rules["preforms_used"].unproven is Unproven.BOOK
    text = text.replace("from: L3-HOPPER", "from: L3-HOPPER\n    unproven: review\n    split: new\n    was: old_name")
    rule = loaded_map(load_text(text)).rules["preforms_used"]
    assert (rule.unproven, rule.split, rule.was) == (Unproven.REVIEW, Split.NEW, "old_name")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (
            ("event: consumed", "event: adjusted"),
            "an adjustment needs a count and a reason, and no signal says them",
        ),
    ],
)
def test_what_this_version_does_not_run_is_said_and_left_out(
    edit: tuple[str, str], what: str, bottling_line: str, load_text: Load
) -> None:
    assert edit[0] in bottling_line
    loaded = load_text(bottling_line.replace(*edit, 1))
    assert [finding.message for finding in loaded.findings] == [f"valid, but not run by this version: {what}"]
    assert sorted(loaded_map(loaded).rules) == ["bottles_made", "pallet_out"]


def test_all_errors_come_at_once_in_the_order_of_the_file(bottling_line: str, load_text: Load) -> None:
    text = bottling_line
    for old, new in (
        ("agent: l3-edge", "agent: yes"),
        ("type: uint16", "type: unit16"),
        ("H87", "PCE"),
        ("class: packaging", "class: packagin"),
        ("every 5 s", "every 5"),
        ("order: filler.order_no", "order: filler.order"),
        ("event: moved", "evnt: moved"),
    ):
        text = text.replace(old, new, 1)
    loaded = load_text(text)
    assert [finding.code.value for finding in loaded.errors] == [
        "EA-1111",
        "EA-1204",
        "EA-1501",
        "EA-1401",
        "EA-1208",
        "EA-1202",
        "EA-1201",
    ]
    assert [finding.line for finding in loaded.errors] == sorted(finding.line for finding in loaded.errors)


def test_twenty_thousand_tags(bottling_line: str, load_text: Load) -> None:
    tags = "".join(
        f'    t{number}: {{node: "nsu={{pv}};s=T{number}", type: uint32, unit: pcs, scale: "0.1"}}\n'
        for number in range(20_000)
    )
    loaded = load_text(bottling_line.replace("units:\n", f"{tags}units:\n"))
    tag_map = loaded_map(loaded)
    assert loaded.tags == len(tag_map.tags) == 20_008
    assert tag_map.tags[TagRef("filler", "t19999")].address == OpcUaAddress("urn:example:bottling-line", "s=T19999")
    assert gc.isenabled()


def test_a_directory_is_needed_by_no_map(bottling_line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "map.yaml").write_text(bottling_line)
    monkeypatch.chdir(tmp_path)
    loaded_map(load([Path("map.yaml")]))


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("send: cron 0 6 * * 1-5", {"every": None, "cron": "0 6 * * 1-5", "at_once": False}),
        ("send: every 15 min, aligned: clock", {"every": timedelta(minutes=15), "aligned": True}),
        ("send: every 7 min, aligned: free", {"aligned": False}),
        ("send: every 5 min, or_at: [order-change]", {"or_at": {CutAt.ORDER_CHANGE}}),
        ("send: at-once", {"at_once": True}),
    ],
)
def test_cadences(terms: str, expected: dict[str, object], bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace("send: every 5 s", terms)
    cadence = loaded_map(load_text(text)).cadences["packaging"]
    assert {key: getattr(cadence, key) for key in expected} == expected


def test_a_cadences_limit_is_in_the_unit_of_each_rules_material(bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace("send: every 5 s", "send: every 5 s, max_qty: 2.5 case")
    assert loaded_map(load_text(text)).rules["preforms_used"].max_qty == 60


def test_a_materials_precision(bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace("class: packaging, unit: pcs", 'class: packaging, unit: pcs, precision: "10"')
    assert loaded_map(load_text(text)).materials["300017"].precision == Decimal(10)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ('"tcp://h", unit_id: 1', ("tcp://h:502", timedelta(seconds=1), 125, None)),
        (
            '"tcp://h:1502", unit_id: 255, timeout: 300 ms, max_registers: 32',
            ("tcp://h:1502", timedelta(seconds=0.3), 32, None),
        ),
        ('"rtu:/dev/ttyUSB0", unit_id: 7', ("rtu:/dev/ttyUSB0", timedelta(seconds=1), 125, SerialLine())),
        (
            '"rtu:///dev/ttyS1", unit_id: 7, serial: {baud: 9600, parity: none}',
            ("rtu:/dev/ttyS1", timedelta(seconds=1), 125, SerialLine(9600, Parity.NONE, 2)),
        ),
    ],
)
def test_modbus_devices(address: str, expected: tuple[object, ...], bottling_line: str, load_text: Load) -> None:
    text = bottling_line.replace("tags:\n", f"  tanks: {{modbus: {address}, order: CDAB, poll: 2 s}}\ntags:\n")
    tanks = loaded_map(load_text(text)).sources["tanks"]
    assert isinstance(tanks, ModbusSource)
    assert (tanks.url, tanks.timeout, tanks.max_registers, tanks.serial) == expected
