"""How many tags are good: by the newest reading of each, and none of them while their source is lost."""

from __future__ import annotations

from collections.abc import Iterable

from edge_agent.model.reading import Link, Quality, Reading, SourceChange, TagRef


class TagBoard:
    """Watches what the sources deliver; decides nothing."""

    def __init__(self, tags: Iterable[TagRef]) -> None:
        self._good: dict[str, dict[TagRef, bool]] = {}
        self.expect(tags)

    def expect(self, tags: Iterable[TagRef]) -> None:
        """These are the tags from now on; what is known of those that stay is kept."""
        before, self._good = self._good, {}
        for tag in tags:
            self._good.setdefault(tag.source, {})[tag] = before.get(tag.source, {}).get(tag, False)

    def observe(self, delivery: Iterable[object]) -> None:
        """Take note of what a source has delivered."""
        for item in delivery:
            if isinstance(item, Reading):
                tags = self._good.get(item.tag.source, {})
                if item.tag in tags:
                    tags[item.tag] = item.quality is Quality.GOOD
            elif isinstance(item, SourceChange) and item.link is Link.LOST and item.source in self._good:
                self._good[item.source] = dict.fromkeys(self._good[item.source], False)

    def by_source(self) -> dict[str, tuple[int, int]]:
        """How many tags of each source are good, and how many are not."""
        return {source: (sum(tags.values()), len(tags) - sum(tags.values())) for source, tags in self._good.items()}
