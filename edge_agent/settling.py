"""What time and other people's words settle: overdue answers, events a busy system wants again, corrections, reviews
of a restored store, snapshots.

Everything here asks the pipeline, so that it is committed like what the plant says; nothing is kept in memory alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from edge_agent.clock import Clock
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation import restored
from edge_agent.errors import EdgeAgentError
from edge_agent.inbound.replaying import Resend
from edge_agent.model.event import OPS_STREAM, EventDraft, StoredEvent, Voided
from edge_agent.model.movement import EventType
from edge_agent.model.outcome import Outcome
from edge_agent.pipeline import Pipeline
from edge_agent.store.answers import AnswerBook
from edge_agent.store.audit import Audit
from edge_agent.store.corrections import Corrections
from edge_agent.store.dead import DeadLetters
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.rows import sha256
from edge_agent.store.statements import StatementBook
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status

_PERIOD_SECONDS = 2.0
_TOGETHER_SECONDS = 0.1
"""What comes within so short a time is settled together."""
_CORRECTIONS = "corrections"


class Settling:
    """Looks every two seconds, and whenever it is `wake`d."""

    def __init__(
        self,
        tag_map: TagMap,
        pipeline: Pipeline,
        *,
        outbox: Outbox,
        answers: AnswerBook,
        corrections: Corrections,
        dead: DeadLetters,
        ledger: Ledger,
        statements: StatementBook,
        audit: Audit,
        clock: Clock,
        status: Status,
        counts: Counts,
    ) -> None:
        self._map = tag_map
        self._pipeline = pipeline
        self._outbox = outbox
        self._answers = answers
        self._corrections = corrections
        self._dead = dead
        self._ledger = ledger
        self._statements = statements
        self._audit = audit
        self._clock = clock
        self._status = status
        self._counts = counts
        self._last_snapshot: datetime | None = None
        self._woken = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()

    def introduce(self, tag_map: TagMap) -> None:
        """Another map is in force."""
        self._map = tag_map

    def wake(self) -> None:
        """Something was said that may settle something."""
        self._woken.set()

    async def run(self) -> None:
        """Settle for ever."""
        while True:
            await self.settle()
            with suppress(TimeoutError):
                async with asyncio.timeout(_PERIOD_SECONDS):
                    await self._woken.wait()
                    await asyncio.sleep(_TOGETHER_SECONDS)
            self._woken.clear()

    async def resend_busy(self, resend: Resend) -> None:
        """Send again what a busy system wants again, for ever; `resend` waits as long as there is no broker."""
        while True:
            now = self._clock.now().wall
            for source, sequence in await self._answers.due_again(now):
                taken = await resend((await self._outbox.replay(source, sequence, sequence, 1)).events)
                await self._answers.sent_again(source, sequence, now, taken=taken > 0)
            await asyncio.sleep(_PERIOD_SECONDS)

    async def settle(self) -> None:
        """Once: say what is overdue, make corrections that wait for nobody, decide what receivers' words decide."""
        async with self._one_at_a_time:
            now = self._clock.now().wall
            await self._say_overdue(now)
            await self._correct(now)
            await self._decide_restored(now)
        if self._last_snapshot is None:
            self._last_snapshot = await self._ledger.last_snapshot() or now
        if not timedelta(0) <= now - self._last_snapshot < self._map.snapshots:
            await self.snapshot()

    async def snapshot(self) -> None:
        """Send a snapshot of all stocks."""
        await self._pipeline.ask(Outcome(snapshot=True))
        self._last_snapshot = self._clock.now().wall

    async def stated(self, system: str, held: Mapping[tuple[str, int], int]) -> Sequence[str]:
        """Keep what a receiver says it holds; the reviews that this decides (reliability.md, invariant 13)."""
        await self._statements.put(system, held)
        async with self._one_at_a_time:
            return await self._decide_restored(self._clock.now().wall)

    async def void(self, event: StoredEvent, why: str) -> None:
        """Account for an event that cannot be published, once: see `Void`."""
        if await self._dead.status(event.source, event.sequence) is not None:
            return
        prevhash = json.loads(event.payload)["prevhash"]
        voided = Voided(event.source, event.sequence, event.id, event.type, sha256(event.payload), why, prevhash)
        now = self._clock.now().wall
        await self._pipeline.ask(Outcome(events=[EventDraft(EventType.VOIDED, OPS_STREAM, now, about=voided)]))
        await self._audit.append(
            "agent", "unpublishable", {"source": event.source, "sequence": event.sequence, "why": why}
        )

    async def _say_overdue(self, now: datetime) -> None:
        overdue = await self._answers.overdue(now)
        if overdue:
            drafts = [EventDraft(EventType.EXCEPTION, OPS_STREAM, now, about=one) for one in overdue]
            await self._pipeline.ask(Outcome(events=drafts))
        for one in overdue:
            self._counts.add("overdue", one.count, system=one.system)

    async def _correct(self, now: datetime) -> None:
        """One that cannot be made holds up no other."""
        for drafts in await self._corrections.ready(now):
            try:
                await self._pipeline.ask(Outcome(events=drafts))
            except EdgeAgentError as error:
                self._status.lost(_CORRECTIONS, str(error))
            else:
                self._status.up(_CORRECTIONS)

    async def _decide_restored(self, now: datetime) -> Sequence[str]:
        reviews = [one for one in await self._ledger.restored_reviews() if one.key.rule in self._map.rules]
        if not reviews:
            return ()
        statements = await self._statements.read()
        found = [restored.decided(review, self._map.rules[review.key.rule], statements, now) for review in reviews]
        decisions = [one for one in found if one is not None]
        for decision in decisions:
            await self._pipeline.ask(decision)
            about = {"review": decision.review.id, "candidate": decision.candidate, "quantity": f"{decision.booked:f}"}
            await self._audit.append(decision.by, "review accepted", about | {"reason": decision.reason})
        return [one.review.id for one in decisions]
