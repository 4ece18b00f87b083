"""From nodes to typed sections, entry by entry: a fault in one hides nothing in another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from edge_agent.config import document as doc
from edge_agent.config import names
from edge_agent.config.codes import Code
from edge_agent.config.document_rules import RuleSection
from edge_agent.config.findings import AlreadyReported, Unfit, shown
from edge_agent.config.leaves import Token
from edge_agent.config.report import Path, Report
from edge_agent.config.scalars import Kind
from edge_agent.config.section import Section, keys_of
from edge_agent.config.yaml_nodes import Map, Node, Scalar, Seq
from edge_agent.model.reading import TagRef

T = TypeVar("T")
_SOURCE: TypeAdapter[doc.AnySource] = TypeAdapter(doc.SourceSection)
_AGENT: TypeAdapter[str] = TypeAdapter(Token)
_UNIT = TypeAdapter(doc.UnitSection)
_MATERIAL = TypeAdapter(doc.MaterialSection)
_CADENCE = TypeAdapter(doc.CadenceSection)
_RULE = TypeAdapter(RuleSection)
_TAG = TypeAdapter(doc.TagSection)
_OWNERSHIP = TypeAdapter(doc.OwnershipSection)
_LINE = TypeAdapter(doc.LineSection)
_CALENDAR = TypeAdapter(doc.CalendarSection)
_MQTT = TypeAdapter(doc.MqttSection)
_BUFFER = TypeAdapter(doc.BufferSection)
_RECONCILE = TypeAdapter(doc.ReconcileSection)
_MAPPING = frozenset({"dict_type", "model_type", "model_attributes_type", "mapping_type"})


@dataclass(frozen=True, slots=True)
class Draft:
    """The sections whose shape is right; what they refer to is not resolved yet."""

    agent: str | None
    line: doc.LineSection | None
    calendar: doc.CalendarSection | None
    mqtt: doc.MqttSection | None
    buffer: doc.BufferSection | None
    sources: dict[str, doc.AnySource]
    tags: dict[TagRef, doc.TagSection]
    units: dict[str, doc.UnitSection]
    materials: dict[str, doc.MaterialSection]
    cadence: dict[str, doc.CadenceSection]
    movements: dict[str, RuleSection]
    ownership: dict[int, doc.OwnershipSection]
    reconcile: doc.ReconcileSection | None


def read(report: Report) -> Draft:
    """All sections of the document, every fault of their shape reported."""
    _check_sections(report)
    _check_version(report)
    return Draft(
        agent=_valid(report, _AGENT, report.root["agent"], ("agent",)) if "agent" in report.root else None,
        line=_one(report, _LINE, "line"),
        calendar=_one(report, _CALENDAR, "calendar"),
        mqtt=_one(report, _MQTT, "mqtt"),
        buffer=_one(report, _BUFFER, "buffer"),
        sources=_each(report, _SOURCE, ("sources",), names.identifier),
        tags=_tags(report),
        units=_each(report, _UNIT, ("units",), names.unit),
        materials=_each(report, _MATERIAL, ("materials",), names.name),
        cadence=_each(report, _CADENCE, ("cadence",), names.name),
        movements=_each(report, _RULE, ("movements",), names.identifier),
        ownership=_ownership(report),
        reconcile=_one(report, _RECONCILE, "reconcile"),
    )


def _check_sections(report: Report) -> None:
    """Top-level keys: all known, none missing."""
    known = keys_of(doc.Document)
    for key in report.root.keys() - known:
        advice = report.findings.nearest(key, known) or f"sections are {', '.join(sorted(known))}"
        report.error((key,), Code.UNKNOWN_KEY, f"unknown section {shown(key)}", advice, key=True)
    for name, field in doc.Document.model_fields.items():
        key = field.alias or name
        if field.is_required() and key not in report.root:
            report.error((key,), Code.MISSING_KEY, f"the section `{key}` is missing", _example(key))


def _check_version(report: Report) -> None:
    node = report.node("schema")
    if node is None or (isinstance(node, Scalar) and node.kind is Kind.BAD):
        return
    if not isinstance(node, Scalar) or node.kind is not Kind.INTEGER or node.text != str(doc.SCHEMA):
        report.error(("schema",), Code.SCHEMA_VERSION, "this version reads schema 1 only", "write `schema: 1`")


def _one(report: Report, adapter: TypeAdapter[T], key: str) -> T | None:
    node = report.node(key)
    return None if node is None else _valid(report, adapter, node, (key,))


def _each(report: Report, adapter: TypeAdapter[T], path: Path, check_name: Callable[[str], str]) -> dict[str, T]:
    """The entries of a mapping whose keys are names."""
    found = {}
    for name, node in _mapping(report, path).items():
        try:
            check_name(name)
        except Unfit as fault:
            report.error((*path, name), fault.code, fault.message, fault.suggestion, key=True)
        entry = _valid(report, adapter, node, (*path, name))
        if entry is not None:
            found[name] = entry
    return found


def _tags(report: Report) -> dict[TagRef, doc.TagSection]:
    found = {}
    sources = report.names("sources")
    for source in _mapping(report, ("tags",)):
        if source not in sources:
            advice = report.findings.nearest(source, sources) or "add it to `sources`"
            report.error(("tags", source), Code.UNKNOWN_NAME, f"there is no source {shown(source)}", advice, key=True)
        for tag, entry in _each(report, _TAG, ("tags", source), names.identifier).items():
            found[TagRef(source, tag)] = entry
    return found


def _ownership(report: Report) -> dict[int, doc.OwnershipSection]:
    node = report.node("ownership")
    if node is None:
        return {}
    if not isinstance(node, Seq):
        _wrong_shape(report, ("ownership",), node, "a list is expected here", "write [{locations: ..., owner: ...}]")
        return {}
    entries = {index: _valid(report, _OWNERSHIP, item, ("ownership", index)) for index, item in enumerate(node)}
    return {index: entry for index, entry in entries.items() if entry is not None}


def _mapping(report: Report, path: Path) -> Map:
    node = report.node(*path)
    if node is not None and not isinstance(node, Map):
        _wrong_shape(report, path, node, "a mapping of names is expected here", "write {} if there is nothing")
    return report.names(*path)


def _wrong_shape(report: Report, path: Path, node: Node, message: str, advice: str) -> None:
    if isinstance(node, Scalar) and node.kind is Kind.BAD:
        return
    report.error(path, Code.WRONG_SHAPE, message, advice)


def _valid(report: Report, adapter: TypeAdapter[T], node: Node, path: Path) -> T | None:
    """The typed value; where it is unfit, None and an error for everything in it that is."""
    try:
        return adapter.validate_python(node, context=report.findings)
    except ValidationError as faults:
        for fault in faults.errors(include_url=False, include_input=False):
            _report(report, fault, path)
        return None


def _report(report: Report, fault: Any, path: Path) -> None:
    """One of pydantic's errors as a finding. Unknown keys have been reported by the section itself."""
    steps = tuple(step for step in fault["loc"] if not str(step).startswith(("<", "[")))
    place = (*path, *steps)
    key = "[key]" in fault["loc"]
    kind, cause = fault["type"], fault.get("ctx", {}).get("error")
    if kind == "extra_forbidden" or isinstance(cause, AlreadyReported):
        return
    if isinstance(cause, Unfit):
        report.error(place, cause.code, cause.message, cause.suggestion, key=key)
    elif kind == "missing":
        report.error(place, Code.MISSING_KEY, f"`{place[-1]}` is missing", _example(str(place[-1])))
    elif kind == "union_tag_not_found":
        _report_source(report, place)
    elif kind in _MAPPING:
        _wrong_shape(
            report, place, report.node(*place) or report.root, "a mapping is expected here", "write {key: value}"
        )
    else:
        _wrong_shape(report, place, report.node(*place) or report.root, "a list is expected here", "write [a, b]")


def _report_source(report: Report, path: Path) -> None:
    node = report.node(*path)
    if isinstance(node, Map):
        message = "a source speaks one of `opcua`, `modbus` and `mqtt`"
        advice = 'write opcua: opc.tcp://host:4840, modbus: "tcp://host:502", or mqtt: commands'
        report.error(path, Code.CONFLICT, message, advice, key=True)
    elif node is not None:
        _wrong_shape(report, path, node, "a mapping is expected here", "write {opcua: ..., ...}")


@cache
def _examples() -> dict[str, str]:
    """An example of each key that is required somewhere."""
    found: dict[str, str] = {}
    pending: list[type[BaseModel]] = [Section]
    while pending:
        section = pending.pop()
        pending.extend(section.__subclasses__())
        for name, field in section.model_fields.items():
            if field.is_required() and field.examples:
                found.setdefault(field.alias or name, str(field.examples[0]))
    return found


def _example(key: str) -> str:
    return f"add it, like `{key}: {_examples()[key]}`" if key in _examples() else f"add `{key}:`"
