"""Values: equal by their fields, hashable, never changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """A dataclass whose fields the type checker refuses to assign.

    `frozen=True` would have the interpreter refuse it too, and make every object five times as dear: the engine makes a
    handful of them for each reading.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
