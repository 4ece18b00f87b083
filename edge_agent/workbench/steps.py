"""The steps of a case as what sources deliver: `{at: 1 s, filler.bottles_out: 124}`, `{at: 2 s, filler: lost}`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_agent.config.codes import Code
from edge_agent.config.findings import Place, Unfit, one_of, shown
from edge_agent.config.tagmap import TagMap
from edge_agent.config.yaml_nodes import Map, Node, Scalar
from edge_agent.model.message import LotMessage, SaidLot
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, TagRef
from edge_agent.workbench.lines import Recorded, default_quality
from edge_agent.workbench.lots import lot_message
from edge_agent.workbench.nodes import Nodes, offset
from edge_agent.workbench.recording import Delivery, Gathering
from edge_agent.workbench.values import fit, instant, moment

_OF_LOT = ("lot", "material", "status")
_OF_READING = ("v", "q", "st", "c")
_QUALITIES = {quality.value: quality for quality in Quality}
_LINKS = {link.value: link for link in Link}


@dataclass(slots=True)
class Steps:
    """Reads the steps of one case, which begins at `start`."""

    nodes: Nodes
    tag_map: TagMap
    start: datetime

    def read(self, node: Node) -> list[Delivery]:
        """All steps; with findings, they are not whole."""
        gathered, latest = Gathering(self.tag_map), timedelta(0)
        for item in self.nodes.items(node):
            step = self.nodes.map(item)
            since = None if step is None else self._since(step, latest)
            if step is None or since is None:
                continue
            latest = since
            for key, value in step.items():
                found = None if key == "at" else self._input(key, step.places[key], value, instant(self.start + since))
                if found is not None:
                    self.nodes.attempt(value.place, gathered.add, found)
        return gathered.deliveries

    def _since(self, step: Map, latest: timedelta) -> timedelta | None:
        if "at" not in step:
            self.nodes.findings.error(step.place, Code.MISSING_KEY, "`at` is missing", "add `at: 2 s`")
            return None
        since = self.nodes.offset(step["at"])
        if since is not None and since < latest:
            message = f"a step at {since.total_seconds():g} s after one at {latest.total_seconds():g} s"
            self.nodes.findings.error(step["at"].place, Code.TIME_WENT_BACK, message, "put the steps in order")
            return None
        return since

    def _input(self, key: str, place: Place, value: Node, at: Instant) -> Recorded | None:
        source, dot, tag = key.partition(".")
        if dot:
            ref = TagRef(source, tag)
            known = ref in self.tag_map.tags or self._unknown(
                key, place, "tag", [str(one) for one in self.tag_map.tags]
            )
            return self._reading(ref, value, at) if known else None
        known = source in self.tag_map.sources or self._unknown(source, place, "source", [*self.tag_map.sources])
        if known and isinstance(value, Map) and "lot" in value:
            return self._lot(source, value, at)
        return self._change(source, value, at) if known else None

    def _lot(self, source: str, node: Map, at: Instant) -> LotMessage | None:
        """What a source says of a lot: `{lot: L7, material: "300017", status: QA-HOLD}`."""
        entry = self.nodes.entries(node, ("lot", "material", "status", "until", "since"), _OF_LOT)
        if entry is None or not entry.keys() >= set(_OF_LOT):
            return None
        lot, material, status = (self.nodes.text(entry[key]) for key in _OF_LOT)
        until, since = (self._moment(entry[key]) if key in entry else None for key in ("until", "since"))
        if lot is None or material is None or status is None:
            return None
        said = SaidLot(material, lot, status, until)
        try:
            found = lot_message(self.tag_map, said, at, since)
        except Unfit as unfit:
            self.nodes.findings.unfit(node.place, unfit)
            return None
        if found is None or found.source != source:
            message = f"the map does not ask {shown(source)} for lots of {shown(material)}"
            self.nodes.findings.error(entry["material"].place, Code.UNKNOWN_NAME, message, "see lot_status in the map")
            return None
        return found

    def _unknown(self, name: str, place: Place, what: str, names: list[str]) -> bool:
        advice = self.nodes.findings.nearest(name, names)
        self.nodes.findings.error(place, Code.UNKNOWN_NAME, f"the map has no {what} {shown(name)}", advice)
        return False

    def _change(self, source: str, node: Node, at: Instant) -> SourceChange | None:
        """`lost`, `up`, or `{up: when the server started}`."""
        if isinstance(node, Map):
            entry = self.nodes.entries(node, ("up",), ("up",))
            started = None if entry is None or "up" not in entry else self._moment(entry["up"])
            return None if started is None else SourceChange(source, Link.UP, at, started)
        link = self.nodes.text(node)
        if link is None:
            return None
        if link not in _LINKS:
            message = f"{shown(link)} is not {one_of(_LINKS)}"
            self.nodes.findings.error(node.place, Code.NO_SUCH_CHOICE, message, "or write {up: 0 s}: when it started")
            return None
        return SourceChange(source, _LINKS[link], at)

    def _moment(self, node: Node) -> datetime | None:
        """An instant: RFC 3339, or a time since the beginning."""
        text = self.nodes.text(node)
        return None if text is None else self.nodes.attempt(node.place, self._instant_of, text)

    def _instant_of(self, text: str) -> datetime:
        return moment(text) if "T" in text.upper() else self.start + offset(text)

    def _reading(self, ref: TagRef, node: Node, at: Instant) -> Reading | None:
        """A value, or `{v: …, q: …}`."""
        value, quality, stamp, continuous = node, None, None, False
        if isinstance(node, Map):
            entry = self.nodes.entries(node, _OF_READING, ("v",))
            if entry is None or "v" not in entry:
                return None
            value = entry["v"]
            quality = self._quality(entry["q"]) if "q" in entry else None
            stamp = self._moment(entry["st"]) if "st" in entry else None
            continuous = "c" in entry and self._flag(entry["c"])
        shown_value = self.nodes.value(value)
        if shown_value is None:
            return None
        try:
            found = fit(self.tag_map.tags[ref], shown_value[0])
        except Unfit as unfit:
            self.nodes.findings.unfit(value.place, unfit)
            return None
        return Reading(ref, found, quality or default_quality(found), at, source_time=stamp, continuous=continuous)

    def _quality(self, node: Node) -> Quality | None:
        text = self.nodes.text(node)
        if text is not None and text not in _QUALITIES:
            message = f"{shown(text)} is not {one_of(_QUALITIES)}"
            self.nodes.findings.error(node.place, Code.NO_SUCH_CHOICE, message)
        return _QUALITIES.get(text or "")

    def _flag(self, node: Node) -> bool:
        if isinstance(node, Scalar) and node.text in ("true", "false"):
            return node.text == "true"
        self.nodes.findings.error(node.place, Code.WRONG_KIND, "true or false is expected here")
        return False
