"""The fold: (state, inputs) → what must be committed together. Pure; decides everything, does nothing.

There is one total order of inputs, the order of ingest. What this module decides can be replayed from a recording byte
for byte.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from edge_agent.config.conditions import Condition
from edge_agent.config.signals import Confirmation, Counter, Flow, Handshake, Level, Resets
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.derivation import cadence, confirming, counter_terms, lots_told, messages, transport
from edge_agent.derivation.booking import Books
from edge_agent.derivation.confirming import HandshakeRule
from edge_agent.derivation.context import context_tags, leaves_out, parts_of, with_value
from edge_agent.derivation.counting import CounterRule
from edge_agent.derivation.enrich import event_time
from edge_agent.derivation.entering import enter
from edge_agent.derivation.flowing import FlowRule
from edge_agent.derivation.gating import Gates
from edge_agent.derivation.inherit import inherit
from edge_agent.derivation.late import Change, turned_late
from edge_agent.derivation.levelling import LevelRule
from edge_agent.derivation.lost_store import note_restore
from edge_agent.derivation.meter import Meter, Pausable
from edge_agent.derivation.steady import Steady, run_on
from edge_agent.model.confirmation import Block, Released
from edge_agent.model.event import Entered
from edge_agent.model.message import ConfirmationMessage, ContextMessage, LotMessage
from edge_agent.model.movement import Decision
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Cut, Instant, Link, Quality, Reading, SourceChange, TagRef, Tick
from edge_agent.model.state import SourceState, State, TagState

Message = ContextMessage | ConfirmationMessage | LotMessage
"""What MES, SCADA or LIMS say."""
Input = Reading | SourceChange | Block | Released | Tick | Cut | Decision | Entered | Message
"""Everything that can move the engine; each carries its own instant."""
_DELIVERED = (Reading, Block)


class Engine:
    """The rules of one tag map, ready to fold inputs. Holds no state of its own."""

    def __init__(self, tag_map: TagMap) -> None:
        self._map = tag_map
        rules = tag_map.rules.values()
        self._meters = {rule.name: meter for rule in rules if (meter := _meter(rule)) is not None}
        self._handshakes = {
            rule.name: HandshakeRule(rule, rule.signal) for rule in rules if isinstance(rule.signal, Handshake)
        }
        self._confirmed = {rule.name: rule for rule in rules if isinstance(rule.signal, Confirmation)}
        self._arrivals = [rule for rule in rules if rule.arrival is not None]
        self._by_tag: dict[TagRef, list[tuple[Meter, Steady | None]]] = defaultdict(list)
        self._by_epoch_tag: dict[TagRef, list[Meter]] = defaultdict(list)
        self._by_order: dict[TagRef, list[Meter]] = defaultdict(list)
        for one in self._meters.values():
            for tag in one.tags:
                self._by_tag[tag].append((one, Steady.of(one.rule, tag_map)))
            if one.epoch_tag is not None:
                self._by_epoch_tag[one.epoch_tag].append(one)
            if one.rule.order is not None and isinstance(one.rule.signal, Counter):
                self._by_order[one.rule.order].append(one)
        self._by_source: dict[str, list[Rule]] = defaultdict(list)
        signals: list[Meter | HandshakeRule] = [*self._meters.values(), *self._handshakes.values()]
        for signal in signals:
            self._by_source[signal.source].append(signal.rule)
        self._by_cadence: dict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            self._by_cadence[rule.cadence.name].append(rule)
        self._context_tags = frozenset(tag for rule in rules for tag in context_tags(rule))
        self._gates = Gates(tag_map)
        stable = (rule.signal.stable for rule in rules if isinstance(rule.signal, Level))
        latches = (rule.signal.at_change for rule in rules if isinstance(rule.signal, Counter))
        self._first = frozenset(
            {
                *(*self._context_tags, *self._by_epoch_tag, *self._gates.tags),
                *(tag for tag in stable if tag is not None),
                *(tag for one in latches if one is not None for tag in (one.count, one.changes)),
            }
        )
        flows = (one for one in self._meters.values() if isinstance(one, FlowRule))
        self._flow_tags = frozenset(tag for one in flows for tag in one.tags)

    def handshake_sources(self) -> dict[str, str]:
        """The source that each handshake rule's acknowledgements go to."""
        return {name: one.source for name, one in self._handshakes.items()}

    def inherit(self, state: State) -> Outcome:
        """What this map's renamed rules take over; to be committed before anything is folded."""
        return inherit(self._map, state)

    def orphans(self, state: State) -> list[str]:
        """Rules that have quantities not yet sent, and that this map does not know."""
        heirs = {rule.was for rule in self._map.rules.values()}
        return sorted(
            name for name, rule in state.rules.items() if rule.pending and name not in self._map.rules.keys() | heirs
        )

    def fold(self, state: State, inputs: Iterable[Input]) -> Outcome:
        """Fold `inputs`, in their order, into what one transaction must hold; `state` itself is not changed."""
        work = Books(self._map, state)
        for item in self._context_first(inputs):
            self._step(work, item)
        work.close()
        work.outcome.changed = work.state.own()
        return work.outcome

    def _context_first(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """The inputs as they came; within a delivery context, conditions and signs come first, flows by source time.

        What was stamped alike (all of it after a restart) has no order of its own; an order's time is its own anyway.
        """
        for received, together in groupby(inputs, key=_delivered):
            delivery = list(together)
            if received is not None:
                if not self._first.isdisjoint([one.tag for one in delivery if isinstance(one, Reading)]):
                    delivery.sort(key=self._is_no_context)
                if self._flow_tags:
                    self._sort_flows(delivery)
            yield from delivery

    def _is_no_context(self, item: Input) -> bool:
        return not (isinstance(item, Reading) and item.tag in self._first)

    def _sort_flows(self, delivery: list[Input]) -> None:
        """Put the readings of flows in the order of their source time, in the places that they have."""
        queued = [(n, one) for n, one in enumerate(delivery) if isinstance(one, Reading) and one.tag in self._flow_tags]
        in_time = sorted((one for _, one in queued), key=_source_time)
        for (place, _), reading in zip(queued, in_time, strict=True):
            delivery[place] = reading

    def _step(self, work: Books, item: Input) -> None:
        match item:
            case Reading():
                self._reading(work, item)
            case Tick():
                self._tick(work, item.received)
            case Block():
                _received(work, self._handshakes[item.rule].spec.trigger.source, item.received)
                confirming.confirm(work, self._handshakes[item.rule], item)
            case Released():
                confirming.release(work, self._handshakes[item.rule], item)
            case SourceChange():
                self._source(work, item)
            case Cut():
                self._cut(work, item)
            case Decision():
                work.decide(item, self._map.rules)
            case Entered():
                enter(work, item)
            case ConfirmationMessage() | ContextMessage() | LotMessage():
                self._hear(work, item)

    def _hear(self, work: Books, said: Message) -> None:
        match said:
            case ConfirmationMessage():
                if said.rule in self._confirmed:  # else the map was swapped meanwhile: not answered
                    messages.confirm(work, self._confirmed[said.rule], said)
            case ContextMessage():
                self._told(work, said)
            case LotMessage():
                lots_told.tell(work, said)

    def _cut(self, work: Books, request: Cut) -> None:
        for rules in self._by_cadence.values():
            chosen = [rule for rule in rules if request.rules is None or rule.name in request.rules]
            if chosen:
                cadence.cut(work, chosen, request.received.wall, final=request.rules is not None)

    def _reading(self, work: Books, reading: Reading) -> None:
        source = _received(work, reading.tag.source, reading.received)
        time, refused = event_time(reading, source, self._map.max_skew)
        self._take(work, reading, time, refused=refused)

    def _told(self, work: Books, said: ContextMessage) -> None:
        """Values that hold since the time that is said, by MES's word and not by a device's clock.

        What comes after something newer was said in its place is refused: it is not what holds now.
        """
        for name in said.values:
            history = work.state.contexts.get(TagRef(said.source, name))
            if history is not None and history.history[-1][1] > said.time:
                since = history.history[-1][1].isoformat()
                work.outcome.refused = f"{name}: something newer was said, which holds since {since}"
                return
        known = _received(work, said.source, said.received)
        work.state.sources[said.source] = replace(known, told=True)
        for name, value in said.values.items():
            reading = Reading(TagRef(said.source, name), value, Quality.GOOD, said.received, source_time=said.time)
            self._take(work, reading, said.time, refused=False)
        work.outcome.nonces.append(said.nonce)

    def _take(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        """What a reading that arose at `time` says to whoever looks at its tag."""
        if reading.tag in self._first:
            self._context(work, reading, time)
        for one, steady in self._by_tag.get(reading.tag, ()):
            if refused or steady is None or not self._runs_on(work, steady, reading, time):
                one.read(work, reading, time, refused=refused)

    def _context(self, work: Books, reading: Reading, time: datetime) -> None:
        """A tag of an order or lot, of a condition, of an epoch."""
        if reading.tag in self._context_tags:
            before = work.state.contexts.get(reading.tag)
            changed = with_value(before, reading, time)
            if changed is not None:
                work.state.contexts[reading.tag] = changed
                work.context += 1
                for one in self._by_order[reading.tag] if before is not None else ():
                    one.sign(work, Resets.ORDER, changed.history[-1][1])
                if len(changed.history) > 1 and reading.received.wall - time > self._map.max_skew:
                    self._late(work, reading.tag, changed.history[-1])
        if reading.tag in self._gates.tags:
            self._turned(work, self._gates.read(work, reading, time), reading.received)
        if reading.tag in self._by_epoch_tag and reading.quality is Quality.GOOD:
            known = work.state.tags.get(reading.tag)
            if known is None or known.value != reading.value:
                work.state.tags[reading.tag] = TagState(reading.value, reading.quality)
            if known is not None and known.value != reading.value:
                for one in self._by_epoch_tag[reading.tag]:
                    one.sign(work, counter_terms.EPOCH_TAG, time)

    def _late(self, work: Books, tag: TagRef, change: tuple[str | None, datetime]) -> None:
        """What a tag says has been so since a time long past."""
        for rule in self._map.rules.values():
            for part, told_by in parts_of(rule):
                if told_by == tag:
                    turned_late(work, rule, Change(part, *change))

    def _turned(self, work: Books, conditions: list[Condition], now: Instant) -> None:
        """Conditions have become true, false or unknown: meters that see to their pauses by themselves are told."""
        work.context += bool(conditions)
        for condition in conditions:
            truths = work.state.conditions[condition.text].history
            if len(truths) > 1 and now.wall - truths[-1][1] > self._map.max_skew:
                for rule in self._map.rules.values():
                    self._late_condition(work, rule, condition, truths[-1])
            before = truths[-2][0] if len(truths) > 1 else False
            for one in self._meters.values():
                pause = one.rule.pause
                if pause is None or pause.when.text != condition.text or not isinstance(one, Pausable):
                    continue
                if truths[-1][0] is False:
                    one.resume(work, now, rebase=pause.rebase)
                elif before is False:
                    one.pause(work, now)

    def _late_condition(
        self, work: Books, rule: Rule, condition: Condition, turn: tuple[bool | None, datetime]
    ) -> None:
        """A condition that turned in the past: what was booked since may have to be left out."""
        truth, since = turn
        if rule.only_while is not None and rule.only_while.text == condition.text:
            turned_late(work, rule, Change("runs", truth, since))
        if leaves_out(rule) and rule.pause is not None and rule.pause.when.text == condition.text:
            turned_late(work, rule, Change("runs", None if truth is None else not truth, since))

    _runs_on = staticmethod(run_on)
    """The short cut; a test goes the whole way instead."""

    def _tick(self, work: Books, now: Instant) -> None:
        self._turned(work, self._gates.catch_up(work, now.wall), now)
        for name in work.held():
            if name in self._meters:
                self._meters[name].settle(work, now)
        note_restore(work, now)
        for rule in self._confirmed.values():
            state = work.rule(rule.name).signal
            if state is not None and state.restored:
                messages.settle(work, rule, now)
        transport.say_late(work, self._arrivals, now.wall)
        for rules in self._by_cadence.values():
            cadence.cut_if_due(work, rules, now.wall)

    def _source(self, work: Books, change: SourceChange) -> None:
        """A session began or ended. What is seen next spans an outage; a changed StartTime is a sign of a reset."""
        for rule in self._by_source[change.source]:
            work.doubt_restored(rule)
        known = work.state.sources.get(change.source)
        if known is None:
            work.state.sources[change.source] = SourceState(change.link, change.start_time)
            return
        if change.link is Link.LOST:
            work.state.sources[change.source] = replace(known, link=Link.LOST)
            self._turned(work, self._gates.lost(work, change.source, change.received.wall), change.received)
            return
        started = change.start_time or known.start_time
        work.state.sources[change.source] = replace(known, link=Link.UP, start_time=started)
        sign = None
        if change.start_time is None or known.start_time is None:
            sign = counter_terms.SESSION
        elif change.start_time != known.start_time:
            sign = counter_terms.RESTART
        for one in self._meters.values():
            if one.source == change.source:
                one.returned(work)
                if sign is not None:
                    one.sign(work, sign, change.received.wall)
        for other in self._handshakes.values():
            if sign is not None and other.source == change.source:
                confirming.restarted(work, other)


def _meter(rule: Rule) -> Meter | None:
    """What reads the rule's signal; None for confirmations, which are not measured."""
    match rule.signal:
        case Counter():
            return CounterRule(rule, rule.signal)
        case Level():
            return LevelRule(rule, rule.signal)
        case Flow():
            return FlowRule(rule, rule.signal)
        case _:
            return None


def _delivered(item: Input) -> Instant | None:
    """The delivery that an item came with; None for what comes by itself."""
    return item.received if isinstance(item, _DELIVERED) else None


def _source_time(reading: Reading) -> datetime:
    return reading.source_time or reading.received.wall


def _received(work: Books, name: str, received: Instant) -> SourceState:
    """The source with this delivery's instant noted."""
    known = work.state.sources.get(name)
    if known is not None and known.received is received:
        return known
    known = known or SourceState(Link.UP, None)
    if known.received != received:
        known = replace(known, received=received, before=known.received)
        work.state.sources[name] = known
    return known
