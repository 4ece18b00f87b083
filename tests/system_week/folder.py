"""Where the files of a week are kept: in memory, where the machine has a file system for that.

Nothing of the week tests what a disk keeps through a power cut; it commits some ten thousand times.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps POSIX shared memory."""


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    fit = _SHARED_MEMORY.is_dir() and os.access(_SHARED_MEMORY, os.W_OK)
    with TemporaryDirectory(prefix="week-", dir=_SHARED_MEMORY if fit else None) as folder:
        yield Path(folder)
