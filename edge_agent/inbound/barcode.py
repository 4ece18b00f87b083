"""GS1 barcodes as scanners give them or people type them; every doubtful one is refused with a reason. Pure.

The rules are those of the GS1 General Specifications: 3 (application identifiers), 7.8 (FNC1 and what follows it), 7.9
(check digits) and 7.12 (dates). `biip` knows every application identifier and its form.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NoReturn

from biip import ParseConfig, ParseError
from biip.gs1_application_identifiers import GS1ApplicationIdentifier
from biip.gs1_element_strings import GS1ElementString
from biip.gtin import Gtin
from biip.sscc import Sscc
from biip.upc import Upc

LONGEST = 500
"""Characters of a barcode at the most."""

_FNC1 = "\x1d"
_AROUND = " \t\r\n"
"""What scanners and people leave around a barcode. FNC1 is no blank, though `str.strip` takes it for one."""
_TYPED = re.compile(r"(\(([0-9]{2,4})\)([^()]+))+")
_ELEMENT = re.compile(r"\(([0-9]{2,4})\)([^()]+)")
_ELEMENT_STRINGS = ("]C1", "]d2", "]Q3", "]e0", "]J1")
"""Symbology identifiers (ISO/IEC 15424) of GS1-128, GS1 DataMatrix, GS1 QR Code, GS1 DataBar, GS1 DotCode."""
_NUMBERS: Mapping[str, tuple[int, ...]] = {"]E0": (12, 13), "]E4": (8,), "]I1": (14,)}
"""Those of EAN-13 with UPC-A, EAN-8, ITF-14, and how many digits they have."""
_GTIN_LENGTHS = (8, 12, 13, 14)
_SSCC_LENGTH = 18
_ITEMS = ("01", "02", "03")
_KEYS = ("00", *_ITEMS)
_DATES = ("11", "12", "13", "15", "16", "17", "7003")
_UNITS: Mapping[str, str | None] = {
    "30": "H87",
    "37": "H87",
    "310": "KGM",
    "311": "MTR",
    "314": "MTK",
    "315": "LTR",
    "316": "MTQ",
    "320": "LBR",
    "321": "INH",
    "322": "FOT",
    "323": "YRD",
    "350": "INK",
    "351": "FTK",
    "352": "YDK",
    "356": "APZ",
    "357": None,
    "360": "QTL",
    "361": "GLL",
    "364": "INQ",
    "365": "FTQ",
    "366": "YDQ",
}
"""What measures a trade item, by the first digits of its identifier; None: a weight or a volume, nobody knows.

