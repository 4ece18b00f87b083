"""One table of what must not be in a tag map: each is answered by its code at its place (reliability.md, Bad inputs)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from edge_agent.config.findings import Finding
from edge_agent.config.loader import Loaded

HERE = "»"
"""Stands before the character that the finding points at."""


class Bad(NamedTuple):
    """In the bottling line's map, `old` becomes `new`; `code` is found where HERE stands."""

    code: str
    old: str
    new: str


PREFORMS = "{tag: filler.preforms_in, wraps_at: 65536, max_rate: 25 pcs/s, settle: 2 s, resets: [restart]}"
ORDER = '{node: "nsu={pv};s=::Order.No",      type: string}'
SUGGESTED = 'preforms_in: {node: "nsu={pv};s=::Infeed.Total",  type: uint16, unit: pcs}'
MODBUS_SOURCE = '  tanks: {modbus: "tcp://10.3.0.40:502", unit_id: 1, order: CDAB, poll: 2 s}\ntags:\n'


def agent(new: str, code: str) -> Bad:
    return Bad(code, "agent: l3-edge", f"agent: {new}")


def site(new: str, code: str) -> Bad:
    return Bad(code, "site: berlin", f"site: {new}")


def root(new: str, code: str) -> Bad:
    return Bad(code, "root: mat", f"root: {new}")


def counter(new: str, code: str) -> Bad:
    return Bad(code, PREFORMS, f"{{tag: filler.preforms_in, {new}}}")


def preforms(new: str, code: str) -> Bad:
    return Bad(code, SUGGESTED, f'preforms_in: {{node: "nsu={{pv}};s=::Infeed.Total", {new}}}')


def rule(new: str, code: str) -> Bad:
    """A line more in the rule `preforms_used`."""
    return Bad(code, "    from: L3-HOPPER\n", f"    from: L3-HOPPER\n    {new}\n")


def modbus(tag: str, code: str) -> Bad:
    """A tag on a Modbus source."""
    return Bad(code, "tags:\n", f"{MODBUS_SOURCE}  tanks:\n    level: {tag}\n")


def source(new: str, code: str) -> Bad:
    return Bad(code, "    security: None    ", f"    {new}\n    security: None    ")


YAML = [
    agent("»&a l3", "EA-1012"),
    agent("»*a", "EA-1012"),
    agent("»!!python/object:os.system l3", "EA-1013"),
    agent("»!x l3", "EA-1013"),
    agent("l3\n»agent: l4", "EA-1017"),
    Bad("EA-1014", "  pcs: {code: H87}", "  pcs: {»<<: {code: H87}}"),
    Bad("EA-1016", "units:\n", "»? [a, b]\n: c\nunits:\n".replace("»? ", "? »")),
    agent("l3-edge\n»---\nagent: l4", "EA-1010"),
    agent('"l3', "EA-1011").__class__("EA-1011", "pcs: {code: H87}", "pcs: {code: H87»]}"),
    agent("»" + "[" * 20, "EA-1015").__class__("EA-1015", "agent: l3-edge", "agent: " + "[" * 11 + "»" + "[" * 9),
    Bad("EA-1008", "  pcs: {code", "»\tpcs: {code"),
    agent("l3»\x01", "EA-1007"),
    agent("l3»\x00", "EA-1007"),
    agent("l3»\ufeff", "EA-1007"),
    agent("l3»\ufffe", "EA-1007"),
    agent("»NO", "EA-1101"),
    agent("»yes", "EA-1101"),
    agent("»oN", "EA-1101"),
    agent("»off", "EA-1101"),
    agent("»010", "EA-1102"),
    agent("»0o10", "EA-1102"),
    agent("»0x1F", "EA-1102"),
    agent("»0b11", "EA-1102"),
    agent("»12:30:45", "EA-1103"),
    agent("»2026-01-02", "EA-1103"),
    agent("»1_000", "EA-1104"),
    agent("».nan", "EA-1105"),
    agent("»-.INF", "EA-1105"),
    agent("»1e5", "EA-1106"),
    agent("»1e999", "EA-1106"),
    agent("».5", "EA-1107"),
    agent("»" + "7" * 70, "EA-1109"),
    agent("»" + "7" * 70 + "e", "EA-1107"),
    agent("»7", "EA-1109"),
    agent("»true", "EA-1109"),
    agent("»~", "EA-1108"),
    agent("»[l3]", "EA-1203"),
    Bad("EA-1103", 'day_starts: "06:00"', "day_starts: »06:00"),
    Bad("EA-1109", '  "300017": {name: PET', "  »300017: {name: PET"),
    Bad("EA-1109", 'material: "300017"', "material: »300017"),
    Bad("EA-1101", "  pcs: {code: H87}", "  pcs: {code: H87}\n  »off: {code: H87}"),
    Bad("EA-1106", "wraps_at: 65536", "wraps_at: »6.5536e4"),
    Bad("EA-1110", "wraps_at: 65536", "wraps_at: »65536.0"),
    Bad("EA-1110", "write: true", 'write: »"true"'),
]

