"""What the PLC shows of the plant: counter registers that wrap, glitch and forget, and the pallet handshake.

The registers' names are the string identifiers of their OPC UA nodes. Counters count physical pulses by hardware, so a
pulse is never lost while the PLC itself is down; what a register shows after a restart is the fault's to say.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

ORDER = "::Order.No"
INFEED = "::Infeed.Total"
FILLER = "::Filler.Total"
PAL_SEQ = "::Pal.Seq"
PAL_ACK = "::Pal.Ack"
PAL_RESULT = "::Pal.Result"
PAL_SSCC = "::Pal.SSCC"
PAL_CASES = "::Pal.Cases"
BLOCK = (PAL_SEQ, PAL_ACK, PAL_RESULT, PAL_SSCC, PAL_CASES)

UINT16 = 1 << 16
UINT32 = 1 << 32
_COMPANY_PREFIX = "34012345"

Value = int | str


def sscc(serial: int) -> str:
    """The SSCC-18 of a pallet: extension digit 3, a GS1 company prefix, the serial number, the check digit."""
    digits = f"{_COMPANY_PREFIX}{serial % 10**9:09d}"
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(digits))
    return f"{digits}{-weighted % 10}"


@dataclass(slots=True)
class CounterRegister:
    """A totalizer: `value` is what it holds, `masked` what it shows instead during a glitch."""

    node: str
    modulus: int
    value: int
    masked: int | None = None

    @property
    def shown(self) -> int:
        """What a client reads."""
        return self.value if self.masked is None else self.masked

    @property
    def to_wrap(self) -> int:
        """Pulses until it shows 0 again."""
        return self.modulus - self.value

    def count(self, pulses: int) -> bool:
        """Count; answers whether it wrapped."""
        total = self.value + pulses
        self.value = total % self.modulus
        return total >= self.modulus


@dataclass(slots=True)
class Pallet:
    """One pallet from the palletiser to its acknowledgement.

    `acknowledged` is the first acknowledgement, `acknowledgements` counts all; `overruns` counts time limits passed.
    """

    cases: int
    queued: datetime
    number: int = 0
    sscc: str = ""
    raised: datetime | None = None
    acknowledged: datetime | None = None
    result: int | None = None
    acknowledgements: int = 0
    reraised: int = 0
    overruns: int = 0


@dataclass(slots=True)
class Handshake:
    """The PLC's side of the transaction counter (derivation.md, Handshakes).

    It writes the block, increments Seq, waits until Ack equals Seq, and queues further pallets meanwhile. The time
    limit is counted and changes nothing else: a pallet is never given up.
    """

    seq: int
    ack: int
    limit_cycles: int = 200
    result: int = 0
    block_sscc: str = ""
    block_cases: int = 0
    pallets: list[Pallet] = field(default_factory=list)
    stray_acks: int = 0
    open: Pallet | None = None
    _queue: deque[Pallet] = field(default_factory=deque)
    _waited: int = 0
    _label: int = field(init=False)

    def __post_init__(self) -> None:
        self._label = self.seq

    @property
    def outstanding(self) -> int:
        """Pallets not yet acknowledged, the queued ones included."""
        return len(self._queue) + (self.open is not None)

    def add(self, cases: int, at: datetime) -> None:
        """A pallet has left the palletiser and waits for its transaction."""
        self._queue.append(Pallet(cases, at))

    def acknowledge(self, number: int) -> None:
        """A client wrote Ack; the next cycle looks at it, and at Result."""
        self.ack = number
        if self.open is None or number != self.open.number:
            self.stray_acks += 1

    def reraise(self) -> bool:
        """After a restart that forgot the last Ack: the same number is open again. Answers whether there was one."""
        if not self.pallets:
            return False
        last = self.pallets[-1]
        self.ack = (self.seq - 1) % UINT32
        self.open = last
        last.reraised += 1
        self._waited = 0
        return True

    def forget(self) -> list[Pallet]:
        """A restart that keeps neither count nor queue. Answers the pallets that nobody will ever be shown.

        The printer of the labels counts on: no SSCC comes twice.
        """
        lost = list(self._queue)
        self._queue.clear()
        self.seq = self.ack = self.result = self.block_cases = 0
        self.block_sscc, self.open = "", None
        return lost

    def cycle(self, at: datetime) -> Pallet | None:
        """One PLC cycle; answers the pallet whose number was raised in it."""
        if self.open is not None:
            self._wait(self.open, at)
            return None
        return self._raise(at) if self._queue else None

    def _wait(self, pallet: Pallet, at: datetime) -> None:
        if self.ack == self.seq:
            pallet.acknowledged = pallet.acknowledged or at
            pallet.result = self.result
            pallet.acknowledgements += 1
            self.open = None
            return
        self._waited += 1
        if self._waited % self.limit_cycles == 0:
            pallet.overruns += 1

    def _raise(self, at: datetime) -> Pallet:
        pallet = self._queue.popleft()
        self._waited = 0
        self.seq = (self.seq + 1) % UINT32
        self.block_cases = pallet.cases
        self._label = (self._label + 1) % UINT32
        self.block_sscc = sscc(self._label)
        pallet.number, pallet.sscc, pallet.raised = self.seq, self.block_sscc, at
        self.pallets.append(pallet)
        self.open = pallet
        return pallet


class Plc:
    """All registers of the line. `alive` is false from the loss of power to the end of the boot."""

    def __init__(self, order: str, preforms: int, bottles: int, transaction: int) -> None:
        self.order = order
        self.preforms = CounterRegister(INFEED, UINT16, preforms)
        self.bottles = CounterRegister(FILLER, UINT32, bottles)
        self.handshake = Handshake(seq=transaction, ack=transaction)
        self.alive = True

    @property
    def counters(self) -> dict[str, CounterRegister]:
        """The totalizers by what they count."""
        return {"preforms": self.preforms, "bottles": self.bottles}

    def image(self) -> dict[str, Value]:
        """What every register shows; the block comes before Seq, as the PLC writes it."""
        pal = self.handshake
        return {
            ORDER: self.order,
            INFEED: self.preforms.shown,
            FILLER: self.bottles.shown,
            PAL_CASES: pal.block_cases,
            PAL_SSCC: pal.block_sscc,
            PAL_ACK: pal.ack,
            PAL_RESULT: pal.result,
            PAL_SEQ: pal.seq,
        }
