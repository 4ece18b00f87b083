"""The relay's fixtures, here too."""

from __future__ import annotations

from tests.publishing.conftest import board, outbox, relaying

__all__ = ["board", "outbox", "relaying"]
