"""Several files become one document: sections are put together, and nothing may be said twice."""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, shown
from edge_agent.config.yaml_nodes import Map, Scalar, Seq

_LEVELS = {"sources": 1, "tags": 2, "units": 1, "materials": 1, "cadence": 1, "movements": 1}
"""How deep the entries of a section are put together; other sections stand in one file."""


def merge(roots: Sequence[Map], findings: Findings) -> Map:
    """One document of all files; a key given in two of them is an error that names both places."""
    if len(roots) == 1:
        return roots[0]
    merged = Map(roots[0].place)
    for root in roots:
        for key, node in root.items():
            mine = merged.get(key)
            if isinstance(mine, Map) and isinstance(node, Map) and key in _LEVELS:
                _merge_into(mine, node, _LEVELS[key], findings)
            elif isinstance(mine, Seq) and isinstance(node, Seq):
                mine.extend(node)
            elif not _same_version(key, mine, node):
                _put(merged, root, key, findings)
    return merged


def _same_version(key: str, mine: object, other: object) -> bool:
    """Each file may state the version of the format it is written in."""
    return key == "schema" and isinstance(mine, Scalar) and isinstance(other, Scalar) and mine.text == other.text


def _merge_into(mine: Map, other: Map, levels: int, findings: Findings) -> None:
    for key, node in other.items():
        known = mine.get(key)
        if levels > 1 and isinstance(known, Map) and isinstance(node, Map):
            _merge_into(known, node, levels - 1, findings)
        else:
            _put(mine, other, key, findings)


def _put(into: Map, source: Map, key: str, findings: Findings) -> None:
    """Take a key over. The place of its file goes with it: paths start from there."""
    if key in into.places:
        message = f"{shown(key)} is given twice, first at {into.places[key]}"
        findings.error(source.places[key], Code.DUPLICATE, message, "keep one of them")
        return
    into.places[key] = source.places[key]
    into[key] = source[key]