Widths, heights and the measures of a whole logistic unit (its gross weight, say) are no quantities of the item.
"""
_CONFIG = ParseConfig(gs1_element_strings_verify_date=False)  # biip asks the clock for the century


class BarcodeRefused(ValueError):
    """Why a barcode is not taken; one clear sentence."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a barcode says. `gtin` has 14 digits, `unit` is a code of UN/ECE Rec 20, `expiry` the last good day.

    `gtin` is of the item itself, or of the items a pallet holds. `text` is all that was read, in the printed form.
    """

    text: str
    gtin: str | None = None
    lot: str | None = None
    serial: str | None = None
    sscc: str | None = None
    quantity: Decimal | None = None
    unit: str | None = None
    expiry: date | None = None


def parse(text: str, today: date) -> Scanned:
    r"""What `text` says: element strings (with a symbology identifier, FNC1 as `\x1d`, or `(01)…(10)…`), GTIN or SSCC.

    `today` tells the century of two-digit years: 49 years back to 50 ahead.

    Raises:
        BarcodeRefused: it says nothing, or nothing for certain.
    """
    if len(text) > LONGEST:
        raise BarcodeRefused(f"it has {len(text)} characters, more than {LONGEST}")
    text = text.strip(_AROUND)
    if text.startswith("("):
        return _said(_typed(text), today)
    _check_characters(text, _FNC1)
    symbol, text = _symbol(text)
    if symbol is not None and symbol in _NUMBERS:
        if len(text) not in _NUMBERS[symbol]:
            expected = " or ".join(map(str, _NUMBERS[symbol]))
            raise BarcodeRefused(f"{symbol} has {expected} digits, not {_shown(text)}")
        return Scanned(text, gtin=_gtin(text))
    if symbol is None and text.isdigit() and len(text) in {*_GTIN_LENGTHS, _SSCC_LENGTH}:
        return _number(text)
    elements = _scanned(text.removeprefix(_FNC1))
    if symbol is None and _FNC1 not in text and elements[0].ai.ai not in _KEYS:
        raise BarcodeRefused(
            f"{_shown(text)} may be anything: let the scanner send symbology identifiers (]C1 …), or write "
            f"{_printed(elements)} with its parentheses"
        )
    return _said(elements, today)


def _check_characters(text: str, allowed: str = "") -> None:
    odd = next((one for one in text if one not in allowed and not "!" <= one <= "~"), None)
    if odd is not None:
        raise BarcodeRefused(f"it holds {odd!a}, which no GS1 barcode does")


def _symbol(text: str) -> tuple[str | None, str]:
    """The symbology identifier, if there is one, and what follows it."""
    if not text.startswith("]"):
        return None, text
    symbol, rest = text[:3], text[3:]
    if symbol not in {*_ELEMENT_STRINGS, *_NUMBERS}:
        known = ", ".join((*_ELEMENT_STRINGS, *_NUMBERS))
        raise BarcodeRefused(f"{_shown(symbol)} is no GS1 barcode; those begin with {known}")
    return symbol, rest


def _number(digits: str) -> Scanned:
    """A GTIN or an SSCC without anything around it."""
    if len(digits) == _SSCC_LENGTH:
        return Scanned(digits, sscc=_sscc(digits))
    gtin = _gtin(digits)
    if len(digits) == _GTIN_LENGTHS[0] and _is_upc_e(digits):
        raise BarcodeRefused(f"{digits} may be a GTIN-8 or a UPC-E: let the scanner send symbology identifiers (]E4 …)")
    return Scanned(digits, gtin=gtin)


def _typed(text: str) -> list[GS1ElementString]:
    """Element strings as they are printed under a barcode. Blanks are no data there: GS1's characters have none."""
    plain = text.replace(" ", "")
    _check_characters(plain)
    if _TYPED.fullmatch(plain) is None:
        raise BarcodeRefused(f"{_shown(text)} is not (AI)DATA(AI)DATA; data with parentheses are scanned")
    return [_element(f"{identifier}{data}", identifier) for identifier, data in _ELEMENT.findall(plain)]


def _element(text: str, identifier: str) -> GS1ElementString:
    """`text` as one element string of that application identifier."""
    known = _identifier(text)
    if known.ai != identifier:
        raise BarcodeRefused(f"({identifier}) is no application identifier of GS1")
    try:
        found = GS1ElementString.parse(text, config=_CONFIG)
    except ParseError as error:
        _misshapen(known, text, error)
    return found


def _scanned(text: str) -> list[GS1ElementString]:
    """Element strings one after the other; what varies in length has to end with FNC1, or with the text."""
    found: list[GS1ElementString] = []
    while text or not found:
        identifier = _identifier(text)
        try:
            element = GS1ElementString.extract(text, config=_CONFIG)
        except ParseError as error:
            _misshapen(identifier, text.partition(_FNC1)[0], error)
        found.append(element)
        rest = text[len(element) :]
        if identifier.separator_required and rest and not rest.startswith(_FNC1):
            _misshapen(identifier, text.partition(_FNC1)[0])
        text = rest.removeprefix(_FNC1)
    return found


def _identifier(text: str) -> GS1ApplicationIdentifier:
    try:
        return GS1ApplicationIdentifier.extract(text)
    except ParseError as error:
        where = f"{_shown(text[:4])} begins no" if text else "it is empty: there is no"
        raise BarcodeRefused(f"{where} application identifier of GS1") from error


def _misshapen(identifier: GS1ApplicationIdentifier, text: str, error: Exception | None = None) -> NoReturn:
    data = _shown(text.removeprefix(identifier.ai))
    raise BarcodeRefused(f"({identifier.ai}) {identifier.data_title} is {identifier.format}, not {data}") from error