SHAPES = [
    Bad("EA-1201", "agent: l3-edge", "agent: l3-edge\n»agnt: x"),
    Bad("EA-1201", "max_rate: 25 pcs/s", "max_rate: 25 pcs/s, »max_rat: 3"),
    Bad("EA-1202", "    sample: 100 ms\n", "").__class__("EA-1202", "schema: 1\n", "»"),
    Bad("EA-1202", "  filler:\n    opcua", "  »filler:\n    opcua").__class__("EA-1202", "    material: \"300017\"\n", ""),
    Bad("EA-1203", "line: {enterprise: acme, site: berlin, area: filling, line: L3}", "line: »L3"),
    Bad("EA-1203", "resets: [restart]", "resets: »restart"),
    Bad("EA-1204", "when_full: stop-and-alarm", "when_full: »drop-oldest"),
    Bad("EA-1204", "type: uint16", "type: »UINT16"),
    Bad("EA-1210", "schema: 1", "schema: »2"),
    Bad("EA-1208", "order: filler.order_no", "order: »filler.order_nr"),
    Bad("EA-1208", "order: filler.order_no", "order: »filer.order_no"),
    Bad("EA-1208", "unit: case}", "unit: »cases}"),
    Bad("EA-1208", 'material: "300017"', 'material: »"300018"'),
    Bad("EA-1208", "cadence: produced", "cadence: »producd"),
    Bad("EA-1208", "tags:\n  filler:", "tags:\n  »filer:"),
    Bad("EA-1209", "    opcua: opc.tcp://127.0.0.1:4840\n", "").__class__(
        "EA-1209", "  filler:\n    opcua: opc.tcp://127.0.0.1:4840", '  »filler:\n    modbus: "tcp://a"\n    opcua: opc.tcp://b'
    ),
]

NAMES = [
    *(agent(f'»"{text}"', "EA-1205") for text in ("a+b", "a#b", "a/b", "$SYS", "", "  ", " a", "a b", "ä", "a:b")),
    *(site(f'»"{text}"', "EA-1205") for text in ("a+b", "a#", "a/b", "$SYS", "", " ", "_", r"a\0b", r"a\x07")),
    *(site(f'»"{text}"', "EA-1205") for text in (r"a\uFFFE", r"a\U0001FFFF", r"a\u202Eb", r"a\u200Fb", r"a\uFDD0")),
    site('"a»\\ud800"', "EA-1011"),
    site('»"' + "x" * 201 + '"', "EA-1207"),
    site('»"' + "x" * 65_536 + '"', "EA-1207"),
    root('»"' + "/".join("a" * 300) + '"', "EA-1207"),
    root('»"' + "/".join("a" * 20) + '"', "EA-1207"),
    *(root(f'»"{text}"', "EA-1205") for text in ("$SYS/a", "a//b", "/a", "a/", "a/+", "#", "")),
    Bad("EA-1205", "stream: routine", 'stream: »"a/b"'),
    Bad("EA-1205", "from: L3-HOPPER", 'from: »"L3/HOPPER"'),
    Bad("EA-1205", 'name: PET preform 28 g', 'name: »"PET\\u202Epreform"'),
    Bad("EA-1205", '"900001": {name', '»"90/0001": {name'),
    Bad("EA-1205", "  packaging: {send", '  »"+": {send'),
    Bad("EA-1205", "  case: {code", '  »"ca se": {code'),
    Bad("EA-1206", "  preforms_used:", '  »"preforms used":'),
    Bad("EA-1206", "    pal_ack:     {", '    »"pal.ack":     {'),
    Bad("EA-1206", "    pal_ack:     {", '    »"": {').__class__("EA-1205", "    pal_ack:     {", '    »"":     {'),
    Bad("EA-1206", "sources:\n  filler:", "sources:\n  »2filler:"),
    Bad("EA-1206", 'namespaces: {pv:', 'namespaces: {»"0.__class__":'),
    Bad("EA-1607", 'nsu={pv};s=::Order.No"', 'nsu={0.__class__};s=::Order.No"').__class__(
        "EA-1607", '{node: "nsu={pv};s=::Order.No"', '{node: »"nsu={0.__class__};s=::Order.No"'
    ),
    Bad("EA-1607", '{node: "nsu={pv};s=::Order.No"', '{node: »"nsu={pv};s=::Order{No"'),
    Bad("EA-1607", '{node: "nsu={pv};s=::Order.No"', '{node: »"nsu={vp};s=::Order.No"'),
]

