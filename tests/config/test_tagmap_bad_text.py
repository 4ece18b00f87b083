"""YAML, scalars, shapes, names and paths that must not be in a tag map: each has its code at its place.

reliability.md, Bad inputs. `»` stands before the character that the finding points at.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge_agent.config.findings import Finding

Edits = tuple[tuple[str, str], ...]
Check = Callable[[str, Edits], Finding]
Bad = tuple[str, Edits]

MODBUS = ("tags:\n", '  tanks: {modbus: "tcp://10.3.0.40:502", unit_id: 1, order: CDAB, poll: 2 s}\ntags:\n')
NODE = '{node: "nsu={pv};s=::Order.No"'


def bad(code: str, *edits: tuple[str, str]) -> Bad:
    return code, edits


def agent(new: str, code: str) -> Bad:
    return bad(code, ("agent: l3-edge", f"agent: {new}"))


def site(new: str, code: str) -> Bad:
    return bad(code, ("site: berlin", f"site: {new}"))


def root(new: str, code: str) -> Bad:
    return bad(code, ("root: mat", f"root: {new}"))


def password(path: str, code: str) -> Bad:
    return bad(code, ("    security: None", f'    login: {{user: a, password_file: »"{path}"}}\n    security: None'))


YAML = [
    agent("»&a l3", "EA-1012"),
    agent("»*a", "EA-1012"),
    agent("»!!python/object:os.system l3", "EA-1013"),
    agent("»!x l3", "EA-1013"),
    agent("»!!str 5", "EA-1013"),
    agent("l3\n»agent: l4", "EA-1017"),
    bad(
        "EA-1017",
        ("    preforms_in:", "    order_no: {type: string}\n    preforms_in:"),
        ("    order_no: {type", "    »order_no: {type"),
    ),
    bad("EA-1014", ("  pcs: {code: H87}", "  pcs: {»<<: {code: H87}}")),
    bad("EA-1016", ("units:\n", "? »[a, b]\n: c\nunits:\n")),
    bad("EA-1016", ("units:\n", "»{a: b}: c\nunits:\n")),
    agent("l3-edge\n»---\nagent: l4", "EA-1010"),
    bad("EA-1011", ("pcs: {code: H87}", "pcs: {code: H87»]}")),
    agent("[" * 11 + "»" + "[" * 9, "EA-1015"),
    bad("EA-1008", ("  pcs: {code", "»\tpcs: {code")),
    *(agent(f"l3»{character}", "EA-1007") for character in "\x01\x00\x7f\x85\u2028\ufeff\ufffe"),
    *(agent(f"»{word}", "EA-1111") for word in ("NO", "yes", "oN", "off", "Y")),
    *(agent(f"»{number}", "EA-1102") for number in ("010", "0o10", "0x1F", "0b11", "-010")),
    *(agent(f"»{number}", "EA-1103") for number in ("12:30:45", "06:00", "2026-01-02")),
    *(agent(f"»{number}", "EA-1104") for number in ("1_000", "1_0.5")),
    *(agent(f"»{number}", "EA-1105") for number in (".nan", ".inf", "-.INF")),
    *(agent(f"»{number}", "EA-1106") for number in ("1e5", "1e999", "1.5E-3")),
    *(agent(f"»{number}", "EA-1107") for number in (".5", "5.", "=", "7" * 70 + "e")),
    *(agent(f"»{number}", "EA-1109") for number in ("7", "-7.5", "true", "9" * 100)),
    *(agent(f"»{nothing}", "EA-1108") for nothing in ("~", "null", "Null")),
    agent("»[l3]", "EA-1203"),
    bad("EA-1103", ('day_starts: "06:00"', "day_starts: »06:00")),
    bad("EA-1109", ('  "300017": {name: PET', "  »300017: {name: PET")),
    bad("EA-1109", ('material: "300017"', "material: »300017")),
    bad("EA-1111", ("  pcs: {code: H87}", "  pcs: {code: H87}\n  »off: {code: H87}")),
    bad("EA-1106", ("wraps_at: 65536", "wraps_at: »6.5536e4")),
    bad("EA-1110", ("wraps_at: 65536", "wraps_at: »65536.0")),
    bad("EA-1110", ("wraps_at: 65536", "wraps_at: »true")),
    bad("EA-1409", ("wraps_at: 65536", "wraps_at: »" + "9" * 100)),
    bad("EA-1207", ("wraps_at: 65536", "wraps_at: »" + "9" * 5000)),
    bad("EA-1110", ("write: true", 'write: »"true"')),
]

SHAPES = [
    bad("EA-1201", ("agent: l3-edge", "agent: l3-edge\n»agnt: x")),
    bad("EA-1201", ("max_rate: 25 pcs/s", "max_rate: 25 pcs/s, »max_rat: 3")),
    bad("EA-1202", ("    sample: 100 ms\n", ""), ("  filler:", "  »filler:")),
    bad("EA-1202", ('    material: "300017"\n', ""), ("  preforms_used:", "  »preforms_used:")),
    bad("EA-1203", ("{enterprise: acme, site: berlin, area: filling, line: L3}", "»L3")),
    bad("EA-1203", ("resets: [restart]", "resets: »restart")),
    bad("EA-1203", ("  pcs: {code: H87}", "  pcs: »H87")),
    bad("EA-1203", ("ownership: [", "ownership: »{a: b}\nmore: [")),
    bad("EA-1204", ("when_full: stop-and-alarm", "when_full: »drop-oldest")),
    bad("EA-1204", ("type: uint16", "type: »UINT16")),
    bad("EA-1210", ("schema: 1", "schema: »2")),
    bad("EA-1210", ("schema: 1", 'schema: »"1"')),
    bad("EA-1208", ("order: filler.order_no", "order: »filler.order_nr")),
    bad("EA-1208", ("order: filler.order_no", "order: »filer.order_no")),
    bad("EA-1205", ("order: filler.order_no", "order: »order_no")),
    bad("EA-1208", ("unit: case}", "unit: »cases}")),
    bad("EA-1208", ('material: "300017"', 'material: »"300018"')),
    bad("EA-1208", ("cadence: produced", "cadence: »producd")),
    bad("EA-1208", ("tags:\n  filler:", "tags:\n  »filer:")),
    bad("EA-1209", ("  filler:\n", '  »filler:\n    modbus: "tcp://a"\n')),
]

NAMES = [
    *(agent(f'»"{text}"', "EA-1205") for text in ("a+b", "a#b", "a/b", "$SYS", "", "  ", " a", "a b", "ä", "a:b")),
    *(site(f'»"{text}"', "EA-1205") for text in ("a+b", "a#", "a/b", "$SYS", "", " ", "_", r"a\0b", r"a\x07")),
    *(site(f'»"{text}"', "EA-1205") for text in (r"a\uFFFE", r"a\U0001FFFF", r"a\u202Eb", r"a\u200Fb", r"a\uFDD0")),
    site(r'"a\u»d800"', "EA-1011"),
    site('»"' + "x" * 201 + '"', "EA-1207"),
    site('»"' + "x" * 65_536 + '"', "EA-1207"),
    root('»"' + "/".join("a" * 300) + '"', "EA-1207"),
    root('»"' + "/".join("a" * 20) + '"', "EA-1207"),
    *(root(f'»"{text}"', "EA-1205") for text in ("$SYS/a", "a//b", "/a", "a/", "a/+", "#", "")),
    bad("EA-1205", ("stream: routine", 'stream: »"a/b"')),
    bad("EA-1205", ("from: L3-HOPPER", 'from: »"L3/HOPPER"')),
    bad("EA-1205", ("name: PET preform 28 g", r'name: »"PET\u202Epreform"')),
    bad("EA-1205", ('"900001": {name', '»"90/0001": {name')),
    bad("EA-1205", ("  packaging: {send", '  »"+": {send')),
    bad("EA-1205", ("  case: {code", '  »"ca se": {code')),
    bad("EA-1205", ("  case: {code", '  »"25case": {code')),
    bad("EA-1205", ("    pal_ack:     {", '    »"":     {')),
    bad("EA-1206", ("  preforms_used:", '  »"preforms used":')),
    bad("EA-1206", ("    pal_ack:     {", '    »"pal.ack":     {')),
    bad("EA-1206", ("sources:\n  filler:", "sources:\n  »2filler:")),
    bad("EA-1206", ("namespaces: {pv:", 'namespaces: {»"0.__class__":')),
    bad("EA-1607", (NODE, '{node: »"nsu={0.__class__};s=::Order.No"')),
    bad("EA-1607", (NODE, '{node: »"nsu={pv.__class__};s=::Order.No"')),
    bad("EA-1607", (NODE, '{node: »"nsu={pv};s=::Order{No"')),
    bad("EA-1607", (NODE, '{node: »"nsu={vp};s=::Order.No"')),
    bad("EA-1607", (NODE, '{node: »"nsu={};s=::Order.No"')),
]

PATHS = [
    password("../secrets/filler", "EA-1301"),
    password("secrets/../../x", "EA-1301"),
    password("/etc/passwd", "EA-1301"),
    password(r"secrets/fil\0ler", "EA-1305"),
    password("", "EA-1305"),
    password(".", "EA-1303"),
    password("secrets", "EA-1303"),
    password("secrets/none", "EA-1302"),
    password("secrets/filler/x", "EA-1302"),
    password("x" * 300, "EA-1207"),
    password("x/" * 600, "EA-1207"),
]


def _name(case: Bad) -> str:
    return f"{case[0]}-{case[1][0][1][:40]}"


@pytest.mark.parametrize("case", [*YAML, *SHAPES, *NAMES, *PATHS], ids=_name)
def test_a_bad_text_is_answered_at_its_place(case: Bad, check_bad: Check) -> None:
    finding = check_bad(*case)
    rendered = finding.render()
    assert rendered.isprintable() or set(rendered) - set("\n") == set(filter(str.isprintable, rendered))
    assert len(rendered) < 1000


@pytest.mark.parametrize(
    ("code", "edits", "suggestion"),
    [
        (*agent("l3\n»agnt: x", "EA-1201"), "`agent`"),
        (*bad("EA-1208", ("order: filler.order_no", "order: »filler.order_nr")), "`order_no`"),
        (*bad("EA-1208", ("unit: case}", "unit: »cas}")), "`case`"),
        (*bad("EA-1408", ("Europe/Berlin", "»Europe/Berlyn")), "`Europe/Berlin`"),
        (*bad("EA-1204", ("type: uint16", "type: »UINT16")), "uint16"),
        (*bad("EA-1501", ("pcs: {code: H87}", "pcs: {code: »PCE}")), "H87"),
        (*bad("EA-1109", ('material: "300017"', "material: »300017")), '"300017"'),
        (*bad("EA-1202", ("    sample: 100 ms\n", ""), ("  filler:", "  »filler:")), "sample: 100 ms"),
    ],
)
def test_the_suggestion_says_what_to_write(code: str, edits: Edits, suggestion: str, check_bad: Check) -> None:
    assert suggestion in (check_bad(code, edits).suggestion or "")
