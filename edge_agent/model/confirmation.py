"""Confirmations of a physical movement by a PLC or SCADA, and the agent's answers to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from edge_agent.model.reading import Instant, Reading, TagRef


class Result(IntEnum):
    """The result code written beside the acknowledgement (derivation.md, Handshakes).

    BUSY answers a message while the store is full. A block that cannot be committed is not acknowledged at all.
    """

    DONE = 0
    FAILED_CHECK = 1
    CONFLICT = 2
    BUSY = 3
    IN_REVIEW = 4


@dataclass(frozen=True, slots=True)
class Block:
    """A handshake as read coherently in one request.

    `number` is what the ack tag shows once the block is acknowledged: a transaction counter's trigger; 1 for a request
    in bits and 0 after it; the slot after a ring's entry. `acknowledged` is the value found in the ack tag (None where
    it could not be read), so the two are equal where nothing waits.
    `values` holds every other tag the rule names, read together with the trigger. `conflicting` is set by the pipeline
    when the store already knows this number's natural key: such a block is never booked by itself.
    `fell`: the request in bits was seen low since the block before. `waiting`: a ring's entries, this one included.
    `event`: the EventId in hexadecimal; a block without one says that listening to events began anew.
    """

    rule: str
    number: int
    acknowledged: int | None
    values: Mapping[TagRef, Reading]
    received: Instant
    conflicting: bool = False
    fell: bool = False
    waiting: int = 0
    event: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """The acknowledgement of `number` has been written to the device: the handshake is over on our side."""

    rule: str
    number: int
    received: Instant


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """To be written to the device, only after the commit that holds the movement.

    `received` is that of the block that it answers: where numbers say nothing, only the latest block is answered.
    """

    rule: str
    number: int
    result: Result
    received: Instant | None = field(default=None, compare=False)