PATHS = [
    source(f'login: {{user: a, password_file: »"{path}"}}', code)
    for path, code in (
        ("../secrets/filler", "EA-1301"),
        ("secrets/../../x", "EA-1301"),
        ("/etc/passwd", "EA-1301"),
        (r"secrets/fil\0ler", "EA-1305"),
        ("", "EA-1305"),
        (".", "EA-1303"),
        ("secrets", "EA-1303"),
        ("secrets/none", "EA-1302"),
        ("secrets/filler/x", "EA-1302"),
        ("x" * 300, "EA-1207"),
        ("x/" * 600, "EA-1207"),
    )
]

FIGURES = [
    *(preforms(f"type: uint16, unit: pcs, scale: »{text}", "EA-1404") for text in ('"0"', '"-0.1"', "0", "-1", "0.000")),
    preforms("type: uint16, unit: pcs, scale: ».nan", "EA-1105"),
    preforms('type: uint16, unit: pcs, scale: »"NaN"', "EA-1403"),
    preforms('type: uint16, unit: pcs, scale: »"1e5"', "EA-1403"),
    preforms('type: uint16, unit: pcs, scale: »"' + "1" * 31 + '"', "EA-1409"),
    preforms("type: uint16, unit: pcs, range: »[5, 5]", "EA-1409"),
    preforms("type: string, »unit: pcs", "EA-1612"),
    counter("wraps_at: »0, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »-5, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »100, wraps_to: 100, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »65537, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: 65536, wraps_to: »-1, max_rate: 25 pcs/s", "EA-1705"),
    counter("»wraps_to: 5", "EA-1705"),
    counter("»wraps_at: 65536", "EA-1704"),
    counter("wraps_at: 65536, max_rate: 25 pcs/s, »saturates_at: 5", "EA-1209"),
    counter("saturates_at: »70000", "EA-1705"),
    *(counter(f"max_rate: »{text}", "EA-1404") for text in ("0 pcs/s", "-1 pcs/s")),
    *(counter(f"max_rate: »{text}", "EA-1403") for text in ("25", "25 pcs", "pcs/s", "25 pcs/parsec", "25 pcs/week")),
    counter("max_rate: »25 ps/s", "EA-1208"),
    counter("max_rate: »25 kg/s", "EA-1208"),
    counter("wraps_at: 65536, max_rate: »400000 pcs/s", "EA-1711"),
    *(counter(f"settle: »{text}", "EA-1401") for text in ("2", "2 sec", "two s", "1.5.5 s", "0.0000001 s")),
    counter("settle: »0 s", "EA-1404"),
    counter("settle: »-2 s", "EA-1404"),
    counter("settle: »999999 d", "EA-1409"),
    counter("step: »24", "EA-1403"),
    counter("resets: »[]", "EA-1108"),
    counter("resets: »[never, restart]", "EA-1209"),
    counter("resets: [»restarts]", "EA-1204"),
    counter("epoch_tag: »filler.nothing", "EA-1208"),
    Bad("EA-1402", "256 MiB", "»256 MB"),
    Bad("EA-1402", "256 MiB", "»256"),
    Bad("EA-1409", "256 MiB", "»0.5 MiB"),
    Bad("EA-1401", "keep_sent: 90 d", "keep_sent: »90"),
    Bad("EA-1407", 'day_starts: "06:00"', 'day_starts: »"24:00"'),
    Bad("EA-1407", 'day_starts: "06:00"}', 'day_starts: "06:00", shifts: {early: »"6:00"}}'),
    Bad("EA-1209", 'day_starts: "06:00"}', 'day_starts: "06:00", shifts: {a: "06:00", b: »"06:00"}}'),
    *(
        Bad("EA-1408", "Europe/Berlin", f"»{name}")
        for name in ("Europe/Berlyn", "Europe", '"../../etc/passwd"', "/etc/localtime", '"Europe/\\0"', "localtime")
        if "\\0" not in name
    ),
    Bad("EA-1410", "send: every 5 s", "send: »often"),
    Bad("EA-1410", "send: every 5 s", "send: »cron 61 * * * *"),
    Bad("EA-1401", "send: every 5 s", "send: »every 5"),
    Bad("EA-1501", "pcs: {code: H87}", "pcs: {code: »PCE}"),
    Bad("EA-1501", "pcs: {code: H87}", "pcs: {code: »XPALLET}"),
    Bad("EA-1502", "pcs: {code: H87}", "pcs: {code: H87, of: »1 case}"),
    Bad("EA-1404", "of: 24 pcs", "of: »0 pcs"),
    Bad("EA-1208", "of: 24 pcs", "of: »24 pc"),
]

