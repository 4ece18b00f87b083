"""What a machine of a made-up plant can do, whatever its signal is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.recording import Confirmed, Value


class Machine(ABC):
    """One machine: it truly moves material, and shows a signal.

    `moved` is the truth, by order, `lots` the same by lot, and `left_out` what its condition makes no part of the
    movement. `upset` tells that something happened which the signal alone does not explain: then a part of the truth
    may be in review or within a gap; else all of it must be booked, to `tolerance`.
    """

    event = "produced"
    material = "1"
    tolerance = Fraction(0)
    has_order = True
    """Whether its movement belongs to the order that runs."""
    lot: str | None = None
    """The lot of what moves now; None where its lots are not followed."""

    def __init__(self, movement: str, random: Random) -> None:
        self.movement = movement
        self.random = random
        self.moved: dict[str, Fraction] = {}
        self.lots: dict[str, Fraction] = {}
        self.left_out = Fraction(0)
        self.upset = False

    @property
    @abstractmethod
    def kind(self) -> str:
        """What kind of signal it has, in a few words."""

    @abstractmethod
    def tags(self) -> dict[str, str]:
        """Its tags: name → the tag map's entry."""

    @abstractmethod
    def rule(self) -> tuple[str, ...]:
        """The lines of its movement rule: places and signal, as the tag map says them."""

    @abstractmethod
    def work(self, order: str) -> None:
        """One second of work."""

    def rest(self, order: str) -> None:  # noqa: B027 - most just stand still
        """One second without work."""

    @abstractmethod
    def shown(self) -> dict[str, Value]:
        """What its tags show now, in the order in which they are written."""

    @abstractmethod
    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """What the rule that most people write books between two samples."""

    def move(self, order: str, quantity: int | Decimal | Fraction) -> None:
        """Material truly moves."""
        order = order if self.has_order else ""
        self.moved[order] = self.moved.get(order, Fraction(0)) + Fraction(quantity)
        if self.lot is not None:
            self.lots[self.lot] = self.lots.get(self.lot, Fraction(0)) + Fraction(quantity)

    def parts(self) -> Sequence[Machine]:
        """Other machines that it cannot work without; they work before it."""
        return ()

    def heard(self, *, begins: bool) -> Sequence[Confirmed]:  # noqa: ARG002 - most do not care
        """What it confirmed to the agent since it was last asked; a session `begins` with this."""
        return ()

    def misread(self) -> dict[str, Value] | None:
        """What its tags show in a moment of confusion; None where it has none."""
        return None

    def order_changed(self) -> None:  # noqa: B027 - most do not care
        """Another order runs from now on."""

    def lot_changed(self) -> None:  # noqa: B027 - most do not care
        """Another lot is used up from now on; a scale is tared."""

    def restarted(self, *, forgets: bool) -> None:  # noqa: B027 - most do not care
        """Its controller restarted; `forgets` says that it lost its memory."""

    def hidden(self) -> None:  # noqa: B027 - most do not care
        """From now on nobody sees its signal."""

    def seen_again(self) -> None:  # noqa: B027 - most do not care
        """Its signal can be seen again."""

    @property
    def waits(self) -> bool:
        """Whether something that moved is still to be told."""
        return False

    def ends(self) -> bool:
        """Nothing more is going to happen to it; answers whether it needs another order to be known whole."""
        return False

    def restored(self) -> bool:
        """Somebody puts an older value back; answers whether that is possible."""
        return False
