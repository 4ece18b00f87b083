"""Dead letters sent again, events corrected, snapshots taken: each under a person's name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from edge_agent.clock import Clock
from edge_agent.control import Handler
from edge_agent.control_verbs.fields import number, optional, quantity, text
from edge_agent.errors import ControlError
from edge_agent.inbound.replaying import Resend
from edge_agent.model.event import Change
from edge_agent.settling import Settling
from edge_agent.store.answers import AnswerBook
from edge_agent.store.audit import Audit
from edge_agent.store.corrections import Amendment, Corrections
from edge_agent.store.dead import OPEN, DeadLetters
from edge_agent.store.outbox import Outbox

_RETRY_WITHIN = timedelta(hours=1)
_BROKER_SECONDS = 20.0


class LetterVerbs:
    """Handlers of the control socket; every one that writes leaves an entry in the audit log."""

    def __init__(
        self,
        answers: AnswerBook,
        dead: DeadLetters,
        corrections: Corrections,
        outbox: Outbox,
        settling: Settling,
        *,
        resend: Resend,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._answers = answers
        self._dead = dead
        self._corrections = corrections
        self._outbox = outbox
        self._settling = settling
        self._resend = resend
        self._audit = audit
        self._clock = clock

    def handlers(self) -> Mapping[str, Handler]:
        """By the name a request gives in `do`."""
        return {"dead.retry": self.retry, "correct": self.correct, "snapshot": self.snapshot}

    async def retry(self, request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Have the original bytes of a rejected or unpublishable event sent again."""
        source, sequence = text(request, "source"), number(request, "sequence")
        by, reason = text(request, "by"), text(request, "reason")
        systems = await self._answers.retry(source, sequence, _RETRY_WITHIN, self._clock.now().wall)
        sent, why = 1 if systems else 0, None
        if not systems:
            if await self._dead.status(source, sequence) != OPEN:
                raise ControlError(f"event {sequence} of {source} is neither rejected nor unpublishable")
            sent, why = await self._send(source, sequence)
        detail = {"source": source, "sequence": sequence, "systems": systems, "sent": sent, "by": by, "reason": reason}
        await self._audit.append(asker, "dead letter retried", detail)
        return {"sent": sent, "systems": systems, "why": why}

    async def correct(self, request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Reverse an event, and unless it is void have another take its place."""
        source, sequence = text(request, "source"), number(request, "sequence")
        by, reason = text(request, "by"), text(request, "reason")
        amendment = None if request.get("void") is True else _amendment(request)
        at = self._clock.now().wall
        await self._corrections.ask(source, sequence, amendment, by=by, reason=reason, at=at)
        detail = {"source": source, "sequence": sequence, "by": by, "reason": reason, "void": amendment is None}
        await self._audit.append(asker, "correction", detail)
        await self._settling.settle()
        reversal, waits_for = await self._corrections.state(source, sequence)
        return {"made": reversal is not None, "waits_for": waits_for, "events": [] if reversal is None else [reversal]}

    async def snapshot(self, _request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
        """Take a snapshot of all stocks now."""
        await self._settling.snapshot()
        await self._audit.append(asker, "snapshot", {})
        return {"events": 1}

    async def _send(self, source: str, sequence: int) -> tuple[int, str | None]:
        """Publish a dead letter after all; how many went, and why none did."""
        events = (await self._outbox.replay(source, sequence, sequence, 1)).events
        try:
            async with asyncio.timeout(_BROKER_SECONDS):
                sent = await self._resend(events)
        except TimeoutError:
            return 0, f"there was no broker for {_BROKER_SECONDS:.0f} s"
        if not sent:
            return 0, "the broker does not take it, or it is unfit to send"
        await self._dead.sent(source, sequence)
        return sent, None


def _amendment(request: Mapping[str, Any]) -> Amendment:
    lines = request.get("lines") or {}
    if not isinstance(lines, Mapping) or not all(isinstance(line, Mapping) for line in lines.values()):
        raise ControlError("lines must be an object of what changes, by the number of the line")
    return Amendment({str(name): _change(line) for name, line in lines.items()}, optional(request, "order"))


def _change(line: Mapping[str, Any]) -> Change:
    if unknown := line.keys() - {"quantity", "lot"}:
        raise ControlError(f"of a line quantity and lot can change, not {', '.join(sorted(unknown))}")
    changed = None if line.get("quantity") is None else quantity(line["quantity"], "quantity")
    return Change(changed, optional(line, "lot"))
