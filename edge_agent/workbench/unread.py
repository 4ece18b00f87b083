"""Rules of which a recording holds nothing: there `nothing` says that nobody looked, not that nothing ran. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_agent.config.signals import Confirmation, Handshake, Kind
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Reading, TagRef
from edge_agent.workbench.recording import Delivery


def unread(tag_map: TagMap, deliveries: Sequence[Delivery]) -> Iterator[tuple[str, str]]:
    """Each rule that the recording cannot tell of, and what of it is not there."""
    found: set[TagRef | str] = set()
    for delivery in deliveries:
        for item in delivery.inputs:
            if isinstance(item, Reading):
                found.add(item.tag)
            elif isinstance(item, Block):
                found.add(item.rule)
    for name, rule in tag_map.rules.items():
        lacking = _lacking(rule, found)
        if lacking is not None:
            yield name, lacking


def _lacking(rule: Rule, found: set[TagRef | str]) -> str | None:
    """What the rule is told by and is not in the recording; messages are in none (docs/workbench.md)."""
    signal = rule.signal
    if isinstance(signal, Confirmation) or rule.name in found:
        return None
    if isinstance(signal, Handshake) and signal.kind in {Kind.RING, Kind.EVENT}:
        return "its `block` lines, without which a ring or an OPC UA event is not told"
    return None if signal.watched in found else f"readings of {signal.watched}"
