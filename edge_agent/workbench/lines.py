"""What a line of a recording says, as a source would deliver it (docs/workbench.md, Lines); `writing` is the way back.

A kind of line is told by the key that only it has; another kind is one more entry of `_KINDS`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, Unfit, one_of, shown
from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import TagMap
from edge_agent.model.confirmation import Block, Released
from edge_agent.model.message import LotMessage, SaidLot
from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, SourceChange, TagRef
from edge_agent.sources.base import Input
from edge_agent.workbench.json_text import LineFault, Members, Path
from edge_agent.workbench.lots import lot_message
from edge_agent.workbench.values import fit, ingested, instant, moment

_BITS_64 = 1 << 64
_BITS_32 = 1 << 32
_TEXTS = {
    "q": "good",
    "state": "up",
    "tag": "filler.order_no",
    "source": "filler",
    "event": "3f0a",
    "block": "pallet_out",
    "released": "pallet_out",
    "lot": "L7",
    "material": "300017",
    "status": "QA-HOLD",
}
"""Of the members that are texts and no times, one each."""
_OF_VALUE = frozenset({"v", "q", "st", "status"})


@dataclass(frozen=True, slots=True)
class Ignored:
    """A line about something that the map does not know, or (`known`) knows for something else than a handshake."""

    name: str
    known: bool = False


Recorded = Input | LotMessage
"""What a recording holds: what sources deliver, and what LIMS says."""
Said = tuple[Recorded | Ignored, ...]


def decode(line: Members, tag_map: TagMap) -> Said:
    """What the line says, and what of it the map does not know. Raises LineFault."""
    kind = _kind_of(line)
    for key in line:
        if key not in kind.keys:
            advice = Findings().nearest(key, kind.keys) or f"known here: {', '.join(sorted(kind.keys))}"
            raise LineFault(Unfit(Code.UNKNOWN_KEY, f"unknown key {shown(key)}", advice), (key,), key=True)
    for key in kind.needed:
        if key not in line:
            raise LineFault(Unfit(Code.MISSING_KEY, f"`{key}` is missing", f'add "{key}": {_EXAMPLES[key]}'))
    return kind.decode(line, instant(_moment(line["t"], ("t",), ingested)), tag_map)


def _text(value: object, path: Path) -> str:
    if not isinstance(value, str):
        like = _TEXTS.get(path[-1], "2026-03-02T08:00:00Z")
        raise LineFault(Unfit(Code.WRONG_KIND, "a text is expected here", f'write it quoted, like "{like}"'), path)
    return value


def _moment(value: object, path: Path, read: Callable[[str], datetime] = moment) -> datetime:
    text = _text(value, path)
    try:
        return read(text)
    except Unfit as unfit:
        raise LineFault(unfit, path) from unfit


def _word(value: object, path: Path, words: Mapping[str, Any]) -> Any:
    text = _text(value, path)
    if text not in words:
        raise LineFault(Unfit(Code.NO_SUCH_CHOICE, f"{shown(text)} is not {one_of(words)}"), path)
    return words[text]


def _flag(value: object, path: Path) -> bool:
    if not isinstance(value, bool):
        raise LineFault(Unfit(Code.WRONG_KIND, "true or false is expected here"), path)
    return value


def _count(value: object, path: Path, end: int = _BITS_64) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < end:
        raise LineFault(Unfit(Code.WRONG_KIND, f"a whole number from 0 to {end - 1} is expected here"), path)
    return value


_QUALITIES = {quality.value: quality for quality in Quality}
_LINKS = {link.value: link for link in Link}


def default_quality(value: Scalar | None) -> Quality:
    """The quality of a line that names none."""
    return Quality.BAD if value is None else Quality.GOOD


def _reading(members: Mapping[str, Any], ref: TagRef, at: Instant, tag_map: TagMap, path: Path = ()) -> Reading:
    """A reading of a tag that the map has, from the members that say its value."""
    try:
        value = fit(tag_map.tags[ref], members["v"])
    except Unfit as unfit:
        raise LineFault(unfit, (*path, "v")) from unfit
    quality = default_quality(value)
    if "q" in members:
        quality = _word(members["q"], (*path, "q"), _QUALITIES)
        if value is None and quality is Quality.GOOD:
            fault = Unfit(Code.CONFLICT, "no value (null) is never good", 'leave "q" out, or write "bad"')
            raise LineFault(fault, (*path, "q"))
    return Reading(
        ref,
        value,
        quality,
        at,
        _count(members["status"], (*path, "status"), _BITS_32) if "status" in members else 0,
        _moment(members["st"], (*path, "st")) if members.get("st") is not None else None,
        continuous=_flag(members["c"], (*path, "c")) if "c" in members else False,
    )


def _tag(text: str, path: Path, *, key: bool = False) -> TagRef:
    source, dot, tag = text.partition(".")
    if not (source and dot and tag):
        fault = Unfit(Code.BAD_NAME, f"{shown(text)} does not name a tag", "write source.tag, like filler.order_no")
        raise LineFault(fault, path, key=key)
    return TagRef(source, tag)


def _decode_reading(line: Members, at: Instant, tag_map: TagMap) -> Said:
    ref = _tag(_text(line["tag"], ("tag",)), ("tag",))
    return (_reading(line, ref, at, tag_map) if ref in tag_map.tags else Ignored(str(ref)),)


def _decode_state(line: Members, at: Instant, tag_map: TagMap) -> Said:
    source, link = _text(line["source"], ("source",)), _word(line["state"], ("state",), _LINKS)
    started = line.get("start_time")
    start_time = None if started is None else _moment(started, ("start_time",))
    if start_time is not None and link is Link.LOST:
        fault = Unfit(Code.CONFLICT, "a lost source tells no start time", 'leave it out, or write "state": "up"')
        raise LineFault(fault, ("start_time",), key=True)
    return (SourceChange(source, link, at, start_time) if source in tag_map.sources else Ignored(source),)


def _handshake(line: Members, key: str, tag_map: TagMap) -> str | None:
    """The rule that a line is about, under its present name; None where the map has no such handshake."""
    name = _text(line[key], (key,))
    heirs = (rule.name for rule in tag_map.rules.values() if rule.was == name)
    present = name if name in tag_map.rules else next(heirs, name)
    rule = tag_map.rules.get(present)
    return present if rule is not None and isinstance(rule.signal, Handshake) else None


def _decode_block(line: Members, at: Instant, tag_map: TagMap) -> Said:
    rule, number = _handshake(line, "block", tag_map), _count(line["number"], ("number",))
    ack = line.get("acknowledged")
    acknowledged = None if ack is None else _count(ack, ("acknowledged",))
    if not isinstance(line["values"], Members):
        fault = Unfit(Code.WRONG_SHAPE, "an object is expected here", 'write {"filler.pal_cases": 40}')
        raise LineFault(fault, ("values",))
    values, ignored = {}, []
    for name, value in line["values"].items():
        path = ("values", name)
        ref = _tag(name, path, key=True)
        if ref in tag_map.tags:
            values[ref] = _of_block(value, ref, at, tag_map, path)
        else:
            ignored.append(Ignored(name))
    if rule is None:
        return (Ignored(line["block"], line["block"] in tag_map.rules),)
    fell = _flag(line["fell"], ("fell",)) if "fell" in line else False
    waiting = _count(line["waiting"], ("waiting",)) if "waiting" in line else 0
    event = _text(line["event"], ("event",)) if "event" in line else ""
    block = Block(rule, number, acknowledged, values, at, fell=fell, waiting=waiting, event=event)
    return (block, *ignored)


def _of_block(value: object, ref: TagRef, at: Instant, tag_map: TagMap, path: Path) -> Reading:
    """A value of a block, or an object with value and quality."""
    if not isinstance(value, Members):
        try:
            found = fit(tag_map.tags[ref], value)
        except Unfit as unfit:
            raise LineFault(unfit, path) from unfit
        return Reading(ref, found, default_quality(found), at)
    for key in value:
        if key not in _OF_VALUE:
            fault = Unfit(Code.UNKNOWN_KEY, f"unknown key {shown(key)}", f"known here: {', '.join(sorted(_OF_VALUE))}")
            raise LineFault(fault, (*path, key), key=True)
    if "v" not in value:
        raise LineFault(Unfit(Code.MISSING_KEY, "`v` is missing", f'add "v": {_EXAMPLES["v"]}'), path)
    return _reading(value, ref, at, tag_map, path)


def _decode_released(line: Members, at: Instant, tag_map: TagMap) -> Said:
    rule, number = _handshake(line, "released", tag_map), _count(line["number"], ("number",))
    if rule is None:
        return (Ignored(line["released"], line["released"] in tag_map.rules),)
    return (Released(rule, number, at),)


def _decode_lot(line: Members, at: Instant, tag_map: TagMap) -> Said:
    material, lot, status = (_text(line[key], (key,)) for key in ("material", "lot", "status"))
    until, since = (_moment(line[key], (key,)) if line.get(key) is not None else None for key in ("until", "since"))
    try:
        found = lot_message(tag_map, SaidLot(material, lot, status, until), at, since)
    except Unfit as unfit:
        raise LineFault(unfit, ("since",)) from unfit
    return (found or Ignored(f"lots of {material}"),)


@dataclass(frozen=True, slots=True)
class _Kind:
    keys: frozenset[str]
    needed: tuple[str, ...]
    decode: Callable[[Members, Instant, TagMap], Said]


def _kind(decode: Callable[[Members, Instant, TagMap], Said], needed: str, more: str = "") -> _Kind:
    return _Kind(frozenset((*needed.split(), *more.split())), tuple(needed.split()), decode)


_KINDS = {
    "tag": _kind(_decode_reading, "t tag v", "q st c status"),
    "source": _kind(_decode_state, "t source state", "start_time"),
    "block": _kind(_decode_block, "t block number values", "acknowledged fell waiting event"),
    "released": _kind(_decode_released, "t released number"),
    "lot": _kind(_decode_lot, "t lot material status", "until since"),
}
_EXAMPLES = {
    "t": '"2026-03-02T08:00:00.250Z", when it was received',
    "v": "4711 (null where there was none)",
    "state": '"up" or "lost"',
    "number": "17, the trigger's value",
    "values": '{"filler.pal_cases": 40}',
    "material": '"300017", its number in the map',
    "status": '"QA-HOLD"',
}


def _kind_of(line: Members) -> _Kind:
    told = [key for key in _KINDS if key in line]
    if len(told) == 1:
        return _KINDS[told[0]]
    if told:
        fault = Unfit(
            Code.CONFLICT, f"{shown(told[1])} beside {shown(told[0])}: a line says one thing", "make it two lines"
        )
        raise LineFault(fault, (told[1],), key=True)
    message = f"a line has one of {one_of(f'`{key}`' for key in _KINDS)}"
    raise LineFault(Unfit(Code.NOT_A_RECORD, message, 'a reading is {"t": …, "tag": "source.tag", "v": …}'))
