"""Two good meters in series differ by up to 4 % (derivation.md, Flows): whether they differ by more. Pure."""

from __future__ import annotations

from fractions import Fraction


def disagree(one: int, other: int, *, share: Fraction, amount: int) -> bool:
    """Whether two sums differ by more than `share` of the larger one, and by more than `amount`."""
    difference = abs(one - other)
    return difference > amount and difference > share * max(one, other)
