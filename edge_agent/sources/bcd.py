"""Binary coded decimal: one decimal digit in every four bits, the highest first (IEC 61131-3, 2.3.3)."""

from __future__ import annotations

from typing import Final

from edge_agent.config.devices import TagType

DIGITS: Final = {TagType.BCD16: 4, TagType.BCD32: 8}
"""How many digits a type holds."""


def from_bcd(bits: int) -> int | None:
    """The number that the digits show; None where four bits are no digit (a device that is writing, or no BCD)."""
    text = f"{bits:x}"
    return int(text) if text.isdecimal() else None


def to_bcd(number: int, kind: TagType) -> int:
    """The bits that show `number`. Raises ValueError where `kind` has too few digits for it, or it is negative."""
    if not 0 <= number < 10 ** DIGITS[kind]:
        raise ValueError(f"{number} does not fit into {kind}")
    return int(str(number), 16)
