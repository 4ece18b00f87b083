"""The truth: every physical unit of the line, when it was made and for which order. Never a register."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from decimal import Decimal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

PREFORMS = ("consumed", "300017", "L3-HOPPER")
BOTTLES = ("produced", "900001", "L3-OUT")
PALLETS = ("moved", "900001", "L3-OUT")


def key_of(what: tuple[str, str, str], order: str) -> str:
    """`<event>/<material>/<order>/<location>`; the order is empty where there is none."""
    event, material, location = what
    return f"{event}/{material}/{order}/{location}"


def _microseconds(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


class Ledger:
    """Cumulative units by key, with the microsecond at which each was counted."""

    def __init__(self) -> None:
        self._times: dict[str, array[int]] = {}
        self._sums: dict[str, array[int]] = {}

    def count(self, key: str, units: int, at: datetime) -> None:
        """Count `units` of `key` made at `at`; time never goes back."""
        times = self._times.setdefault(key, array("q"))
        sums = self._sums.setdefault(key, array("q"))
        moment = _microseconds(at)
        if times and moment < times[-1]:
            msg = f"{key}: {at.isoformat()} is before the last unit counted"
            raise ValueError(msg)
        times.append(moment)
        sums.append((sums[-1] if sums else 0) + units)

    def totals(self) -> dict[str, Decimal]:
        """Units by key."""
        return {key: Decimal(sums[-1]) for key, sums in self._sums.items()}

    def truth(self, key: str, since: datetime, until: datetime) -> int:
        """Units of `key` made after `since` and not after `until`; 0 for a key never counted."""
        return self._until(key, until) - self._until(key, since)

    def _until(self, key: str, at: datetime) -> int:
        times = self._times.get(key)
        if times is None:
            return 0
        index = bisect_right(times, _microseconds(at))
        return self._sums[key][index - 1] if index else 0
