"""The flow on one page: source → engine.fold → unit_of_work.commit → acknowledge.

A group is what arrived while the group before was being committed: no timer. State in memory is adopted only after
COMMIT; after any error it is loaded from the store and the kept group folded again (reliability.md, invariant 1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import tenacity

from edge_agent.clock import Clock
from edge_agent.derivation.engine import Engine, Input, Message
from edge_agent.errors import EdgeAgentError, NaturalKeyTaken, SourceError, StoreCorrupt, StoreError
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.event import Entered, Render
from edge_agent.model.movement import Decision
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import TICK_SECONDS, Cut, Link, SourceChange, Tick
from edge_agent.model.state import State
from edge_agent.sources.base import Source
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status

WAITING_DELIVERIES = 64
"""Deliveries that may wait for the store before the sources feel it."""
GROUP_INPUTS = 5_000
"""Inputs folded into one transaction at the most; keeps transactions bounded."""
_STORE = "store"


@dataclass(frozen=True, slots=True)
class Swap:
    """A new tag map: what folds and renders from now on, and the sources it has; kept ones are the same objects.

    `replaced` are those that are not: what their next session shows was not seen coming.
    """

    engine: Engine
    render: Render
    sources: Mapping[str, Source]
    replaced: frozenset[str]


Request = Cut | Decision | Entered | Message | Swap | Outcome
"""What may be asked for. An outcome is committed as it is: what a receiver's or a person's word has settled."""
Probe = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    answer: asyncio.Future[Outcome]


def no_probe(_point: str) -> None:
    """The probe of a running agent: nothing. Tests pass one that kills the process at a named point."""


class Pipeline:
    """Folds everything that arrives, commits it, and only then lets the sources acknowledge it."""

    def __init__(
        self,
        engine: Engine,
        checkpoint: Checkpoint,
        unit_of_work: UnitOfWork,
        render: Render,
        *,
        clock: Clock,
        status: Status,
        counts: Counts,
        probe: Probe = no_probe,
        observe: Callable[[Sequence[Input]], None] = lambda _delivery: None,
    ) -> None:
        self._engine = engine
        self._checkpoint = checkpoint
        self._unit_of_work = unit_of_work
        self._render = render
        self._sources: Mapping[str, Source] = {}
        self._clock = clock
        self._status = status
        self._counts = counts
        self._probe = probe
        self._observe = observe
        self._arrived: asyncio.Queue[Sequence[Input] | _Asked] = asyncio.Queue(WAITING_DELIVERIES)
        self._to_acknowledge: dict[str, asyncio.Queue[Acknowledge]] = {}
        self._source_of_rule = engine.handshake_sources()
        self.state = State()

    async def start(self, sources: Mapping[str, Source]) -> None:
        """Load the state. Until a source's session is up again, its last link is past."""
        self._sources = sources
        self._to_acknowledge = {name: asyncio.Queue() for name in sources}
        self.state = await self._checkpoint.load()
        await self.commit(self._engine.inherit(self.state))
        await self._lose(self._sources)

    def orphans(self) -> list[str]:
        """Rules with quantities not yet sent that the present map does not know."""
        return self._engine.orphans(self.state)

    async def submit(self, inputs: Sequence[Input]) -> None:
        """Hand over what arrived; waits while too much is waiting already."""
        await self._arrived.put(inputs)

    async def ask(self, request: Request) -> Outcome:
        """Have a request folded and committed by itself; its error comes back to the asker."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        await self._arrived.put(_Asked(request, answer))
        return await answer

    async def run(self) -> None:
        """Fold and commit for ever."""
        while True:
            group, asked = await self._next_group()
            if group:
                await self._process_kept(group)
            if asked is not None:
                await self._answer(asked)

    async def pump(self, name: str) -> None:
        """Feed one source's deliveries in, for ever."""
        async for delivery in self._sources[name].deliveries():
            self._observe(delivery)
            await self.submit(delivery)

    async def tick(self) -> None:
        """Let the engine know that time passes, for ever."""
        while True:
            await self.submit((Tick(self._clock.now()),))
            await asyncio.sleep(TICK_SECONDS)

    async def acknowledge(self, name: str) -> None:
        """Write one source's acknowledgements, for ever; a slow device holds up no other.

        A failed write needs no retry here: the source delivers the block again, and the same number is acknowledged
        again.
        """
        source, waiting = self._sources[name], self._to_acknowledge[name]
        while True:
            acknowledgement = await waiting.get()
            self._probe("before-acknowledge")
            try:
                await source.acknowledge(acknowledgement)
            except SourceError:
                self._counts.add("acknowledge_failed", rule=acknowledgement.rule)
            else:
                self._probe("after-acknowledge")
                self._counts.add("acknowledged_to_source", rule=acknowledgement.rule)

    async def process(self, inputs: Sequence[Input]) -> Outcome:
        """Fold, commit, adopt, acknowledge: once, all or nothing."""
        outcome = self._engine.fold(self.state, inputs)
        self._probe("after-step")
        await self.commit(outcome)
        self.release(outcome)
        return outcome

    async def commit(self, outcome: Outcome) -> None:
        """Store the outcome, then adopt its state."""
        await self._unit_of_work.commit(outcome, self._render, self._clock.now().wall)
        self.state.adopt(outcome.changed)

    def release(self, outcome: Outcome) -> None:
        """What may only follow the commit: acknowledgements and counts."""
        for acknowledgement in outcome.acknowledgements:
            self._to_acknowledge[self._source_of_rule[acknowledgement.rule]].put_nowait(acknowledgement)
        for (rule, what), number in outcome.counts.items():
            self._counts.add("movements", number, rule=rule, outcome=what)

    async def _next_group(self) -> tuple[list[Input], _Asked | None]:
        """All that has arrived, up to the first request; a request is folded by itself."""
        group: list[Input] = []
        item = await self._arrived.get()
        while not isinstance(item, _Asked):
            group.extend(item)
            if self._arrived.empty() or len(group) >= GROUP_INPUTS:
                return group, None
            item = self._arrived.get_nowait()
        return group, item

    async def _process_kept(self, group: list[Input]) -> None:
        """Keep at it until the group is stored: a full or failing disk stops the line's inputs, it loses none."""
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=5),
            before_sleep=lambda retry: self._status.lost(_STORE, str(retry.outcome and retry.outcome.exception())),
        ):
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self.state = await self._checkpoint.load()
                try:
                    await self.process(group)
                except NaturalKeyTaken as taken:
                    group[:] = [_marked(item, taken) for item in group]
                    raise
        self._status.up(_STORE, "")

    async def _answer(self, asked: _Asked) -> None:
        try:
            outcome = await self._fulfil(asked.request)
        except EdgeAgentError as error:
            self.state = await self._checkpoint.load()
            if not asked.answer.cancelled():
                asked.answer.set_exception(error)
        else:
            if not asked.answer.cancelled():
                asked.answer.set_result(outcome)

    async def _fulfil(self, request: Request) -> Outcome:
        if isinstance(request, Swap):
            return await self._swap(request)
        if isinstance(request, Outcome):
            await self.commit(request)
            return request
        return await self.process((request,))

    async def _swap(self, request: Swap) -> Outcome:
        """Let a new map fold and render; what rules that it does not know still have is sent first."""
        if gone := request.engine.orphans(self.state):
            await self.process((Cut(self._clock.now(), frozenset(gone)),))
        outcome = request.engine.inherit(self.state)
        await self.commit(outcome)
        self._engine, self._render, self._sources = request.engine, request.render, request.sources
        self._source_of_rule = request.engine.handshake_sources()
        for name in request.sources:
            if name in request.replaced or name not in self._to_acknowledge:
                self._to_acknowledge[name] = asyncio.Queue()
        await self._lose(request.replaced)
        return outcome

    async def _lose(self, sources: Iterable[str]) -> None:
        """Until a session of these is up again, their last link is past."""
        now = self._clock.now()
        await self.process([SourceChange(name, Link.LOST, now) for name in sources if name in self.state.sources])


def _may_pass(error: BaseException) -> bool:
    """A store that is corrupt stays so; anything else of the store may heal (space freed, a retry)."""
    return isinstance(error, StoreError) and not isinstance(error, StoreCorrupt)


def _marked(item: Input, taken: NaturalKeyTaken) -> Input:
    """The block whose natural key the store already knows: never booked by itself, a person decides."""
    if not isinstance(item, Block) or item.rule != taken.rule:
        return item
    is_meant = not item.event or taken.key == f"{item.rule}/event/{item.event}"
    return replace(item, conflicting=True) if is_meant else item
