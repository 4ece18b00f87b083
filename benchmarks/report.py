"""What a benchmark says: figures with their spread, goals met or missed, for people and as JSON."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

_LIBRARIES = ("asyncua", "paho-mqtt", "pymodbus", "pydantic", "aiosqlite", "orjson")


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing measured, once per repetition."""

    name: str
    unit: str
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the repetitions."""
        return statistics.median(self.runs)

    def as_json(self) -> dict[str, Any]:
        """Median, extremes and every run."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "low": min(self.runs),
            "high": max(self.runs),
            "runs": list(self.runs),
        }

    @property
    def spread(self) -> str:
        """Lowest to highest; empty where there was one repetition."""
        return f"{_text(min(self.runs))} to {_text(max(self.runs))}" if len(self.runs) > 1 else ""

    def row(self) -> str:
        """One line of the table."""
        return f"  {self.name:<58} {_text(self.median):>10} {self.unit:<10} {self.spread}"

    def markdown(self, goal: Goal | None) -> str:
        """One row of a Markdown table."""
        target = "" if goal is None else f"{goal.wanted}: {'met' if goal.met else '**missed**'}"
        return f"| {self.name} | {_text(self.median)} {self.unit} | {self.spread} | {target} |"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a figure's median. It fails nothing: a busy machine misses what the code meets."""

    figure: Figure
    bound: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether the median is on the right side."""
        return self.figure.median >= self.bound if self.at_least else self.figure.median <= self.bound

    @property
    def wanted(self) -> str:
        """The bound in words."""
        return f"{'≥' if self.at_least else '≤'} {_text(self.bound)} {self.figure.unit}".rstrip()

    def as_json(self) -> dict[str, Any]:
        """The bound beside what was measured."""
        return {
            "figure": self.figure.name,
            "bound": self.bound,
            "sense": ">=" if self.at_least else "<=",
            "measured": self.figure.median,
            "met": self.met,
        }

    def row(self) -> str:
        """One line under the table."""
        verdict = "met" if self.met else "missed"
        return f"  target {self.figure.name} {self.wanted}: {_text(self.figure.median)}, {verdict}"


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found. `notes` say what a reader must know to trust the figures, or NOT RUN and why."""

    name: str
    title: str
    figures: tuple[Figure, ...] = ()
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "name": self.name,
            "title": self.title,
            "figures": [figure.as_json() for figure in self.figures],
            "goals": [goal.as_json() for goal in self.goals],
            "notes": list(self.notes),
        }

    def markdown(self) -> str:
        """A section of a document."""
        goals = {goal.figure.name: goal for goal in self.goals}
        rows = [f"## {self.name}", "", f"{self.title[0].upper()}{self.title[1:]}.", ""]
        if self.figures:
            rows += ["| | median | lowest to highest | target |", "|---|---|---|---|"]
            rows += [figure.markdown(goals.get(figure.name)) for figure in self.figures]
        rows += ["", *(f"- {note}" for note in self.notes), ""]
        return "\n".join(rows)

    def table(self) -> str:
        """For people."""
        rows = [f"{self.name}: {self.title}"]
        rows += [figure.row() for figure in self.figures]
        rows += [goal.row() for goal in self.goals]
        rows += [f"  note: {note}" for note in self.notes]
        return "\n".join(rows)


def ratio(name: str, ours: Figure, ceiling: Figure) -> Figure:
    """Ours over the ceiling, repetition by repetition: both sides of one saw the same weather."""
    return Figure(name, "", tuple(a / b for a, b in zip(ours.runs, ceiling.runs, strict=True)))


def figures(units: Mapping[str, str], rounds: Sequence[Mapping[str, float]]) -> dict[str, Figure]:
    """Figures by name from what each round measured; `units` gives their units and their order."""
    return {name: Figure(name, unit, tuple(one[name] for one in rounds)) for name, unit in units.items()}


def machine(folder: Path) -> dict[str, Any]:
    """What was measured on, without naming it; `folder` is where the databases lie."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "processor": _processor(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "file_system": _file_system(folder.resolve()),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: version(name) for name in _LIBRARIES},
    }


def heading(about: Mapping[str, Any]) -> str:
    """The machine in two lines."""
    libraries = ", ".join(f"{name} {number}" for name, number in about["libraries"].items())
    return (
        f"{about['system']}, {about['cores']} cores ({about['processor']}), load {about['load'][0]}, "
        f"data on {about['file_system']}\nPython {about['python']}, SQLite {about['sqlite']}, {libraries}"
    )


def _text(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown"


def _file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`: the longest mount point above it says."""
    mounts = [line.split() for line in _lines(Path("/proc/mounts"))]
    above = [(len(point), kind) for _, point, kind, *_ in mounts if folder.is_relative_to(point)]
    return max(above)[1] if above else "unknown"


def _lines(path: Path) -> Iterable[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
