"""Rules whose movements someone confirms, and what SCADA and MES say to a bench that has them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from edge_agent.config.signals import Confirmation
from edge_agent.config.tagmap import Material, OncePer, Rule
from edge_agent.model.confirmation import Result
from edge_agent.model.message import Answered, ConfirmationMessage, ContextMessage, Nonce
from edge_agent.model.movement import EventType
from edge_agent.model.reading import Scalar
from edge_agent.model.state import State
from tests.derivation.plant import AT_ONCE, PCS, Bench

SODA = Material("900001", "Soda 0.5 L", "finished", PCS)


def confirmed(name: str = "pallet_out", **changes: Any) -> Rule:
    """Soda moved to the warehouse, confirmed by messages of `scada`."""
    return Rule(
        name,
        **{
            "event": EventType.MOVED,
            "material": SODA,
            "signal": Confirmation("scada"),
            "factor": Fraction(1),
            "source_unit": PCS,
            "cadence": AT_ONCE,
            "from_": "L3-OUT",
            "to": "WH-01",
            **changes,
        },
    )


def once(hours: float = 12, *, exclude: bool = False) -> OncePer:
    return OncePer(timedelta(hours=hours), exclude)


class Talk(Bench):
    """A bench that is told. `answers` are those given, and what the store would remember is remembered."""

    def __init__(self, *rules: Rule) -> None:
        self.answers: list[Answered] = []
        self._said = 0
        super().__init__(*rules)

    def after(self, seconds: float) -> Talk:
        super().after(seconds)
        return self

    def message(self, id_: str, quantity: object = 40, rule: str = "pallet_out", **about: Any) -> ConfirmationMessage:
        """What SCADA says now of something that happened `age` seconds ago."""
        age = about.pop("age", 1)
        about = {"unit": "case", "container": f"P{id_}", **about}
        time = self.now.wall - timedelta(seconds=age)
        return ConfirmationMessage(rule, id_, time, Decimal(str(quantity)), self.now, **about)

    def confirm(self, id_: str, quantity: object = 40, rule: str = "pallet_out", **about: Any) -> Talk:
        """It says so."""
        return self.say(self.message(id_, quantity, rule, **about))

    def say(self, message: ConfirmationMessage) -> Talk:
        """A message comes, and its answer is noted."""
        outcome = self.engine.fold(self.state, (message,))
        assert outcome.answered is not None
        self.answers.append(outcome.answered)
        self.feed(message)
        return self

    def tell(self, *, ago: float = 0, source: str = "mes", **values: Scalar) -> Talk:
        """MES says what runs."""
        self._said += 1
        nonce = Nonce("context", f"nonce-{self._said:04}", "d", self.now.wall + timedelta(minutes=5))
        time = self.now.wall - timedelta(seconds=ago)
        self.feed(ContextMessage(source, values, time, self.now, nonce))
        return self

    def restore(self, backup: State) -> Talk:
        """The store is an older one, and knows it; what was told since is gone from the journal too."""
        kinds = {kind: dict(mapping) for kind, mapping in backup.kinds().items()}
        kinds["rules"] = {
            name: replace(rule, signal=rule.signal and replace(rule.signal, restored=True))
            for name, rule in backup.rules.items()
        }
        self.state = State(**kinds)
        return self

    @property
    def results(self) -> list[Result]:
        return [one.result for one in self.answers]
