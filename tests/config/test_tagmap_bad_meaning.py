"""Figures, units, endpoints, addresses and rules that contradict themselves or each other: a code at its place.

interfaces.md, Traps to close; derivation.md. `»` stands before the character that the finding points at.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_agent.config.findings import Finding

Edits = tuple[tuple[str, str], ...]
Check = Callable[[str, Edits], Finding]
Bad = tuple[str, Edits]

PREFORMS = "{tag: filler.preforms_in, wraps_at: 65536, max_rate: 25 pcs/s, settle: 2 s, resets: [restart]}"
PREFORMS_TAG = '{node: "nsu={pv};s=::Infeed.Total",  type: uint16, unit: pcs}'
MODBUS = '  tanks: {modbus: "tcp://10.3.0.40:502", unit_id: 1, order: CDAB, poll: 2 s}\n'
NODE = '{node: "nsu={pv};s=::Order.No"'
URL = 'url: "mqtt://127.0.0.1:1883"'


def bad(code: str, *edits: tuple[str, str]) -> Bad:
    return code, edits


def counter(new: str, code: str, *more: tuple[str, str]) -> Bad:
    return bad(code, (PREFORMS, f"{{tag: filler.preforms_in, {new}}}"), *more)


def preforms(new: str, code: str) -> Bad:
    """Another tag under the counter."""
    return bad(code, (PREFORMS_TAG, f'{{node: "nsu={{pv}};s=::Infeed.Total", {new}}}'))


def rule(new: str, code: str) -> Bad:
    """A line more in the rule `preforms_used`."""
    return bad(code, ("    from: L3-HOPPER\n", f"    from: L3-HOPPER\n    {new}\n"))


def modbus(tag: str, code: str) -> Bad:
    """A tag on a Modbus source."""
    return bad(code, ("tags:\n", f"{MODBUS}tags:\n  tanks:\n    level: {tag}\n"))


def modbus_source(old: str, new: str, code: str) -> Bad:
    return bad(code, ("tags:\n", MODBUS.replace(old, new) + "tags:\n"))


FIGURES = [
    *(
        preforms(f"type: uint16, unit: pcs, scale: »{text}", "EA-1404")
        for text in ('"0"', '"-0.1"', "0", "-1", "0.000")
    ),
    *(preforms(f'type: uint16, unit: pcs, scale: »"{text}"', "EA-1403") for text in ("NaN", "1e5", "1_0", "", "Inf")),
    preforms("type: uint16, unit: pcs, scale: ».nan", "EA-1105"),
    preforms('type: uint16, unit: pcs, scale: »"' + "1" * 31 + '"', "EA-1409"),
    preforms("type: uint16, unit: pcs, range: »[5, 5]", "EA-1409"),
    preforms("type: uint16, unit: pcs, range: »[5]", "EA-1409"),
    preforms("type: string, »unit: pcs", "EA-1612"),
    preforms("type: bool, »scale: 2", "EA-1612"),
    counter("wraps_at: »0, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »-5, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »100, wraps_to: 100, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »65537, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: 65536, wraps_to: »-1, max_rate: 25 pcs/s", "EA-1705"),
    counter("wraps_at: »65536, wraps_to: -32768, max_rate: 25 pcs/s", "EA-1705", ("type: uint16", "type: int16")),
    counter("»wraps_to: 5", "EA-1705"),
    counter("»wraps_at: 65536", "EA-1704"),
    counter("wraps_at: 65536, max_rate: 25 pcs/s, »saturates_at: 5", "EA-1209"),
    counter("saturates_at: »70000", "EA-1705"),
    *(counter(f"max_rate: »{text}", "EA-1404") for text in ("0 pcs/s", "-1 pcs/s")),
    *(counter(f"max_rate: »{text}", "EA-1403") for text in ("25", "25 pcs", "pcs/s", "25 pcs/parsec", "25 pcs/week")),
    counter("max_rate: »25 ps/s", "EA-1208"),
    counter("max_rate: »25 kg/s", "EA-1405", ("  pcs: {code: H87}", "  pcs: {code: H87}\n  kg: {code: KGM}")),
    counter("wraps_at: 65536, max_rate: »400000 pcs/s", "EA-1711"),
    *(counter(f"settle: »{text}", "EA-1401") for text in ("2", "2 sec", "two s", "1.5.5 s", "0.0000001 s")),
    *(counter(f"settle: »{text}", "EA-1404") for text in ("0 s", "-2 s")),
    counter("settle: »999999 d", "EA-1409"),
    counter("step: »24", "EA-1403"),
    counter("resets: »[]", "EA-1108"),
    counter("resets: »[never, restart]", "EA-1209"),
    counter("resets: »[restart, restart]", "EA-1209"),
    counter("resets: [»restarts]", "EA-1204"),
    counter("epoch_tag: »filler.nothing", "EA-1208"),
    counter("final_tag: »filler.order_no", "EA-1707"),
    counter("direction: »sideways", "EA-1204"),
    counter("direction: down, »wraps_at: -1, max_rate: 25 pcs/s", "EA-1705"),
    counter("direction: down, wraps_at: »65536, wraps_to: 0, max_rate: 25 pcs/s", "EA-1705"),
    counter("direction: down, wraps_at: »-2, wraps_to: 65535, max_rate: 25 pcs/s", "EA-1705"),
    counter("direction: down, wraps_at: -1, wraps_to: »65536, max_rate: 25 pcs/s", "EA-1705"),
    counter("direction: down, resets_to: 500, saturates_at: »500", "EA-1705"),
    counter("direction: up-down, »wraps_at: 65536, max_rate: 25 pcs/s", "EA-1209"),
    counter("direction: up-down, »saturates_at: 60000", "EA-1209"),
    bad(
        "EA-1209",
        ("{tag: filler.bottles_out, wraps_at: 4294967296,", "{direction: »up-down, tag: filler.bottles_out,"),
    ),
    counter("saturates_at: »0", "EA-1705"),
    counter("resets_to: »65536", "EA-1705"),
    counter("resets: »[shift]", "EA-1209"),
    bad("EA-1209", (PREFORMS, "{tag: filler.preforms_in, resets: »[order]}"), ("    order: filler.order_no\n", "")),
    counter("final_tag: »filler.preforms_in", "EA-1209"),
    counter("resets: [never], »final_tag: filler.bottles_out", "EA-1209"),
    counter("»resolution: 1 pcs", "EA-1209"),
    counter("cross_check: {tag: »filler.preforms_in, tolerance: 4 %}", "EA-1209"),
    counter("cross_check: {tag: »filler.nothing, tolerance: 4 %}", "EA-1208"),
    counter("cross_check: {tag: »filler.order_no, tolerance: 4 %}", "EA-1707"),
    counter("cross_check: {tag: filler.bottles_out, tolerance: »4}", "EA-1403"),
    counter("cross_check: {tag: filler.bottles_out, tolerance: »4 kg}", "EA-1208"),
    counter("direction: up-down, »cross_check: {tag: filler.bottles_out, tolerance: 4 %}", "EA-1209"),
    *(
        bad(
            "EA-1709",
            (PREFORMS_TAG, PREFORMS_TAG.replace("uint16", kind)),
            (PREFORMS, f"{{tag: filler.preforms_in, {key}}}"),
        )
        for kind, key in (
            ("float32", "saturates_at: 100000, resolution: »0.005 pcs"),
            ("float64", "saturates_at: 1000000000, resolution: »0.0000001 pcs"),
        )
    ),
    *(
        bad(
            "EA-1705",
            (PREFORMS_TAG, PREFORMS_TAG.replace("uint16", "float32")),
            (PREFORMS, f"{{tag: filler.preforms_in, {key}}}"),
        )
        for key in (
            "saturates_at: »100001, resolution: 5 pcs",
            "saturates_at: 100000, resolution: 4 pcs, resets_to: »2",
        )
    ),
    bad("EA-1402", ("256 MiB", "»256 MB")),
    bad("EA-1402", ("256 MiB", "»256")),
    bad("EA-1404", ("256 MiB", "»-1 MiB")),
    bad("EA-1409", ("256 MiB", "»0.5 MiB")),
    bad("EA-1401", ("keep_sent: 90 d", "keep_sent: »90")),
    bad("EA-1407", ('day_starts: "06:00"', 'day_starts: »"24:00"')),
    bad("EA-1407", ('day_starts: "06:00"}', 'day_starts: "06:00", shifts: {early: »"6:00"}}')),
    bad("EA-1209", ('day_starts: "06:00"}', 'day_starts: "06:00", shifts: {a: "06:00", b: »"06:00"}}')),
    *(
        bad("EA-1408", ("Europe/Berlin", f"»{name}"))
        for name in ("Europe/Berlyn", "Europe", "/etc/localtime", "localtime")
    ),
    bad("EA-1408", ("Europe/Berlin", '»"../../etc/passwd"')),
    bad("EA-1410", ("send: every 5 s", "send: »often")),
    *(
        bad("EA-1410", ("send: every 5 s", f"send: »cron {text}"))
        for text in ("61 * * * *", "* * *", "a * * * *", "5-1 * * * *")
    ),
    bad("EA-1401", ("send: every 5 s", "send: »every 5")),
    bad("EA-1409", ("send: every 5 s", "send: »every 3000 d")),
    bad("EA-1209", ("send: at-once, ", "send: at-once, »aligned: clock, ")),
    bad("EA-1501", ("pcs: {code: H87}", "pcs: {code: »PCE}")),
    bad("EA-1501", ("pcs: {code: H87}", "pcs: {code: »XPALLET}")),
    bad("EA-1502", ("pcs: {code: H87}", "pcs: {code: H87, of: »1 case}")),
    bad("EA-1404", ("of: 24 pcs", "of: »0 pcs")),
    bad("EA-1208", ("of: 24 pcs", "of: »24 pc")),
    bad(
        "EA-1406",
        ("class: packaging, unit: pcs", "class: packaging, unit: case"),
        ("tag: filler.preforms_in", "tag: »filler.preforms_in"),
    ),
    bad("EA-1406", ("class: packaging, unit: pcs", 'class: packaging, unit: pcs, precision: »"0.0000000001"')),
    bad(
        "EA-1405",
        ("class: packaging, unit: pcs", "class: packaging, unit: kg"),
        ("  pcs: {code: H87}", "  pcs: {code: H87}\n  kg: {code: KGM}"),
        ("tag: filler.preforms_in", "tag: »filler.preforms_in"),
    ),
    bad("EA-1405", ("class: packaging, unit: pcs", "class: packaging, unit: pcs, density: »2 case/pcs")),
    bad(
        "EA-1710",
        (PREFORMS_TAG, PREFORMS_TAG.replace(", unit: pcs", "")),
        ("tag: filler.preforms_in", "tag: »filler.preforms_in"),
    ),
    bad("EA-1709", (PREFORMS_TAG, PREFORMS_TAG.replace("uint16", "float32")), (PREFORMS, "{tag: »filler.preforms_in}")),
    bad(
        "EA-1709",
        (PREFORMS_TAG, PREFORMS_TAG.replace("uint16", "float32")),
        (PREFORMS, "{tag: »filler.preforms_in, wraps_at: 16777217, max_rate: 25 pcs/s}"),
    ),
]

ENDPOINTS = [
    *(
        bad("EA-1601", (URL, f'url: »"{url}"'))
        for url in (
            "http://a",
            "127.0.0.1:1883",
            "mqtt://",
            "mqtt://a:0",
            "mqtt://a:65536",
            "mqtt://u:p@a",
            "mqtt://a/b",
            "mqtt://300.1.1.1",
            "mqtt://[::g]",
            "mqtt://a b",
            "ws://a",
        )
    ),
    bad("EA-1601", ('opcua: "opc.tcp://127.0.0.1:4840"', 'opcua: »"http://127.0.0.1"')),
    bad("EA-1601", ('opcua: "opc.tcp://127.0.0.1:4840"', 'opcua: »"opc.tcp://u:p@127.0.0.1"')),
    bad("EA-1605", ("    security: None ", "    # "), ("sources:\n  filler", "sources:\n  »filler")),
    *(
        bad("EA-1605", ("security: None ", f"security: »{text} "))
        for text in ("Basic256/SignAndEncrypt", "Basic256Sha256/Encrypt", "none", "Basic256Sha256")
    ),
    bad("EA-1209", ("    security: None ", "    »trust: ca.pem\n    security: None ")),
    bad("EA-1209", ("    security: None ", "    »application: {cert: ca.pem, key: ca.pem}\n    security: None ")),
    *(
        bad("EA-1606", (NODE, f'{{node: »"{node}"'))
        for node in (
            "ns=2;s=::Order.No",
            "i=2258",
            "nsu={pv};i=4294967296",
            "nsu={pv};g=12",
            "nsu={pv};b=?",
            "::Order",
            "nsu=;s=a",
        )
    ),
    bad(
        "EA-1613",
        ("order_no:    {node", "»order_no:    {range"),
        ('{range: "nsu={pv};s=::Order.No",      type: string}', "{type: string}"),
    ),
    bad("EA-1209", (f"{NODE},", '{»at: "40101",')),
    bad("EA-1209", ("root: mat}", "root: mat, »tls: {ca: pki/ca.pem}}")),
    bad("EA-1202", (URL, 'url: "mqtts://a"'), ("root: mat}", "root: mat, tls: {»cert: pki/ca.pem}}")),
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
    bad("EA-1613", ("tags:\n", f"{MODBUS}tags:\n  tanks:\n    »level: {{type: uint16}}\n")),
    modbus_source("unit_id: 1", "unit_id: »256", "EA-1409"),
    modbus_source("CDAB", "»ACBD", "EA-1204"),
    modbus_source('"tcp', '»"rtu', "EA-1601"),
    modbus_source('"tcp://10.3.0.40:502"', '»"rtu:/etc/passwd"', "EA-1601"),
    modbus_source('"tcp://10.3.0.40:502"', '»"rtu:/dev/../etc/x"', "EA-1601"),
    modbus_source('"tcp://10.3.0.40:502", unit_id: 1', '"rtu:/dev/ttyS0", unit_id: »0', "EA-1409"),
    modbus_source('"tcp://10.3.0.40:502", unit_id: 1', '"rtu:/dev/ttyS0", unit_id: »248', "EA-1409"),
    modbus_source("poll: 2 s", "poll: 2 s, max_registers: »126", "EA-1409"),
    modbus_source("poll: 2 s", "poll: 2 s, max_registers: »3", "EA-1409"),
    modbus_source("poll: 2 s", "poll: 2 s, »serial: {baud: 9600}", "EA-1209"),
    modbus_source('"tcp://10.3.0.40:502"', '"rtu:/dev/ttyS0", serial: {baud: »7}', "EA-1409"),
    modbus_source('"tcp://10.3.0.40:502"', '"rtu:/dev/ttyS0", serial: {stop_bits: »3}', "EA-1409"),
    modbus_source('"tcp://10.3.0.40:502"', '"rtu:/dev/ttyS0", serial: {parity: »mark}', "EA-1204"),
    bad("EA-1209", ("send: every 5 s", "»aligned: clock, send: every 7 min")),
    bad("EA-1209", ("send: every 5 s", "send: every 5 s, or_at: »[shift-end]")),
    bad("EA-1209", ("send: at-once", "»max_qty: 5 pcs, send: at-once")),
    bad("EA-1209", ("send: at-once", "»or_at: [order-change], send: at-once")),
    bad("EA-1204", ("send: every 5 s", "send: every 5 s, or_at: [»noon]")),
    bad("EA-1202", ("tags:\n", MODBUS.replace("  tanks", "  »tanks").replace(", poll: 2 s", "") + "tags:\n")),
]

RULES = [
    bad("EA-1701", ("event: consumed", "event: »produced")),
    bad("EA-1701", ("event: moved", "event: »moved"), ("    to: WH-01\n", "")),
    bad("EA-1701", ("to: WH-01", "to: »L3-OUT")),
    bad("EA-1701", ("event: consumed", "event: »adjusted"), ("from: L3-HOPPER", "from: A\n    to: B")),
    rule("»to: L3-OUT", "EA-1701"),
    rule("»level: {tag: filler.preforms_in}", "EA-1702"),
    bad("EA-1702", ("  preforms_used:", '  »empty: {event: consumed, material: "300017", from: A}\n  preforms_used:')),
    rule("»quantity: filler.pal_cases", "EA-1209"),
    rule("once_per: {key: »container, within: 12 h, else: review}", "EA-1209"),
    rule("was: »bottles_made", "EA-1209"),
    bad(
        "EA-1209",
        ("    from: L3-HOPPER", "    was: a\n    from: L3-HOPPER"),
        ("    to: L3-OUT", "    was: »a\n    to: L3-OUT"),
    ),
    rule("lot_from: {tag: »filler.no_lot}", "EA-1208"),
    rule("lot_from: »container", "EA-1209"),
    rule("lot_from: »block", "EA-1209"),
    rule("»lot: filler.pal_sscc", "EA-1209"),
    rule("operator: »filler.nobody", "EA-1208"),
    rule("container: »filler.pal_cases", "EA-1707"),
    rule("into_lot: »filler.nobody", "EA-1208"),
    rule("lag: 5 pcs\n    into_lot: »filler.pal_sscc", "EA-1209"),
    bad(
        "EA-1209", ("    quantity: filler.pal_cases", "    into_lot: »filler.pal_sscc\n    quantity: filler.pal_cases")
    ),
    rule("lag: »3 parsecs", "EA-1208"),
    bad("EA-1209", ("    quantity: filler.pal_cases", "    lag: »5 pcs\n    quantity: filler.pal_cases")),
    bad("EA-1209", ("    quantity: filler.pal_cases", "    lot_from: »block\n    quantity: filler.pal_cases")),
    rule("lot_from: »somewhere", "EA-1204"),
    bad("EA-1209", ("    quantity: filler.pal_cases", "    lot_from: »blend\n    quantity: filler.pal_cases")),
    bad("EA-1209", ("to: L3-OUT", "to: L3-OUT\n    lot_from: »fifo")),
    bad(
        "EA-1209",
        (
            "  bottles_made:",
            "  more: {event: scrapped, material: '300017', from: L3-HOPPER, lot_from: »blend}\n  bottles_made:",
        ),
        ("from: L3-HOPPER", "from: L3-HOPPER\n    lot_from: fifo"),
    ),
    rule("only_while: »__import__('os')", "EA-1712"),
    rule('only_while: »filler.order_no > "a"', "EA-1712"),
    rule("only_while: »filler.nothing", "EA-1208"),
    rule("only_while: »filler.pal_seq > 5 and filler.nothing", "EA-1208"),
    rule("only_while: »filler.pal_seq == packml.Running", "EA-1712"),
    rule("only_while: »filler.pal_seq in (packml.Execute, 'Held')", "EA-1707"),
    rule("only_while: »filler.order_no > 5", "EA-1707"),
    rule("pause_while: {when: »filler.order_no, on_resume: book}", "EA-1707"),
    rule("lag: »45", "EA-1403"),
    rule("lag: »45 m", "EA-1208"),
    rule("split: »both", "EA-1204"),
    bad(
        "EA-1706",
        ("class: packaging,", "lot_tracked: true, class: packaging,"),
        ('material: "300017"', 'material: »"300017"'),
    ),
    bad("EA-1708", ("  packaging: {send", "  pack: {send"), ('material: "300017"', 'material: »"300017"')),
    bad("EA-1707", ("tag: filler.preforms_in", "tag: »filler.order_no")),
    bad(
        "EA-1707",
        ("order: filler.order_no", "order: »filler.running"),
        ("    pal_seq:", '    running: {node: "nsu={pv};s=R", type: bool}\n    pal_seq:'),
    ),
    bad("EA-1707", ("container: filler.pal_sscc", "container: »filler.pal_cases")),
    bad("EA-1707", ("trigger: filler.pal_seq", "trigger: »filler.pal_sscc")),
    bad("EA-1707", ("ack: filler.pal_ack", "ack: »filler.pal_result")),
    bad("EA-1202", ("    quantity: filler.pal_cases\n", ""), ("  pallet_out:", "  »pallet_out:")),
    bad("EA-1209", ("result: filler.pal_result", "result: »filler.pal_ack")),
    bad("EA-1609", ("type: uint32, write: true}", "type: uint32}"), ("ack: filler.pal_ack", "ack: »filler.pal_ack")),
    preforms("type: uint16, unit: pcs, »write: true", "EA-1608"),
    bad(
        "EA-1703",
        ("tags:\n", f'{MODBUS}tags:\n  tanks: {{n: {{at: "40101", type: int16, unit: case}}}}\n'),
        ("quantity: filler.pal_cases", "quantity: »tanks.n"),
    ),
    bad("EA-1713", ("owner: wms}", 'owner: wms}, »{locations: "WH-*", owner: erp}')),
    bad("EA-1205", ('locations: "WH-*"', 'locations: »"WH/#"')),
    bad("EA-1204", ("states: [available, wip]", "states: [available, »gone]")),
]


def _name(case: Bad) -> str:
    return f"{case[0]}-{case[1][-1][1].strip()[:60]}"


@pytest.mark.parametrize("case", [*FIGURES, *ENDPOINTS, *ADDRESSES, *RULES], ids=_name)
def test_a_bad_meaning_is_answered_at_its_place(case: Bad, check_bad: Check) -> None:
    check_bad(*case)


def test_an_ambiguous_address_is_asked_back_with_both_readings(check_bad: Check) -> None:
    finding = check_bad(*modbus("{at: »101, type: uint16}", "EA-1602"))
    assert "40101 (1-based) or hr101 (0-based, = 40102)?" in finding.message
