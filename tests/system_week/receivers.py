"""The receiving systems of the week: each may be away, crash, start again, or come back from a backup."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent_receiver.timing import Timing
from edge_agent_simulators.erp_system import BooksBehind, Crashed, Erp, restore
from tests.system_week.bus import Bus

_TIMING = Timing(gather=20.0, hello=90.0, longest=300.0, refused=6 * 3600.0)
"""An agent that does not want our word is seldom asked again."""


@dataclass
class Receiver:
    """One of them: `mes`, `erp`, or `wms`, whose word nobody asks for. `make` builds an Erp, or one with a bug."""

    name: str
    folder: Path
    bus: Bus
    prove: bool = True
    documents: bool = True
    make: type[Erp] = Erp
    happened: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    up: bool = False

    def open(self, now: float) -> None:
        former: Erp | None = getattr(self, "erp", None)
        self.happened["started"] += 1
        self.erp = self.make(
            self.folder / "system",
            self.name,
            run=f"{self.name}{self.happened['started']:06d}",
            now=now,
            prove=self.prove,
            documents=self.documents,
            timing=_TIMING,
            faults=None if former is None else former.faults,
            voice=None if former is None else former.voice,
        )
        self.up = True

    def close(self) -> None:
        if self.up:
            self.answered += self.erp.answered
            self.erp.close()
        self.up = False

    def restart(self, now: float) -> None:
        self.close()
        self.open(now)

    def backup(self) -> None:
        self.erp.backup(self.folder / "backup")

    def restore(self, now: float, *, inbox: bool, books: bool) -> None:
        """Come back from the last backup. Books that are behind their inbox refuse: then the inbox follows."""
        self.close()
        self.happened[f"restored: {' and '.join(['inbox'] * inbox + ['books'] * books)}"] += 1
        restore(self.folder / "system", self.folder / "backup", inbox=inbox, books=books)
        try:
            self.open(now)
        except BooksBehind:
            self.happened["books alone refused"] += 1
            restore(self.folder / "system", self.folder / "backup", inbox=True, books=False)
            self.open(now)

    def work(self, now: float) -> bool:
        """Take in what has come, post, speak; whether anything happened."""
        if not self.up:
            return False
        messages = self.bus.take(self.name)
        if messages:
            self.erp.receive(messages, now)
        try:
            said = self.erp.step(now)
        except Crashed:
            self.happened["crashed"] += 1
            self.restart(now)
            return True
        if self.bus.up:
            for message in said:
                self.bus.publish(message.topic, message.payload)
                self.erp.sent(message, now)
        return bool(messages or said)
