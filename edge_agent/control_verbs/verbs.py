"""Status, cut, and decisions on reviews."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from edge_agent.clock import Clock
from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule
from edge_agent.control_verbs.fields import number, quantity, text
from edge_agent.derivation.messages import is_placed
from edge_agent.errors import ControlError
from edge_agent.model.movement import Decision, Review, Verdict
from edge_agent.model.reading import Cut
from edge_agent.model.signal_state import CounterState, SignalState
from edge_agent.pipeline import Pipeline
from edge_agent.store.audit import Audit
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status


class Verbs:
    """The handlers of the control socket; every one that writes leaves an entry in the audit log."""

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: Ledger,
        outbox: Outbox,
        audit: Audit,
        *,
        streams: tuple[str, ...],
        rules: Mapping[str, Rule],
        clock: Clock,
        status: Status,
        counts: Counts,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._outbox = outbox
        self._audit = audit
        self._streams = streams
        self._rules = rules
        self._clock = clock
        self._status = status
        self._counts = counts

    def handlers(self) -> Mapping[str, Callable[[Mapping[str, Any], str], Awaitable[Mapping[str, Any]]]]:
        """By the name a request gives in `do`."""
        return {
            "status": self.status,
            "cut": self.cut,
            "review.accept": self.accept,
            "review.reject": self.reject,
        }

    async def status(self, _request: Mapping[str, Any], _asker: str) -> Mapping[str, Any]:
        """How the running agent stands: components, rules with the last raw value settled, streams, counts."""
        rules = self._pipeline.state.rules
        held = [name for name, rule in rules.items() if rule.signal is not None and rule.signal.held]
        last = {
            name: _shown(self._rules[name], rule.signal)
            for name, rule in sorted(rules.items())
            if rule.signal is not None and name in self._rules
        }
        return {
            "components": self._status.snapshot(),
            "rules": {"last": last, "held": held},
            "streams": {
                self._outbox.source(stream): {
                    "head": self._outbox.head(stream),
                    "delivered": self._outbox.delivered(stream),
                }
                for stream in self._streams
            },
            "counts": self._counts.snapshot(),
        }

    async def cut(self, _request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Cut every pending line into events now."""
        outcome = await self._pipeline.ask(Cut(self._clock.now()))
        await self._audit.append(asker, "cut", {"events": len(outcome.events)})
        return {"events": len(outcome.events)}

    async def accept(self, request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Book one candidate of a review, or what a person found in its place, under a person's name and reason."""
        candidate = None if request.get("candidate") is None else number(request, "candidate")
        found = None if request.get("quantity") is None else quantity(request["quantity"], "quantity")
        if candidate is None and found is None:
            raise ControlError("say which candidate happened, or the quantity that was found")
        return await self._decide(request, asker, Verdict.ACCEPTED, candidate, found)

    async def reject(self, request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Close a review without booking anything, under a person's name and reason."""
        return await self._decide(request, asker, Verdict.REJECTED)

    async def _decide(
        self,
        request: Mapping[str, Any],
        asker: str,
        verdict: Verdict,
        candidate: int | None = None,
        found: Decimal | None = None,
    ) -> Mapping[str, Any]:
        name, by, reason = (text(request, key) for key in ("id", "by", "reason"))
        review = await self._ledger.open_review(name)
        if review.key.rule not in self._rules:
            raise ControlError(f"rule {review.key.rule} is gone from the tag map; put it back to decide {name}")
        if found is not None:
            candidate = _place(self._rules[review.key.rule], review, candidate)
        if candidate is not None and candidate > len(review.candidates):
            raise ControlError(f"review {name} has candidates 1 to {len(review.candidates)}, not {candidate}")
        decision = Decision(review, verdict, candidate, by, reason, self._clock.now().wall, found)
        outcome = await self._pipeline.ask(decision)
        booked = None if decision.booked is None else f"{decision.booked:f}"
        detail = {"review": name, "candidate": candidate, "quantity": booked, "by": by, "reason": reason}
        await self._audit.append(asker, f"review {verdict}", detail)
        return {
            "review": name,
            "verdict": str(verdict),
            "quantity": booked,
            "unit": review.line.unit,
            "events": len(outcome.events),
        }


def _place(rule: Rule, review: Review, candidate: int | None) -> int:
    """The candidate whose order, lot and place a person's quantity is of. Raises ControlError where none can be it."""
    if candidate is None and len({one.key for one in review.candidates}) > 1:
        raise ControlError(
            f"the candidates of {review.id} are not of one order, lot and place: say whose it is, by number"
        )
    chosen = candidate or 1
    if chosen <= len(review.candidates) and not is_placed(rule, review.candidates[chosen - 1].key):
        raise ControlError(
            f"{review.id} does not say from where or to where it went: reject it, and confirm it anew with its places"
        )
    return chosen


def _shown(rule: Rule, signal: SignalState) -> int | str:
    """What the device showed when its signal was last settled: a whole number, or a float's decimals as text."""
    if not isinstance(rule.signal, Counter) or not isinstance(signal, CounterState):
        return signal.shown
    counts = -signal.shown if signal.back else signal.shown
    shown = rule.signal.shows(counts)
    return shown if rule.signal.rounded else int(shown)
