"""Tag map files in, frozen references out; every fault is a finding with its place, and all of them come at once."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from edge_agent.config.files import read_all
from edge_agent.config.findings import Finding, Findings, Severity, TooManyFindings
from edge_agent.config.merge import merge
from edge_agent.config.report import Report
from edge_agent.config.resolve_context import World
from edge_agent.config.resolve_materials import resolve_cadences, resolve_materials
from edge_agent.config.resolve_plant import (
    resolve_buffer,
    resolve_calendar,
    resolve_line,
    resolve_mqtt,
    resolve_ownership,
)
from edge_agent.config.resolve_rules import check_writes, resolve_rules
from edge_agent.config.resolve_sources import resolve_sources
from edge_agent.config.resolve_tags import resolve_tags
from edge_agent.config.resolve_units import resolve_units
from edge_agent.config.shape import Draft, read
from edge_agent.config.tagmap import TagMap
from edge_agent.config.yaml_nodes import parse

MAX_SKEW = timedelta(seconds=5)
SNAPSHOTS = timedelta(hours=1)
_NOT_RUN = "EA-19"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of the files. `tag_map` is None where `errors` is not empty.

    `tags` and `rules` count what the files hold, the rules that this version does not run included.
    """

    tag_map: TagMap | None
    findings: tuple[Finding, ...]
    tags: int = 0
    rules: int = 0

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps the map from being used."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def unsupported(self) -> tuple[Finding, ...]:
        """What is valid and not run by this version: `run` refuses it, `check` warns."""
        return tuple(finding for finding in self.findings if finding.code.startswith(_NOT_RUN))


def load(paths: Sequence[Path], *, alone: bool = False) -> Loaded:
    """Read, check and resolve the tag map in `paths`: files, or directories of `*.yaml`. Raises nothing.

    `alone`: the map is looked at away from its plant, so certificates and secrets that it names need not be there.
    """
    findings = Findings()
    try:
        with no_collection():
            return _load(paths, findings, alone=alone)
    except TooManyFindings:
        return Loaded(None, findings.in_order())


@contextmanager
def no_collection() -> Iterator[None]:
    """Nodes, like a recording's lines, form no cycles; looking for some among a million takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(paths: Sequence[Path], findings: Findings, *, alone: bool) -> Loaded:
    texts = read_all(paths, findings)
    unread = findings.errors
    roots = [parse(source, text, findings) for source, text in texts]
    whole = [root for root in roots if root is not None]
    if not whole or len(whole) < len(texts) or unread:
        return Loaded(None, findings.in_order())
    report = Report(merge(whole, findings), findings, alone=alone)
    draft = read(report)
    digest = hashlib.sha256(b"".join(source.data for source, _ in texts)).hexdigest()
    tag_map = _resolve(draft, report, digest)
    found = findings.in_order()
    return Loaded(None if findings.errors else tag_map, found, len(draft.tags), len(draft.movements))


def _resolve(draft: Draft, report: Report, digest: str) -> TagMap | None:
    """Names to objects, figures to exact factors; None where a section of its own is missing."""
    units = resolve_units(draft.units, report)
    sources = resolve_sources(draft.sources, report)
    calendar = None if draft.calendar is None else resolve_calendar(draft.calendar, report)
    world = World(
        report=report,
        draft=draft,
        sources=sources,
        tags=resolve_tags(draft, units, report),
        units=units,
        materials=resolve_materials(draft, units, report),
        cadences=resolve_cadences(draft.cadence, calendar, units, report),
    )
    rules = resolve_rules(world)
    check_writes(world)
    ownership = resolve_ownership(draft.ownership, report)
    mqtt = None if draft.mqtt is None else resolve_mqtt(draft.mqtt, report)
    if draft.agent is None or draft.line is None or draft.calendar is None or draft.buffer is None:
        return None
    if calendar is None or mqtt is None:
        return None
    return TagMap(
        agent=draft.agent,
        line=resolve_line(draft.line),
        calendar=calendar,
        mqtt=mqtt,
        buffer=resolve_buffer(draft.buffer),
        sources=sources,
        tags=world.tags,
        units=units,
        materials=world.materials,
        cadences=world.cadences,
        rules=rules,
        config_hash=digest,
        max_skew=draft.calendar.max_skew or MAX_SKEW,
        ownership=ownership,
        snapshots=SNAPSHOTS if draft.reconcile is None else draft.reconcile.snapshots,
    )
