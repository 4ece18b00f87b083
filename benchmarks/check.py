"""`edge-agent check` on a large tag map, beside libyaml reading the same text."""

from __future__ import annotations

import sys
import time

import yaml

from benchmarks.plant import Plant
from benchmarks.processes import Child
from benchmarks.report import Goal, Result, figures, ratio
from benchmarks.scale import Scale, seconds

NAME = "check"
TITLE = "`edge-agent check` of 20,000 tags, each with a rule: the whole command"

_YAML = "libyaml parsing the same text"
_OURS = "edge-agent check"
_TARGET = 5.0


def run(scale: Scale) -> Result:
    """Wall time of the command as a person feels it."""
    tags = scale.of(20_000, 50)
    text = Plant(tags).text()
    rounds = []
    for _ in range(scale.repeats):
        parsed = seconds(lambda: sum(1 for _ in yaml.parse(text, Loader=yaml.CSafeLoader)))
        with scale.scratch() as folder:
            file = Plant(tags).write(folder)
            began = time.perf_counter()
            Child([sys.executable, "-m", "edge_agent", "check", str(file)]).wait()
            rounds.append({_YAML: parsed, _OURS: time.perf_counter() - began})
    found = figures({_YAML: "s", _OURS: "s"}, rounds)
    over = ratio("ours / libyaml", found[_OURS], found[_YAML])
    note = f"{tags} tags and as many rules, {len(text) / 1e6:.1f} MB of YAML"
    return Result(NAME, TITLE, (*found.values(), over), (Goal(found[_OURS], _TARGET, at_least=False),), (note,))
