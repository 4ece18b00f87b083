"""Status, cut, and decisions on reviews."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from edge_agent.clock import Clock
from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule
from edge_agent.control_verbs.fields import text
from edge_agent.errors import ControlError
from edge_agent.model.movement import Decision, Verdict
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
        """Book one candidate of a review under a person's name and reason."""
        candidate = request.get("candidate")
        if isinstance(candidate, bool) or not isinstance(candidate, int):
            raise ControlError("candidate must be a number, counted from 1")
        return await self._decide(request, asker, Verdict.ACCEPTED, candidate)

    async def reject(self, request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Close a review without booking anything, under a person's name and reason."""
        return await self._decide(request, asker, Verdict.REJECTED, None)

    async def _decide(
        self, request: Mapping[str, Any], asker: str, verdict: Verdict, candidate: int | None
    ) -> Mapping[str, Any]:
        name, by, reason = (text(request, key) for key in ("id", "by", "reason"))
        review = await self._ledger.open_review(name)
        if review.key.rule not in self._rules:
            raise ControlError(f"rule {review.key.rule} is gone from the tag map; put it back to decide {name}")
        if candidate is not None and not 1 <= candidate <= len(review.candidates):
            raise ControlError(f"review {name} has candidates 1 to {len(review.candidates)}, not {candidate}")
        decision = Decision(review, verdict, candidate, by, reason, self._clock.now().wall)
        outcome = await self._pipeline.ask(decision)
        detail = {"review": name, "candidate": candidate, "by": by, "reason": reason}
        await self._audit.append(asker, f"review {verdict}", detail)
        chosen = review.candidates[candidate - 1] if candidate is not None else None
        return {
            "review": name,
            "verdict": str(verdict),
            "quantity": None if chosen is None else str(chosen.quantity),
            "unit": review.line.unit,
            "events": len(outcome.events),
        }


def _shown(rule: Rule, signal: SignalState) -> int | str:
    """What the device showed when its signal was last settled: a whole number, or a float's decimals as text."""
    if not isinstance(rule.signal, Counter) or not isinstance(signal, CounterState):
        return signal.shown
    counts = -signal.shown if signal.back else signal.shown
    shown = rule.signal.shows(counts)
    return shown if rule.signal.rounded else int(shown)
