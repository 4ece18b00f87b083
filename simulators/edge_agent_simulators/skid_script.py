"""The skid's faults by plan: each once, in an order that the seed draws, evenly over the dosing time.

All of them can be settled by evidence: a client that does its work books every portion, whatever was planned. What is
ambiguous by nature (an older totalizer restored) is injected by hand.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_agent_simulators.physics import ticks
from edge_agent_simulators.skid_faults import Kind

_FIRST, _LAST = 0.08, 0.8
"""Of the duration: faults of the wire lie between."""
_ZERO_AT = 0.85


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault at `at` ticks of dosing time or as soon after it as it may be, see `skid_faults.Kind`."""

    at: int
    kind: Kind
    parameters: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None
    seconds: float | None = None
    after_wrap: bool = False


_WIRE = (
    Planned(0, Kind.CUT),
    Planned(0, Kind.LATE),
    Planned(0, Kind.DRIP),
    Planned(0, Kind.BLACK_HOLE, seconds=2.5),
    Planned(0, Kind.WRONG_COUNT, {"by": -1}),
    Planned(0, Kind.ODD_COUNT),
    Planned(0, Kind.WRONG_FUNCTION),
    Planned(0, Kind.WRONG_UNIT),
    Planned(0, Kind.EXCEPTION, {"code": 6}, times=2),
    Planned(0, Kind.RESTART, {"totalizer": "kept"}),
)
_TCP = (Planned(0, Kind.WRONG_TRANSACTION), Planned(0, Kind.WRONG_LENGTH))
_SERIAL = (Planned(0, Kind.BAD_CRC),)


def plan(seed: int, seconds: float, *, serial: bool) -> list[Planned]:
    """The faults of a run of `seconds`; the totalizer is set to zero last, after its wrap."""
    faults = [*_WIRE, *(_SERIAL if serial else _TCP)]
    random.Random(seed).shuffle(faults)
    step = (_LAST - _FIRST) / len(faults)
    planned = [
        Planned(ticks(seconds * (_FIRST + step * place)), one.kind, one.parameters, one.times, one.seconds)
        for place, one in enumerate(faults)
    ]
    zero = Planned(ticks(seconds * _ZERO_AT), Kind.RESTART, {"totalizer": "zero", "calm": 5.0}, after_wrap=True)
    return [*planned, zero]
