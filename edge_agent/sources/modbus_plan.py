"""Which requests read which tags: pure (Modbus Application Protocol V1.1b3, 6.1 to 6.4).

Neighbours share a request, holes of a few registers included; a value is never spread over two requests, so it cannot
be torn. A device that refuses a block is asked for its halves: so limits and holes that no one wrote down are found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Final

from edge_agent.config.devices import Tag
from edge_agent.sources.registers import BIT_TABLES, Decode, address_of, decoder, width

MOST_REGISTERS: Final = 125
MOST_BITS: Final = 2000
_HOLE_REGISTERS: Final = 8
_HOLE_BITS: Final = 128
_BITS: Final = 8


@dataclass(frozen=True)
class Block:
    """One request: `count` registers or bits of `table` from `start` on, for `tags`. `order` is the word order."""

    table: str
    start: int
    count: int
    tags: tuple[Tag, ...]
    order: str

    @property
    def octets(self) -> int:
        """How many octets of values the answer has."""
        return (self.count + _BITS - 1) // _BITS if self.table in BIT_TABLES else 2 * self.count

    @cached_property
    def decoders(self) -> tuple[tuple[Tag, Decode], ...]:
        """Each tag with how its value is found in the answer."""
        return tuple((tag, decoder(tag, self.start, self.order)) for tag in self.tags)

    @property
    def halves(self) -> tuple[Block, Block] | None:
        """Two smaller requests for the same tags; None where there is one tag only."""
        if len(self.tags) == 1:
            return None
        middle = len(self.tags) // 2
        return _around(self.tags[:middle], self.order), _around(self.tags[middle:], self.order)

    def __str__(self) -> str:
        return (
            f"{self.table}{self.start}"
            if self.count == 1
            else f"{self.table}{self.start} to {self.start + self.count - 1}"
        )


def plan(tags: Iterable[Tag], order: str, most_registers: int = MOST_REGISTERS) -> list[Block]:
    """As few requests as hold the tags, each within what one answer may carry; table by table, ascending.

    A value longer than `most_registers` still has a request of its own.
    """
    blocks: list[Block] = []
    by_table = attrgetter("address.table")
    for table, members in groupby(sorted(tags, key=by_table), by_table):
        most, hole = (MOST_BITS, _HOLE_BITS) if table in BIT_TABLES else (most_registers, _HOLE_REGISTERS)
        run: list[Tag] = []
        for tag in sorted(members, key=lambda one: (address_of(one).offset, width(one))):
            if run and not _fits(run, tag, most, hole):
                blocks.append(_around(run, order))
                run = []
            run.append(tag)
        blocks.append(_around(run, order))
    return blocks


def _fits(run: Sequence[Tag], tag: Tag, most: int, hole: int) -> bool:
    start, end = address_of(run[0]).offset, _end(run)
    offset = address_of(tag).offset
    return offset - end <= hole and max(end, offset + width(tag)) - start <= most


def _around(tags: Sequence[Tag], order: str) -> Block:
    first = address_of(tags[0])
    return Block(first.table, first.offset, _end(tags) - first.offset, tuple(tags), order)


def _end(tags: Iterable[Tag]) -> int:
    return max(address_of(tag).offset + width(tag) for tag in tags)