ENDPOINTS = [
    *(
        Bad("EA-1601", 'url: "mqtt://127.0.0.1:1883"', f'url: »"{url}"')
        for url in (
            "http://a", "127.0.0.1:1883", "mqtt://", "mqtt://a:0", "mqtt://a:65536", "mqtt://u:p@a", "mqtt://a/b",
            "mqtt://300.1.1.1", "mqtt://[::g]", "mqtt://a b", "ws://a",
        )
    ),
    Bad("EA-1601", "opcua: opc.tcp://127.0.0.1:4840", "opcua: »http://127.0.0.1"),
    Bad("EA-1601", "opcua: opc.tcp://127.0.0.1:4840", "opcua: »opc.tcp://u:p@127.0.0.1"),
    Bad("EA-1605", "    security: None ", "    # ").__class__("EA-1605", "  filler:\n    opcua: opc.tcp://127.0.0.1:4840\n    security: None ", "  »filler:\n    opcua: opc.tcp://127.0.0.1:4840\n    # "),
    Bad("EA-1605", "security: None ", "security: »Basic256/SignAndEncrypt "),
    Bad("EA-1605", "security: None ", "security: »Basic256Sha256/Sign "),
    Bad("EA-1605", "security: None ", "security: »none "),
    Bad("EA-1606", '{node: "nsu={pv};s=::Order.No"', '{node: »"ns=2;s=::Order.No"'),
    Bad("EA-1606", '{node: "nsu={pv};s=::Order.No"', '{node: »"i=2258"'),
    Bad("EA-1606", '{node: "nsu={pv};s=::Order.No"', '{node: »"nsu={pv};i=4294967296"'),
    Bad("EA-1606", '{node: "nsu={pv};s=::Order.No"', '{node: »"nsu={pv};g=12"'),
    Bad("EA-1606", '{node: "nsu={pv};s=::Order.No"', '{node: »"::Order.No"'),
    Bad("EA-1613", f"order_no:    {ORDER}", "»order_no: {type: string}"),
    Bad("EA-1209", ORDER, '{»at: "40101", type: string}'),
    Bad("EA-1209", "tls", "tls").__class__("EA-1209", "root: mat}", "root: mat, »tls: {ca: pki/ca.pem}}"),
]

ADDRESSES = [
    *(modbus(f"{{at: »{text}, type: uint16}}", "EA-1602") for text in ("101", '"101"', '"0"', '"4010"')),
    modbus("{at: »40110.10, type: bool}", "EA-1109"),
    modbus("{at: »40110, type: uint16}", "EA-1109"),
    *(
        modbus(f'{{at: »"{text}", type: uint16}}', "EA-1603")
        for text in ("40000", "50001", "465537", "hr", "hr-1", "HR5", "40101.", "hr1.2.3", "x")
    ),
    modbus('{at: »"40110.16", type: bool}', "EA-1603"),
    modbus('{at: »"40110.01", type: bool}', "EA-1603"),
    modbus('{at: »"hr65536", type: uint16}', "EA-1610"),
    modbus('{at: »"hr65535", type: uint32}', "EA-1610"),
    modbus('{at: »"465536", type: float32}', "EA-1610"),
    modbus('{at: »"00001", type: uint16}', "EA-1604"),
    modbus('{at: »"co5", type: int32}', "EA-1604"),
    modbus('{at: »"co5.1", type: bool}', "EA-1604"),
    modbus('{at: »"40110", type: bool}', "EA-1604"),
    modbus('{at: »"40110.3", type: uint16}', "EA-1604"),
    modbus('{at: "40101", type: »string}', "EA-1611"),
    modbus('{at: "40101", type: string, length: »0}', "EA-1611"),
    modbus('{at: "40101", type: string, length: »251}', "EA-1611"),
    modbus('{at: "40101", type: uint16, »length: 2}', "EA-1611"),
    modbus('{at: "30001", type: uint16, write: »true}', "EA-1608"),
    modbus('{»node: "nsu={pv};s=x", type: uint16}', "EA-1209"),
    Bad("EA-1613", "tags:\n", f"{MODBUS_SOURCE}  tanks:\n    »level: {{type: uint16}}\n"),
    Bad("EA-1409", "tags:\n", MODBUS_SOURCE.replace("unit_id: 1", "unit_id: »256")),
    Bad("EA-1204", "tags:\n", MODBUS_SOURCE.replace("CDAB", "»ACBD")),
    Bad("EA-1202", "tags:\n", MODBUS_SOURCE.replace("  tanks", "  »tanks").replace(", poll: 2 s", "")),
    Bad("EA-1601", "tags:\n", MODBUS_SOURCE.replace('"tcp', '»"rtu')),
]

