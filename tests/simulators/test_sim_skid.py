"""The virtual skid as its clients see it: a totalizer that wraps, restarts and never lies about what was dosed."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent_simulators.plc import UINT32
from edge_agent_simulators.skid_device import SYRUP, TICK, VirtualSkid
from edge_agent_simulators.skid_faults import AFTERMATH, OUTAGES, Fault, Kind
from edge_agent_simulators.skid_frames import RtuFramer, crc
from edge_agent_simulators.skid_registers import Manners, Values, answer, image
from edge_agent_simulators.skid_script import plan

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY = "consumed/100200/4711/L3-SYRUP"
WHOLE = struct.pack(">BHH", 3, 100, 28)


def dosing(seed: int = 3, *, rate: int = 1_200, dosed: int = UINT32 - 500) -> VirtualSkid:
    skid = VirtualSkid(seed, START, rate=rate, dosed=dosed)
    skid.set_order("4711")
    skid.dose()
    return skid


def counts(skid: VirtualSkid) -> int:
    return int(skid.totals().get(KEY, Decimal(0)) * 10)


def restart(skid: VirtualSkid, **parameters: object) -> Fault:
    """A whole restart, from its injection to its end."""
    fault = skid.inject(Kind.RESTART, dict(parameters))
    while fault.ended is None:
        skid.advance(TICK)
    return fault


@settings(max_examples=25)
@given(st.integers(), st.integers(1, 5_000), st.integers(5, 120), st.integers(0, UINT32 - 1))
def test_without_faults_the_totalizer_tells_the_truth(seed: int, rate: int, seconds: int, first: int) -> None:
    skid = dosing(seed, rate=rate, dosed=first)
    skid.advance(seconds * SECOND)
    skid.rest()
    assert (skid.values.dosed - first) % UINT32 == counts(skid) == skid.status()["portions"]
    assert abs(counts(skid) - rate * seconds / 100) <= 0.2 * rate * seconds / 100 + 1
    assert skid.truth(KEY, START, skid.now) == skid.totals().get(KEY, Decimal(0))


def test_it_wraps_by_itself_and_says_so() -> None:
    skid = dosing(dosed=UINT32 - 20)
    skid.advance(10 * SECOND)
    (wrap,) = skid.faults
    assert (wrap.kind, wrap.before, wrap.after) == (Kind.WRAP32, UINT32 - 1, 0)
    assert skid.values.dosed == counts(skid) - 20


def test_the_same_seed_is_the_same_skid_whoever_reads_it() -> None:
    watched, alone = dosing(5), dosing(5)
    for _ in range(40):
        watched.advance(SECOND)
        watched.answer(WHOLE, watched.values)
    alone.advance(40 * SECOND)
    assert watched.values == alone.values
    assert watched.totals() == alone.totals()


def test_the_level_falls_is_refilled_and_trembles() -> None:
    skid = dosing()
    seen = []
    for _ in range(120 * 20):
        skid.advance(TICK)
        seen.append((skid.values.level, skid.values.refilling))
    assert any(refilling for _, refilling in seen)
    assert not all(refilling for _, refilling in seen)
    assert min(level for level, _ in seen) > 2_970
    assert max(level for level, _ in seen) < 3_030
    assert any(later > earlier for (earlier, _), (later, on) in pairwise(seen) if not on)


@pytest.mark.parametrize("rate", [1, 1_200, 250_000])
def test_the_tank_never_runs_dry(rate: int) -> None:
    skid = dosing(rate=rate)
    for _ in range(600):
        skid.advance(SECOND / 2)
        assert 2_500 < skid.values.level < 3_500 + rate / 100


def test_nothing_straddles_a_change_of_order() -> None:
    skid = dosing()
    skid.advance(10 * SECOND)
    with pytest.raises(ValueError, match="at rest"):
        skid.set_order("4712")
    skid.rest()
    skid.advance(2 * SECOND)
    first = counts(skid)
    skid.set_order("4712")
    skid.dose()
    skid.advance(10 * SECOND)
    assert counts(skid) == first
    other = skid.totals()["consumed/100200/4712/L3-SYRUP"] * 10
    assert (skid.values.dosed + 500) % UINT32 == first + other
    assert SYRUP == ("consumed", "100200", "L3-SYRUP")


def test_nothing_is_dosed_without_an_order() -> None:
    skid = VirtualSkid(1, START)
    with pytest.raises(ValueError, match="order"):
        skid.dose()
    skid.advance(5 * SECOND)
    assert skid.totals() == {}


def test_a_restart_that_keeps_the_totalizer_loses_nothing() -> None:
    skid = dosing(dosed=1_000)
    skid.advance(20 * SECOND)
    fault = skid.inject(Kind.RESTART, {"down": 2.0})
    reachable = []
    for _ in range(10):
        skid.advance(SECOND)
        reachable.append(skid.online)
    assert reachable == [False, *[True] * 9]
    assert fault.before == fault.after
    assert (fault.may_review, fault.gaps) == ([], [])
    assert skid.values.dosed == 1_000 + counts(skid)


def test_a_calm_restart_at_zero_hides_nothing() -> None:
    skid = dosing(dosed=1_000)
    skid.advance(20 * SECOND)
    fault = skid.inject(Kind.RESTART, {"totalizer": "zero", "calm": 3.0})
    skid.advance(SECOND)
    skid.told(WHOLE, skid.answer(WHOLE, skid.values), skid.values)
    told = skid.values.dosed
    while fault.ended is None:
        skid.advance(TICK)
    skid.advance(5 * SECOND)
    assert (fault.told, fault.unseen, fault.may_review) == (told, 0, [])
    assert told - 1_000 + skid.values.dosed == counts(skid)


def test_a_hard_restart_at_zero_hides_what_was_not_told() -> None:
    skid = dosing(dosed=1_000)
    skid.told(WHOLE, skid.answer(WHOLE, skid.values), skid.values)
    skid.advance(20 * SECOND)
    made = counts(skid)
    fault = restart(skid, totalizer="zero")
    skid.rest()
    assert fault.gaps == [KEY]
    assert fault.unseen == made
    assert fault.may_review == []


@pytest.mark.parametrize(("first", "seconds"), [(0, 2), (UINT32 - 3_000, 20)])
def test_a_restart_at_zero_that_looks_like_something_else_may_be_reviewed(first: int, seconds: int) -> None:
    skid = dosing(dosed=first)
    skid.advance(seconds * SECOND)
    assert restart(skid, totalizer="zero").may_review == [KEY]


def test_an_older_totalizer_may_be_reviewed() -> None:
    skid = dosing(dosed=1_000)
    skid.advance(10 * SECOND)
    fault = restart(skid, totalizer="older", back=70)
    assert fault.before is not None
    assert (fault.after, fault.may_review) == (fault.before - 70, [KEY])


def test_a_glitch_shows_something_else_and_counts_on() -> None:
    skid = dosing(dosed=1_000)
    fault = skid.inject(Kind.GLITCH, {"value": 7}, seconds=1.0)
    skid.advance(SECOND / 2)
    assert skid.values.dosed == 7
    skid.advance(2 * SECOND)
    assert fault.ended is not None
    assert skid.values.dosed == 1_000 + counts(skid)


@pytest.mark.parametrize(
    ("kind", "parameters", "message"),
    [
        (Kind.WRAP32, {}, "cannot be begun"),
        (Kind.RESTART, {"totalizer": "gone"}, "kept, zero or older"),
        (Kind.DRIP, {"dealy": 1}, "dealy"),
    ],
)
def test_an_impossible_fault_is_refused_and_leaves_no_record(
    kind: Kind, parameters: dict[str, object], message: str
) -> None:
    skid = dosing()
    with pytest.raises(ValueError, match=message):
        skid.inject(kind, parameters)
    assert skid.faults == []


def test_the_orders_of_words_and_bytes() -> None:
    values = Values(1.0, 0x0A0B0C0D, -42, dosing=False, refilling=True, lifetime=0x0102030405060708, name="AB")
    dosed = {order: image(values, order)[8:12].hex() for order in ("ABCD", "CDAB", "BADC", "DCBA")}
    assert dosed == {"ABCD": "0a0b0c0d", "CDAB": "0c0d0a0b", "BADC": "0b0a0d0c", "DCBA": "0d0c0b0a"}
    long = {order: image(values, order)[20:28].hex() for order in dosed}
    assert long == {
        "ABCD": "0102030405060708",
        "CDAB": "0708050603040102",
        "BADC": "0201040306050807",
        "DCBA": "0807060504030201",
    }
    assert image(values, "DCBA")[12:14] == struct.pack(">h", -42)
    assert image(values, "CDAB")[18:20] == bytes([0b10000100, 0])
    assert image(values, "CDAB")[40:42] == b"AB"
    assert image(values, "BADC")[40:42] == b"BA"


@pytest.mark.parametrize(
    ("request_pdu", "response"),
    [
        ("0300630001", "8302"),
        ("03007f0002", "8302"),
        ("0300640000", "8303"),
        ("030064007e", "8303"),
        ("03006400", "8303"),
        ("0600640001", "8601"),
        ("0100000010", "01020084"),
        ("02000a0001", "020101"),
        ("01000f0002", "8102"),
        ("04006a0001", "0402ffd6"),
    ],
)
def test_answers_are_those_of_the_specification(request_pdu: str, response: str) -> None:
    values = Values(1.0, 5, -42, dosing=False, refilling=True, lifetime=1, name="")
    assert answer(bytes.fromhex(request_pdu), values, Manners()).hex() == response


def test_the_rtu_framer_finds_requests_in_noise_and_pieces() -> None:
    request = bytes.fromhex("010300680002")
    framed = request + crc(request)
    assert crc(request).hex() == "45d7"
    framer = RtuFramer()
    assert list(framer.feed(b"\x01\x03\x55" + framed[:5])) == []
    (found,) = framer.feed(framed[5:])
    assert (found.unit, found.pdu, found.transaction) == (1, request[1:], None)


@pytest.mark.parametrize("serial", [False, True])
def test_a_script_does_each_fault_once_and_settles_all_but_an_outage_at_a_wrap(serial: bool) -> None:
    script = plan(11, 60, serial=serial)
    skid = VirtualSkid(11, START, dosed=UINT32 - 252, script=script)
    skid.set_order("4711")
    skid.dose()
    for _ in range(400):
        skid.advance(SECOND / 4)
        if not skid.online:
            continue
        pdu = skid.answer(WHOLE, skid.values)
        for kind in skid.faults[-1:]:
            skid.wire.hit(kind.kind, skid.now)
        skid.told(WHOLE, pdu, skid.values)
    kinds = [fault.kind for fault in skid.faults if fault.kind is not Kind.WRAP32]
    assert sorted(kinds) == sorted(planned.kind for planned in script)
    assert skid.status()["script"]["left"] == 0
    assert [fault for fault in skid.faults if fault.unseen or fault.ended is None] == []
    (wrapped,) = (fault.started for fault in skid.faults if fault.kind is Kind.WRAP32)
    doubtful = [fault for fault in skid.faults if fault.may_review]
    assert all(
        fault.kind in OUTAGES and fault.ended is not None and wrapped - fault.ended < AFTERMATH for fault in doubtful
    )
