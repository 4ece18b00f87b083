"""The topics of an agent's line (events.md, Topics), from the receiver's side. Pure."""

from __future__ import annotations

from typing import NamedTuple

from edge_agent_receiver.strict_json import Malformed, is_plain, read_text

_LINE_LEVELS = 5
"""Enterprise, site, area, line and cell."""


class Place(NamedTuple):
    """A topic: the line's part (`root/v1/…/cell`) and the rest of it."""

    prefix: str
    rest: str


class Urn(NamedTuple):
    """`urn:edgeagent:<agent>:<store uuid>:<stream>`: the source of events."""

    agent: str
    store: str
    stream: str


def read_topic(root: str, topic: str) -> Place | None:
    """Where in a line `topic` is; None where it is not in one."""
    start = f"{root}/v1/"
    if not topic.startswith(start):
        return None
    levels = topic[len(start) :].split("/", _LINE_LEVELS)
    if len(levels) <= _LINE_LEVELS or not is_plain(topic):
        return None
    rest = levels.pop()
    return Place(start + "/".join(levels), rest)


def read_urn(source: object) -> Urn:
    """The parts of an event's source. Raises Malformed."""
    parts = read_text(source, "source").split(":")
    if len(parts) != 5 or parts[:2] != ["urn", "edgeagent"] or not all(parts) or any("/" in part for part in parts):
        raise Malformed("source: not urn:edgeagent:<agent>:<store>:<stream>")
    return Urn(*parts[2:])


def command_topic(prefix: str, agent: str, name: str) -> str:
    """Where a command to an agent goes."""
    return f"{prefix}/_gateway/{agent}/cmd/{name}"


def discrepancy_topic(prefix: str) -> str:
    """Where a receiver says what does not agree."""
    return f"{prefix}/_recon/discrepancy"
