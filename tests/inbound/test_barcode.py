"""Barcodes: what is encoded is read again, whatever way it comes; what is doubtful is refused with one sentence."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.rec20 import KNOWN
from edge_agent.inbound import barcode
from edge_agent.inbound.barcode import BarcodeRefused, Scanned

TODAY = date(2026, 11, 24)
FNC1 = "\x1d"
GTIN = "07032069804988"
OTHER = "04012345000009"
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in GTIN)
SSCC = "157035381410375177"
SYMBOLS = ("]C1", "]d2", "]Q3", "]e0", "]J1")
MEASURES = {"310": "KGM", "315": "LTR", "316": "MTQ", "311": "MTR", "314": "MTK", "320": "LBR", "361": "GLL"}
GS1_CHARACTERS = "".join(chr(one) for one in range(0x21, 0x7F) if re.match(r"[!%-?A-Z_a-z\x22]", chr(one)))

lots = st.text(GS1_CHARACTERS, min_size=1, max_size=20)


def parse(text: str) -> Scanned:
    return barcode.parse(text, TODAY)


def why(text: str) -> str:
    with pytest.raises(BarcodeRefused) as refused:
        parse(text)
    said = str(refused.value)
    assert said.isprintable()
    assert len(said) <= 300
    return said


def with_check_digit(payload: str) -> str:
    weighted = sum(int(digit) * (3, 1)[at % 2] for at, digit in enumerate(reversed(payload)))
    return f"{payload}{-weighted % 10}"


@st.composite
def numbers(draw: st.DrawFn, length: int) -> str:
    first = draw(st.integers(1, 9))
    return with_check_digit(f"{first}{draw(st.integers(0, 10 ** (length - 2) - 1)):0{length - 2}d}")


@st.composite
def labels(draw: st.DrawFn) -> tuple[list[tuple[str, str]], Scanned]:
    """Element strings in any order, and what they say."""
    gtin, lot, serial = draw(numbers(14)), draw(st.none() | lots), draw(st.none() | lots)
    sscc, expiry = draw(st.none() | numbers(18)), draw(st.none() | st.dates(date(1977, 1, 1), date(2076, 12, 31)))
    parts = [("01", gtin)]
    parts += [("10", lot)] if lot else []
    parts += [("21", serial)] if serial else []
    parts += [("00", sscc)] if sscc else []
    parts += [("17", f"{expiry:%y%m%d}")] if expiry else []
    parts += draw(st.sampled_from([[], [("15", "280131")], [("240", "X/1")], [("3300", "000500")], [("422", "276")]]))
    measure = draw(st.none() | st.sampled_from(["30", *MEASURES]))
    quantity, unit = None, None
    if measure == "30":
        count = draw(st.integers(1, 99_999_999))
        quantity, unit = Decimal(count), "H87"
        parts.append(("30", str(count)))
    elif measure is not None:
        digits, decimals = draw(st.integers(1, 999_999)), draw(st.integers(0, 5))
        quantity, unit = Decimal(digits).scaleb(-decimals), MEASURES[measure]
        parts.append((f"{measure}{decimals}", f"{digits:06d}"))
    parts = draw(st.permutations(parts))
    text = "".join(f"({ai}){data}" for ai, data in parts)
    return parts, Scanned(text, gtin, lot, serial, sscc, quantity, unit, expiry)


def fixed(ai: str) -> bool:
    """Those that GS1 lists as of predefined length (General Specifications, figure 7.8.5-2)."""
    return ai[:2] in {"00", "01", "02", "03", "04", *map(str, range(11, 21)), *map(str, range(31, 37)), "41"}


def encoded(parts: list[tuple[str, str]], *, always: bool = False) -> str:
    text = "".join(ai + data + ("" if fixed(ai) and not always else FNC1) for ai, data in parts)
    return text.removesuffix(FNC1)


@given(labels(), st.sampled_from(SYMBOLS), st.booleans(), st.sampled_from(["", "\r", "\r\n", "\t"]))
def test_what_is_encoded_is_read_again(
    label: tuple[list[tuple[str, str]], Scanned], symbol: str, always: bool, suffix: str
) -> None:
    parts, expected = label
    assert parse(f"{symbol}{encoded(parts, always=always)}{suffix}") == expected
    assert parse(f"{FNC1}{encoded(parts)}{FNC1}") == expected


@given(labels(), st.sampled_from(["", " "]))
def test_what_is_printed_under_a_barcode_can_be_typed(label: tuple[list[tuple[str, str]], Scanned], blank: str) -> None:
    parts, expected = label
    typed = "".join(f"({ai}){blank}{data}{blank}" for ai, data in parts)
    if any(one in data for _, data in parts for one in "()"):
        assert "parentheses" in why(typed)
    else:
        assert parse(typed) == expected


@given(st.sampled_from([8, 12, 13, 14]).flatmap(numbers))
def test_a_plain_gtin_becomes_14_digits(digits: str) -> None:
    symbol = {8: "]E4", 12: "]E0", 13: "]E0", 14: "]I1"}[len(digits)]
    assert parse(f"{symbol}{digits}") == Scanned(digits, gtin=digits.zfill(14))
    if len(digits) > 8:
        assert parse(digits) == Scanned(digits, gtin=digits.zfill(14))


@given(numbers(18))
def test_a_plain_sscc(digits: str) -> None:
    assert parse(digits) == parse(digits + "\n") == Scanned(digits, sscc=digits)


@given(st.sampled_from([8, 12, 13, 14, 18]).flatmap(numbers), st.integers(1, 9), st.data())
def test_one_wrong_digit_is_noticed(digits: str, by: int, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(digits) - 1))
    wrong = f"{digits[:at]}{(int(digits[at]) + by) % 10}{digits[at + 1 :]}"
    assert "check digit" in why(wrong)


def test_a_gtin_8_and_a_upc_e_are_told_apart() -> None:
    assert parse("96385074") == Scanned("96385074", gtin="00000096385074")
    both = next(
        digits
        for number in range(1_000_000, 2_000_000)
        if (digits := with_check_digit(str(number))) and barcode._is_upc_e(digits)
    )
    assert "UPC-E" in why(both)
    assert parse(f"]E4{both}").gtin == both.zfill(14)


def test_a_pallet_says_what_it_holds() -> None:
    found = parse(f"]C100{SSCC}02{OTHER}3712{FNC1}10L7")
    assert (found.sscc, found.gtin, found.lot, found.quantity, found.unit) == (SSCC, OTHER, "L7", Decimal(12), "H87")
    assert found.text == f"(00){SSCC}(02){OTHER}(37)12(10)L7"


def test_a_lot_alone_is_taken_where_it_is_marked_as_one() -> None:
    assert parse("(10)L7").lot == parse("]C110L7").lot == parse(f"{FNC1}10L7").lot == "L7"
    assert "may be anything" in why("10L7")
    assert "may be anything" in why("96XY")


@pytest.mark.parametrize(
    ("digits", "day"),
    [
        ("270200", date(2027, 2, 28)),
        ("280200", date(2028, 2, 29)),
        ("761231", date(2076, 12, 31)),
        ("770101", date(1977, 1, 1)),
        ("000100", date(2000, 1, 31)),
    ],
)
def test_two_digit_years_and_day_zero(digits: str, day: date) -> None:
    assert parse(f"(01){GTIN}(17){digits}").expiry == day


def test_expiry_with_a_time_is_the_same_day() -> None:
    assert parse(f"(01){GTIN}(7003)2612312359").expiry == date(2026, 12, 31)
    assert parse(f"(01){GTIN}(17)261231(7003)2612310600").expiry == date(2026, 12, 31)
    assert "two expiry dates" in why(f"(01){GTIN}(17)261230(7003)2612310600")


def test_the_century_follows_the_day_it_is_read() -> None:
    assert barcode.parse("(17)760101", date(2020, 1, 1)).expiry == date(1976, 1, 1)
    assert barcode.parse("(17)020101", date(2080, 1, 1)).expiry == date(2102, 1, 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \r\n", "is empty"),
        (FNC1, "is empty"),
        ("]C1", "is empty"),
        ("]", "no GS1 barcode"),
        ("]Y", "no GS1 barcode"),
        ("]C0ABC", "no GS1 barcode"),
        (f"]Q1https://id.gs1.org/01/{GTIN}", "no GS1 barcode"),
        ("]E0123", "12 or 13 digits"),
        ("]E01234567890x28", "numerical"),
        ("]E012345678901\u0968", "which no GS1 barcode does"),
        ("junk", "no application identifier"),
        ("hello world", "no GS1 barcode does"),
        (f"01{GTIN}junk", "'junk' begins no application identifier"),
        (f"]C101{GTIN}{FNC1}{FNC1}10L7", "begins no application identifier"),
        (f"]C1]C101{GTIN}", "begins no application identifier"),
        (f"01{GTIN} 10L7", "no GS1 barcode does"),
        (f"01{GTIN}\x0010L7", r"'\x00'"),
        (f"01{GTIN}10L\N{LATIN SMALL LETTER U WITH DIAERESIS}7", "no GS1 barcode does"),
        (FULL_WIDTH, "no GS1 barcode does"),
        (f"(01){FULL_WIDTH}", "no GS1 barcode does"),
        (f"(01){GTIN}(10)\u202eL7", r"'\u202e'"),
        (f"01{GTIN}" + "x" * 5000, "5016 characters"),
        ("9" * 5000, "5000 characters"),
        (f"01{GTIN[:-1]}9", "check digit"),
        (f"(02){GTIN[:-1]}9(37)5", "check digit"),
        (f"(00){SSCC[:-1]}8", "check digit"),
        (f"(01){GTIN}(410)4012345000001", "check digit"),
        ("00000000", "zeros"),
        ("0" * 18, "zeros"),
        (f"(01){'0' * 14}", "zeros"),
        (f"(01){GTIN}(02){OTHER}(37)1", "contradict"),
        (f"(01){GTIN}(03){GTIN}", "contradict"),
        (f"(01){GTIN}(37)5", "no (02)"),
        (f"(00){SSCC}(37)5", "no (02)"),
        (f"(01){GTIN}(30)5(3103)001500", "two quantities"),
        (f"(02){GTIN}(37)5(30)6", "two quantities"),
        (f"(01){GTIN}(3102)001500(3103)015000", "two quantities"),
        (f"(01){GTIN}(10)A(10)A", "twice"),
        (f"(01){GTIN}(10)A(10)B", "twice"),
        (f"]C101{GTIN}10A{FNC1}01{GTIN}10A", "twice"),
        (f"(01){GTIN}(30)0", "quantity of 0"),
        (f"(01){GTIN}(3103)000000", "quantity of 0"),
        (f"(01){GTIN}(3570)000001", "does not say which"),
        (f"]C101{GTIN}30", "not nothing"),
        (f"]C101{GTIN}30{FNC1}10A", "not nothing"),
        (f"(01){GTIN}(30)1.5", "N..8"),
        (f"(01){GTIN}(3103)1500", "N6"),
        (f"]C101{GTIN}301234567810A", "N..8"),
        (f"(01){GTIN}(10)" + "L" * 21, "X..20"),
        (f"]C101{GTIN}10" + "L" * 21, "X..20"),
        (f"(01){GTIN}(10)L#7", "X..20"),
        (f"(01){GTIN}(17)260230", "is no date"),
        (f"(01){GTIN}(15)261301", "not '261301'"),
        (f"(01){GTIN}(11)250229", "is no date"),
        (f"(01){GTIN}(7003)2612312460", "is no date"),
        (f"(01){GTIN}(04)5", "no application identifier"),
        (f"(01){GTIN}(101)5", "no application identifier"),
        (f"(01){GTIN}(10)", "(AI)DATA"),
        (f"(01){GTIN}10L7", "N14"),
        (f"(01){GTIN}(10)A(B", "(AI)DATA"),
        (f"()(01){GTIN}", "(AI)DATA"),
        (f"((01){GTIN}", "(AI)DATA"),
        (f"]C1(01){GTIN}", "begins no application identifier"),
        (f"x(01){GTIN}", "no application identifier"),
        ("123", "not '3'"),
        ("1234567890123456789012345", "DUE DATE is N2+N6"),
    ],
)
def test_what_is_doubtful_is_refused(text: str, reason: str) -> None:
    assert reason in why(text)


def test_every_unit_is_one_that_the_tag_map_knows() -> None:
    units = {unit for unit in barcode._UNITS.values() if unit is not None}
    assert units <= KNOWN
    assert {"KGM", "LTR", "H87"} <= units


def test_what_was_read_is_never_changed() -> None:
    found = parse(f"(01){GTIN}")
    with pytest.raises(FrozenInstanceError):
        found.gtin = OTHER  # type: ignore[misc]  # that it is refused is the test


JUNK = st.text(st.characters() | st.sampled_from(f"0123456789(){FNC1}]C1dQ3eE"), max_size=80)
NEAR = st.lists(
    st.sampled_from([*SYMBOLS, f"01{GTIN}", f"(01){GTIN}", "(10)L7", "10L7", FNC1, "3103001500", "17", "(", ")", "]Y9"])
    | st.text("0123456789", max_size=20)
    | st.text(GS1_CHARACTERS, max_size=6),
    max_size=8,
).map("".join)


@given(JUNK | NEAR)
def test_whatever_comes_is_read_or_refused_and_never_guessed(text: str) -> None:
    try:
        found = parse(text)
    except BarcodeRefused:
        assert why(text)
        return
    assert found.gtin is None or with_check_digit(found.gtin[:-1]) == found.gtin
    assert found.sscc is None or with_check_digit(found.sscc[:-1]) == found.sscc
    assert (found.quantity is None) == (found.unit is None)
    if text.strip().startswith("(") or not {"(", ")"} & set(
        text
    ):  # else parentheses are data, and the printed form is ambiguous
        printed = re.findall(r"[(]([0-9]+)[)]([^()]+)", found.text)
        assert not printed or parse(f"]C1{encoded(printed, always=True)}") == found
