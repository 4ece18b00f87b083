"""What agents say of themselves: how far they have got (birth, heartbeat), and replies to our commands."""

from __future__ import annotations

from typing import Any

from edge_agent_receiver.acks import Acks
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.event import HIGHEST, read_hash
from edge_agent_receiver.gaps import Gaps
from edge_agent_receiver.holes import Holes
from edge_agent_receiver.places import read_urn
from edge_agent_receiver.positions import Positions
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import Malformed, read_object


class Gateway:
    """Takes what comes on `_gateway/…`; commands of other systems are none of our business."""

    def __init__(self, desk: Desk, holes: Holes, gaps: Gaps, acks: Acks, positions: Positions) -> None:
        self._desk = desk
        self._holes = holes
        self._gaps = gaps
        self._positions = positions
        self._replies = {
            "cmd/replay/reply": gaps.replied,
            "cmd/ack/reply": acks.replied,
            "cmd/positions/reply": positions.replied,
        }

    def take(self, db: Db, prefix: str, rest: str, payload: bytes) -> None:
        """Take a message in. Raises Malformed."""
        agent, _, what = rest.partition("/")
        if what in {"state", "heartbeat"}:
            self._alive(db, prefix, agent, read_object(payload).get("data"))
        elif what in self._replies:
            reply = read_object(payload)
            about = reply.get("data") if "specversion" in reply else reply
            if not isinstance(about, dict):
                raise Malformed("data: not an object")
            self._replies[what](db, about)

    def _alive(self, db: Db, prefix: str, agent: str, data: object) -> None:
        if not isinstance(data, dict):
            raise Malformed("data: not an object")
        streams, hashes, queued = (_object(data, name) for name in ("streams", "hashes", "queueDepth"))
        read = {urn: (read_urn(urn), sequence) for urn, sequence in streams.items()}
        if any(type(sequence) is not int or not 0 <= sequence <= HIGHEST for _, sequence in read.values()):
            raise Malformed("streams: holds what is no sequence")
        own = {urn: place for urn, (place, _) in read.items() if place.agent == agent}
        for urn, place in own.items():
            sequence, unsent = streams[urn], queued.get(place.stream)
            sha256 = None if urn not in hashes or not sequence else read_hash(hashes[urn], "hashes")
            self._got_to(db, prefix, urn, sequence, sha256)
            if type(unsent) is int and 0 <= unsent <= sequence:
                self._delivered(urn, sequence - unsent)
        self._gaps.alive(agent, {place.store for place in own.values()})

    def _got_to(self, db: Db, prefix: str, urn: str, sequence: int, sha256: str | None) -> None:
        source = self._desk.sources.known(urn)
        if source is None:
            source = self._positions.new_source(db, urn, prefix)
        if sequence > source.announced or source.prefix != prefix:
            source.announced, source.prefix = max(sequence, source.announced), prefix
            self._desk.sources.touch(source)
        if sha256 is not None:
            proven = sequence in source.proven
            self._holes.claim(db, source, sequence, sha256)
            if (sequence in source.proven) != proven:
                self._desk.sources.touch(source)  # there may be more to post

    def _delivered(self, urn: str, sequence: int) -> None:
        source = self._desk.sources.known(urn)
        if source is not None and sequence > source.delivered:
            source.delivered = sequence
            self._desk.sources.touch(source)


def _object(data: dict[str, Any], name: str) -> dict[str, Any]:
    """A member that may be missing. Raises Malformed."""
    found = data.get(name, {})
    if not isinstance(found, dict):
        raise Malformed(f"{name}: not an object")
    return found