def _said(elements: Sequence[GS1ElementString], today: date) -> Scanned:
    """What element strings say together."""
    by_ai = {element.ai.ai: element for element in elements}
    if len(by_ai) != len(elements):
        raise BarcodeRefused(f"{_printed(elements)} has an application identifier twice: scan it once")
    for element in elements:
        _check(element)
    items = [ai for ai in _ITEMS if ai in by_ai]
    if len(items) > 1:
        raise BarcodeRefused(f"({items[0]}) and ({items[1]}) contradict each other: which item is it?")
    if "37" in by_ai and "02" not in by_ai:
        raise BarcodeRefused("(37) counts what (02) names, and there is no (02)")
    texts = {ai: element.value for ai, element in by_ai.items()}
    quantity, unit = _quantity(by_ai)
    return Scanned(
        _printed(elements),
        gtin=_gtin(texts[items[0]]) if items else None,
        lot=texts.get("10"),
        serial=texts.get("21"),
        sscc=_sscc(texts["00"]) if "00" in texts else None,
        quantity=quantity,
        unit=unit,
        expiry=_expiry({ai: _date(ai, texts[ai], today) for ai in _DATES if ai in texts}),
    )


def _check(element: GS1ElementString) -> None:
    if not element.value:
        _misshapen(element.ai, "")
    wrong = element.gtin_error or element.sscc_error or element.gln_error
    if wrong is not None:
        raise BarcodeRefused(f"({element.ai.ai}): {wrong}")


def _quantity(by_ai: Mapping[str, GS1ElementString]) -> tuple[Decimal | None, str | None]:
    found = list(_quantities(by_ai))
    if len(found) > 1:
        raise BarcodeRefused(f"{' and '.join(f'({ai})' for ai, _, _ in found)} are two quantities")
    for ai, quantity, unit in found:
        if not quantity:
            raise BarcodeRefused(f"({ai}) is a quantity of 0")
        if unit is None:
            raise BarcodeRefused(f"({ai}) are ounces of weight or of volume: it does not say which")
        return quantity, unit
    return None, None


def _quantities(by_ai: Mapping[str, GS1ElementString]) -> Iterator[tuple[str, Decimal, str | None]]:
    for ai, element in by_ai.items():
        if ai[:3] in _UNITS:
            yield ai, Decimal(element.value) if element.decimal is None else element.decimal, _UNITS[ai[:3]]


def _expiry(dates: Mapping[str, date]) -> date | None:
    found = {dates[ai] for ai in ("17", "7003") if ai in dates}
    if len(found) > 1:
        raise BarcodeRefused("(17) and (7003) are two expiry dates")
    return next(iter(found), None)


def _date(ai: str, digits: str, today: date) -> date:
    """YYMMDD; a day of 00 is the last of its month. The rest of (7003) is an hour and minutes."""
    year, month, day = (int(digits[at : at + 2]) for at in (0, 2, 4))
    hour, minute = int(digits[6:8] or 0), int(digits[8:10] or 0)
    year += (today.year - year + 50) // 100 * 100
    if not (1 <= month <= 12 and day <= calendar.monthrange(year, month)[1] and hour < 24 and minute < 60):
        raise BarcodeRefused(f"({ai}): {digits} is no date")
    return date(year, month, day or calendar.monthrange(year, month)[1])


def _gtin(digits: str) -> str:
    """As 14 digits."""
    try:
        return Gtin.parse(_telling(digits)).as_gtin_14()
    except ParseError as error:
        raise BarcodeRefused(str(error)) from error


def _sscc(digits: str) -> str:
    try:
        return Sscc.parse(_telling(digits)).value
    except ParseError as error:
        raise BarcodeRefused(str(error)) from error


def _telling(digits: str) -> str:
    if not digits.strip("0"):
        raise BarcodeRefused(f"{digits} is a number of zeros: its check digit proves nothing")
    return digits


def _is_upc_e(digits: str) -> bool:
    try:
        Upc.parse(digits)
    except ParseError:
        return False
    return True


def _printed(elements: Sequence[GS1ElementString]) -> str:
    return "".join(f"({element.ai.ai}){element.value}" for element in elements)


def _shown(text: str) -> str:
    """For a message: short, and FNC1 as a word."""
    short = text if len(text) <= 40 else f"{text[:40]}…"
    return ascii(short.replace(_FNC1, "<FNC1>")) if short else "nothing"
