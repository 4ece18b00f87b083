"""Codes of units: UN/ECE Recommendation 20 as plants use it, packages as X and a code of Recommendation 21."""

from __future__ import annotations

import re

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown

_COUNT = "C62 CEN DPC DZN EA GRO H87 HC MIL NAR NMP NPR NPT P1 PR SET T3 TP"
_MASS = "2U APZ CWA CWI DTN GRM GRN HGM KGM KTN LBR LTN MC MGM ONZ STN TNE"
_VOLUME = "4G BLL CLT CMQ DLT DMQ FTQ GLI GLL HLT INQ K6 LTR MAL MLT MMQ MTQ NM3 OZA OZI PTI PTL QTI QTL SM3 YDQ"
_LENGTH_AREA = "4H CMT DMT FOT HMT INH KMT MMT MTR SMI YRD CMK DMK FTK HAR INK MMK MTK YDK"
_ENERGY_POWER = "3B BTU GV GWH JOU K3 KJO KVA KVR KWH KWT MAW MWH WHR WTT"
_TIME = "ANN C26 DAY HUR MIN MON SEC WEE"
_OTHER = "A97 AMP BAR CEL FAH HTZ KEL KHZ KPA MBR MPA NEW PAL RPM VLT C18 C34"
_RATES = "E93 KGS KMH L2 MQH MQS MTS"
_CONCENTRATION = "23 B35 GL KMQ"
KNOWN = frozenset(
    " ".join((_COUNT, _MASS, _VOLUME, _LENGTH_AREA, _ENERGY_POWER, _TIME, _OTHER, _RATES, _CONCENTRATION)).split()
)
_MEANT = {
    "PCE": "H87", "PCS": "H87", "PC": "H87", "ST": "H87", "STK": "H87", "PIECE": "H87", "UN": "H87", "UNIT": "C62",
    "KG": "KGM", "G": "GRM", "MG": "MGM", "T": "TNE", "TO": "TNE", "TON": "TNE", "LB": "LBR", "OZ": "ONZ",
    "L": "LTR", "LT": "LTR", "ML": "MLT", "HL": "HLT", "M3": "MTQ", "CBM": "MTQ", "GAL": "GLL",
    "M": "MTR", "MM": "MMT", "CM": "CMT", "KM": "KMT", "M2": "MTK", "FT": "FOT", "IN": "INH",
    "S": "SEC", "H": "HUR", "HR": "HUR", "D": "DAY", "%": "P1", "DZ": "DZN",
    "CS": "XCS", "CASE": "XCS", "CT": "XCT", "CAR": "XCT", "BX": "XBX", "BG": "XBG", "PX": "XPX", "PALLET": "XPX",
    "BO": "XBO", "DR": "XDR", "CA": "XCA", "RO": "XRO", "KAR": "XCT",
}  # fmt: skip
_PACKAGE = re.compile(r"X[0-9A-Z]{2}")


def weigh_and_fill(one: str, other: str) -> bool:
    """Whether one of two codes is of a mass and the other of a volume: only a density lies between them."""
    masses, volumes = _MASS.split(), _VOLUME.split()
    return (one in masses and other in volumes) or (one in volumes and other in masses)


def check_code(text: str) -> str:
    """A code that receivers will know. Raises Unfit."""
    if text in KNOWN or _PACKAGE.fullmatch(text):
        return text
    meant = _MEANT.get(text.upper()) or (text.upper() if text.upper() in KNOWN else None)
    advice = f"did you mean {meant}?" if meant else "pieces are H87, kilograms KGM, litres LTR, a case XCS"
    message = f"{shown(text)} is not a known UN/ECE Rec 20 code (nor X and a Rec 21 package code)"
    raise Unfit(Code.UNKNOWN_UNIT_CODE, message, advice)
