"""Which tags of a source do not work: said when that changes, never once for each value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from edge_agent.model.reading import TagRef
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status

_SHOWN: Final = 5


class TagFaults:
    """One source's tags that do not work, on the status board as `SOURCE tags`. `words` says what a code means."""

    def __init__(
        self, source: str, tags: int, words: Callable[[TagRef, int], str], status: Status, counts: Counts
    ) -> None:
        self._source = source
        self._tags = tags
        self._words = words
        self._status = status
        self._counts = counts
        self._known: Mapping[TagRef, int] = {}

    def show(self, faults: Mapping[TagRef, int]) -> None:
        """These do not work now, each with the protocol's code that says why."""
        if faults == self._known:
            return
        self._known = dict(faults)
        self._counts.set("tags_failed", len(faults), source=self._source)
        component = f"{self._source} tags"
        if not faults:
            self._status.up(component, "all of them work again")
            return
        shown = [f"{tag} {self._words(tag, code)}" for tag, code in sorted(faults.items())[:_SHOWN]]
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        self._status.lost(component, f"{len(faults)} of {self._tags} tags: {', '.join(shown)}{more}")
