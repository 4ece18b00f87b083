"""The engine without its short cut: every reading goes through all the steps of `counting`."""

from __future__ import annotations

from datetime import datetime

from edge_agent.derivation.booking import Books
from edge_agent.derivation.engine import Engine
from edge_agent.derivation.steady import Steady
from edge_agent.model.reading import Reading


def _never(work: Books, one: Steady, reading: Reading, time: datetime) -> bool:
    return False


class Stepwise(Engine):
    _runs_on = staticmethod(_never)