RULES = [
    Bad("EA-1701", "event: consumed", "event: »produced"),
    Bad("EA-1701", "event: moved", "event: »moved").__class__("EA-1701", "    to: WH-01\n", "").__class__(
        "EA-1701", "event: moved\n    material: \"900001\"\n    from: L3-OUT\n", "event: »moved\n    material: \"900001\"\n"
    ),
    Bad("EA-1701", "to: WH-01", "to: »L3-OUT"),
    rule("»to: L3-OUT", "EA-1701"),
    rule("»level: {tag: filler.preforms_in}", "EA-1702"),
    Bad("EA-1702", "  preforms_used:", "  »empty: {event: consumed, material: \"300017\", from: A}\n  preforms_used:"),
    rule("»quantity: filler.pal_cases", "EA-1209"),
    rule("once_per: {key: »container, within: 12 h, else: review}", "EA-1209"),
    rule("was: »bottles_made", "EA-1209"),
    rule("lot_from: {tag: »filler.no_lot}", "EA-1208"),
    rule("lot_from: »container", "EA-1209"),
    rule("lot_from: »somewhere", "EA-1204"),
    rule("only_while: »__import__('os')", "EA-1712"),
    rule("only_while: »filler.nothing", "EA-1208"),
    rule("only_while: »filler.order_no > 5", "EA-1707"),
    rule("lag: »45", "EA-1403"),
    rule("lag: »45 m", "EA-1208"),
    rule("split: »both", "EA-1204"),
    Bad("EA-1208", "material: \"300017\"\n    from: L3-HOPPER\n    order: filler.order_no", "material: \"300017\"\n    from: L3-HOPPER\n    order: »order_no").__class__(
        "EA-1205", "from: L3-HOPPER\n    order: filler.order_no", "from: L3-HOPPER\n    order: »order_no"
    ),
    Bad("EA-1706", "class: packaging, unit: pcs}", "class: packaging, unit: pcs, lot_tracked: true}\n»").__class__(
        "EA-1405", "unit: pcs}\n  \"900001\"", "unit: pcs}\n  \"900001\""
    ),
    Bad("EA-1708", "class: packaging", "class: packagin").__class__("EA-1708", "  packaging: {send", "  pack: {send"),
    Bad("EA-1707", "tag: filler.preforms_in", "tag: »filler.order_no"),
    Bad("EA-1707", "container: filler.pal_sscc", "container: »filler.pal_cases"),
    Bad("EA-1707", "trigger: filler.pal_seq", "trigger: »filler.pal_sscc"),
    Bad("EA-1202", "    quantity: filler.pal_cases\n", "").__class__("EA-1202", "  pallet_out:", "  »pallet_out:"),
    Bad("EA-1209", "result: filler.pal_result", "result: »filler.pal_ack"),
    Bad("EA-1609", 'type: uint32, write: true}', "type: uint32}").__class__("EA-1609", "ack: filler.pal_ack", "ack: »filler.pal_ack"),
    preforms("type: uint16, unit: pcs, »write: true", "EA-1608"),
    Bad("EA-1713", "ownership: [", "ownership: [{locations: \"WH-*\", owner: erp}, »").__class__(
        "EA-1713", 'owner: wms}', 'owner: wms}, »{locations: "WH-*", owner: erp}'
    ),
    Bad("EA-1205", 'locations: "WH-*"', 'locations: »"WH/#"'),
    Bad("EA-1204", "states: [available, wip]", "states: [available, »gone]"),
]
