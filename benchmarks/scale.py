"""How much a run does, and what every benchmark needs to measure with."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_agent.bootstrap import calm_collector


@dataclass(frozen=True, slots=True)
class Scale:
    """`repeats` of everything; `tiny` only shows that it runs. `folder` is where databases are made."""

    repeats: int
    tiny: bool
    folder: Path

    def of(self, full: int, tiny: int) -> int:
        """A size: how many of something."""
        return tiny if self.tiny else full

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A directory for one measurement, on the file system that is measured."""
        with tempfile.TemporaryDirectory(prefix="bench-", dir=self.folder) as folder:
            yield Path(folder)


def settle() -> None:
    """Collect what came before; what is measured next meets the collector as the agent does, and no inputs in it."""
    calm_collector()


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long `work` takes by the wall clock, or by `clock`."""
    settle()
    began = clock()
    work()
    return clock() - began
