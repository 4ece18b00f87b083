"""What a receiving system does wrong, on demand: what it answers (`Faults`), and how its answers get out (`Voice`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

ANSWERS = ("reject", "busy", "crash")
_ANSWERS = "/cmd/ack"
MANNERS = ("prompt", "late", "twice", "out of order", "never")


@dataclass(slots=True)
class Fault:
    """One thing to go wrong with the events that match all of what is given; `times` of them (None: all).

    `answer`: `reject` with `code` and `text`; `busy` with `retry_after` seconds; `crash`: it is posted, and the system
    ends before it has answered. `nth` counts the events that this fault has seen match the rest, from 1.
    """

    answer: str
    code: str = "erp_busy"
    text: str = ""
    retry_after: int | None = None
    kind: str | None = None
    """The event's name without `material.`: `consumed`, `produced`, …; `reversed`."""
    material: str | None = None
    lot: str | None = None
    order: str | None = None
    location: str | None = None
    nth: int | None = None
    times: int | None = None
    seen: int = field(default=0, init=False)
    done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.answer not in ANSWERS:
            raise ValueError(f"{self.answer!r} is none of {', '.join(ANSWERS)}")

    @classmethod
    def of(cls, said: dict[str, Any]) -> Fault:
        """From what a control channel says. Raises ValueError."""
        known = {one.name for one in fields(cls) if one.init}
        if unknown := sorted(said.keys() - known):
            raise ValueError(f"a fault has no {', '.join(unknown)}")
        return cls(**said)

    def meets(self, event: Posted) -> bool:
        """Whether it is this event's turn to go wrong; counts."""
        if not self._matches(event) or self.done == self.times:
            return False
        self.seen += 1
        if self.nth is not None and self.seen != self.nth:
            return False
        self.done += 1
        return True

    def _matches(self, event: Posted) -> bool:
        if self.kind not in {None, event.kind} or self.order not in {None, event.order}:
            return False
        wanted = (self.material, self.lot, self.location)
        return any(all(one in {None, has} for one, has in zip(wanted, line, strict=True)) for line in event.lines)


class Posted(NamedTuple):
    """What a fault looks at: `lines` are (material, lot, location)."""

    id: str
    kind: str
    order: str | None
    lines: tuple[tuple[str, str | None, str | None], ...]


class Faults:
    """The faults in force, oldest first, by name; the first that meets an event decides."""

    def __init__(self) -> None:
        self._faults: dict[str, Fault] = {}
        self._named = 0
        self.met: list[tuple[str, str]] = []
        """(event id, fault's name) of everything that went wrong."""

    def put(self, fault: Fault, name: str | None = None) -> str:
        """Have it happen from now on; its name."""
        self._named += 1
        name = name or f"fault {self._named}"
        self._faults[name] = fault
        return name

    def put_right(self, name: str | None = None) -> list[str]:
        """End one fault, or all of them; their names."""
        gone = [one for one in self._faults if name in {None, one}]
        for one in gone:
            del self._faults[one]
        return gone

    def names(self) -> list[str]:
        """Those in force."""
        return list(self._faults)

    def decide(self, event: Posted) -> Fault | None:
        """What goes wrong with the event; None: nothing."""
        for name, fault in self._faults.items():
            if fault.meets(event):
                self.met.append((event.id, name))
                return fault
        return None

    def fault_of(self, event: str) -> str | None:
        """The name of the last fault that an event met, by the event's id."""
        return next((name for met, name in reversed(self.met) if met == event), None)


class Spoken(Protocol):
    """A message on its way out."""

    @property
    def topic(self) -> str:
        """Where it goes."""
        ...


M = TypeVar("M", bound=Spoken)


class Voice(Generic[M]):
    """How the answers of a system get out; everything else that it says gets out as it is.

    `late`: `seconds` later. `twice`: two of each. `out of order`: those of one call in reverse, and of each a copy
    `seconds` later. `never`: not at all.
    """

    def __init__(self) -> None:
        self.manner = "prompt"
        self.seconds = 0.0
        self.swallowed = 0
        self._held: list[tuple[float, M]] = []

    def set(self, manner: str, seconds: float = 0.0) -> None:
        """Change the manner. Raises ValueError."""
        if manner not in MANNERS:
            raise ValueError(f"{manner!r} is none of {', '.join(MANNERS)}")
        self.manner, self.seconds = manner, seconds

    def say(self, messages: Iterable[M], now: float) -> list[M]:
        """What gets out at `now` (seconds) of these, and of those held back before."""
        due = [message for at, message in self._held if at <= now]
        self._held = [(at, message) for at, message in self._held if at > now]
        said = list(messages)
        answers = [message for message in said if message.topic.endswith(_ANSWERS)]
        others = [message for message in said if not message.topic.endswith(_ANSWERS)]
        return [*others, *due, *self._spoken(answers, now)]

    def _spoken(self, answers: list[M], now: float) -> list[M]:
        match self.manner:
            case "never":
                self.swallowed += len(answers)
                return []
            case "late":
                self._held += [(now + self.seconds, message) for message in answers]
                return []
            case "twice":
                return [message for message in answers for _ in range(2)]
            case "out of order":
                self._held += [(now + self.seconds, message) for message in answers]
                return answers[::-1]
        return answers
