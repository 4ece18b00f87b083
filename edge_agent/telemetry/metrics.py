"""Counters, gauges and histograms, by name and labels as in `catalogue` (without prefix and `_total`)."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from edge_agent.telemetry.catalogue import METRICS

Labels = tuple[str, ...]
"""Name, value, name, value: in the order of the names. Flat, since there is one for each rule and more."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of a histogram's buckets in seconds: from a fast disk's fsync to a slow line."""
_PREFIX = "edge_agent_"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


@dataclass(slots=True)
class _Histogram:
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0


class Counts:
    """What happened how often, how long it took, and how much there is now."""

    def __init__(self) -> None:
        self._counters: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._gauges: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._histograms: dict[str, _Histogram] = {}

    def add(self, name: str, by: int = 1, /, **labels: str) -> None:
        """Count `by` more of something; 0 makes it known. Raises ValueError where `by` is negative."""
        if by < 0:
            raise ValueError(f"{name}: a counter cannot be lowered by {-by}")
        family, key = self._counters[name], _flat(labels)
        family[key] = family.get(key, 0) + by

    def total(self, name: str, value: float, /, **labels: str) -> None:
        """State a counter that is counted elsewhere."""
        self._counters[name][_flat(labels)] = value

    def set(self, name: str, value: float, /, **labels: str) -> None:
        """State a gauge, in the base unit that its name says."""
        self._gauges[name][_flat(labels)] = value

    def observe(self, name: str, seconds: float) -> None:
        """Note how long something took."""
        histogram = self._histograms.setdefault(name, _Histogram())
        histogram.buckets[bisect_left(BOUNDS, seconds)] += 1
        histogram.sum += seconds

    def get(self, name: str, /, **labels: str) -> float:
        """A counter's or gauge's value; 0 where nothing was counted."""
        key = _flat(labels)
        return self._gauges.get(name, {}).get(key, self._counters.get(name, {}).get(key, 0))

    def snapshot(self) -> dict[str, float]:
        """Counters and gauges by name and labels: `readings{source="filler"}`."""
        families = sorted((self._counters | self._gauges).items())
        return {name + _braces(labels): value for name, family in families for labels, value in sorted(family.items())}

    def exposition(self) -> str:
        """All of them in Prometheus' text format, version 0.0.4."""
        lines: list[str] = []
        for kind, suffix, families in (("counter", "_total", self._counters), ("gauge", "", self._gauges)):
            for name, family in sorted(families.items()):
                full = f"{_PREFIX}{name}{suffix}"
                lines += _head(full, name, kind)
                lines += [f"{full}{_braces(labels)} {value}" for labels, value in sorted(family.items())]
        for name, histogram in sorted(self._histograms.items()):
            lines += _histogram(name, histogram)
        return "\n".join(lines) + "\n"


def _histogram(name: str, histogram: _Histogram) -> list[str]:
    full = _PREFIX + name
    lines, below = _head(full, name, "histogram"), 0
    for bound, number in zip((*map(str, BOUNDS), "+Inf"), histogram.buckets, strict=True):
        below += number
        lines.append(f'{full}_bucket{{le="{bound}"}} {below}')
    return [*lines, f"{full}_sum {histogram.sum}", f"{full}_count {below}"]


def _head(full: str, name: str, kind: str) -> list[str]:
    return [f"# HELP {full} {METRICS.get(name, '')}", f"# TYPE {full} {kind}"]


def _flat(labels: Mapping[str, str]) -> Labels:
    return tuple(chain.from_iterable(sorted(labels.items())))


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = zip(labels[::2], labels[1::2], strict=True)
    inner = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in pairs)
    return f"{{{inner}}}"
