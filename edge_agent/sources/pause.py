"""How long a source waits before it tries again."""

from __future__ import annotations

from random import SystemRandom
from typing import Final

_FIRST: Final = 0.2
_MOST_FAILURES: Final = 8
_JITTER = SystemRandom().uniform


class Pause:
    """Seconds to wait after each failure: little at first, then doubling to `longest`, with jitter."""

    def __init__(self, longest: float = 1.0) -> None:
        self._longest = longest
        self._failures = 0

    def works(self) -> None:
        """What was tried has worked for a while: the next failure is the first again."""
        self._failures = 0

    def next(self) -> float:
        """Seconds to wait now."""
        longest = min(_FIRST * 2**self._failures, self._longest)
        self._failures = min(self._failures + 1, _MOST_FAILURES)
        return _JITTER(longest / 2, longest)
