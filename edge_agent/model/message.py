"""What MES, SCADA and LIMS say by message: the context of movements, movements themselves, the status of lots."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from edge_agent.model.confirmation import Result
from edge_agent.model.reading import Instant, Scalar
from edge_agent.model.value import value


@value
class Nonce:
    """A message that was taken: the same one again changes nothing. Forgotten once it has expired.

    `digest` tells it from another one that has its nonce.
    """

    command: str
    nonce: str
    digest: str
    expires: datetime


@value
class ContextMessage:
    """Values of tags of a source that messages set, by tag name. `time` is when they began to hold."""

    source: str
    values: Mapping[str, Scalar]
    time: datetime
    received: Instant
    nonce: Nonce


@value
class SaidLot:
    """What is said of a lot: its status, a word of the plant's own, and when its shelf life ends (None: never)."""

    material: str
    lot: str
    status: str
    until: datetime | None = None


@value
class LotMessage:
    """The statuses of lots, each lot once. `time` is when they began to hold."""

    source: str
    lots: tuple[SaidLot, ...]
    time: datetime
    received: Instant
    nonce: Nonce


@value
class ConfirmationMessage:
    """A physical movement that SCADA confirms. `id` is unique per movement: its natural key, whatever is sent again.

    `quantity` is in `unit`, a unit of the map by its name or its UN/ECE code (None: the material's own). What is None
    is known from the map, or not at all. `conflicting`: the store knows the id with another content.
    """

    rule: str
    id: str
    time: datetime
    quantity: Decimal
    received: Instant
    unit: str | None = None
    container: str | None = None
    lot: str | None = None
    order: str | None = None
    from_: str | None = None
    to: str | None = None
    conflicting: bool = False

    @property
    def digest(self) -> str:
        """What it says, whenever it was sent and whatever the rule is called by now."""
        said = (
            *(self.time.isoformat(), f"{self.quantity.normalize():f}", self.unit, self.container, self.lot),
            *(self.order, self.from_, self.to),
        )
        return hashlib.sha256(ascii(said).encode("ascii")).hexdigest()


@value
class Answered:
    """What a confirmation is answered, for ever: kept with its natural key."""

    digest: str
    result: Result
    review: str | None = None
    reason: str | None = None
