"""What really happened, by what a receiver's books tell apart; and the posting day, reckoned once more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from edge_agent_simulators.erp_books import Stock
from edge_agent_simulators.ledger import Ledger
from tests.system_week.plant import ZONE

UNITS = {"300017": "H87", "300021": "H87", "300030": "KGM", "900001": "H87"}
_GRAMS = Decimal("0.001")
_DAY_STARTS = timedelta(hours=6)
WAREHOUSE = "WH-01"


def stocks(ledger: Ledger) -> dict[Stock, Decimal]:
    """The ledger's keys as a receiver's books have them; a move is two of them."""
    found: dict[Stock, Decimal] = defaultdict(Decimal)
    for key, units in ledger.totals().items():
        add(found, key, units)
    return found


def add(sums: dict[Stock, Decimal], key: str, units: Decimal) -> None:
    """Add units of `<event>/<material>/<order>/<location>`; of CO2 they are grams."""
    event, material, order, location = key.split("/")
    amount = in_unit(material, units)
    if event == "moved":
        sums[Stock("moved out", material, order, location, "", UNITS[material])] += amount
        sums[Stock("moved in", material, order, WAREHOUSE, "", UNITS[material])] += amount
    else:
        sums[Stock(event, material, order, location, "", UNITS[material])] += amount


def in_unit(material: str, units: Decimal | int) -> Decimal:
    """Counted units in the material's unit."""
    return units * _GRAMS if material == "300030" else Decimal(units)


def posting_day(moment: datetime) -> str:
    """The plant's posting day: it begins at six, by the plant's clock."""
    local = moment.astimezone(ZONE)
    begun = local.replace(tzinfo=None) >= datetime.combine(local.date(), datetime.min.time()) + _DAY_STARTS
    return (local.date() - timedelta(days=not begun)).isoformat()


def differences(expected: Mapping[Stock, Decimal], found: Mapping[Stock, Decimal]) -> list[str]:
    """Where the two do not agree, to the last decimal."""
    return [
        f"{'/'.join(stock)}: {found.get(stock, Decimal(0))} on the books, {expected.get(stock, Decimal(0))} in truth"
        for stock in sorted(expected.keys() | found.keys())
        if expected.get(stock, Decimal(0)) != found.get(stock, Decimal(0))
    ]
