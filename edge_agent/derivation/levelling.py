"""Level rules at work: readings in, and out what `level` finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.signals import Level
from edge_agent.config.tagmap import Rule
from edge_agent.derivation import level
from edge_agent.derivation.booking import Books
from edge_agent.derivation.boundaries import boundaries
from edge_agent.derivation.context import is_paused, waits_for
from edge_agent.derivation.counter_terms import EPOCH_TAG
from edge_agent.derivation.findings import Delta
from edge_agent.derivation.lost_store import say_not_known
from edge_agent.derivation.posting import post
from edge_agent.model.measured import LevelState
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.outcome import EpochMark
from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, TagRef
from edge_agent.model.state import TagState


@dataclass(frozen=True, slots=True)
class LevelRule:
    """A rule whose signal is a level or weight: the `Meter` of levels."""

    rule: Rule
    spec: Level

    @property
    def source(self) -> str:
        """The source its signal comes from."""
        return self.spec.tag.source

    @property
    def tags(self) -> Sequence[TagRef]:
        """The level's tag, its stable flag and its printed text, where they are named."""
        named = (self.spec.tag, self.spec.stable, self.spec.printed)
        return tuple(dict.fromkeys(tag for tag in named if tag is not None))

    @property
    def epoch_tag(self) -> TagRef | None:
        """The tag whose change is a step of the tare."""
        return self.spec.tare

    def state(self, work: Books) -> LevelState | None:
        """What the level remembers; None before its first reading."""
        signal = work.rule(self.rule.name).signal
        return signal if isinstance(signal, LevelState) else None

    def read(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        """One reading of one of its tags, at event time `time` (`refused`: the device's own was not believed)."""
        flags = (Flag.SOURCE_TIME_REFUSED,) if refused else ()
        if reading.tag == self.spec.tag:
            self._level(work, reading, time, flags)
            return
        if reading.quality is not Quality.GOOD or reading.value is None:
            if reading.tag == self.spec.stable:
                _remember(work, reading.tag, None)  # nobody knows whether it is
            return
        _remember(work, reading.tag, reading.value)
        if reading.tag != self.spec.stable:
            return
        last = work.state.tags.get(self.spec.tag)
        if reading.value is True and last is not None and last.value is not None:
            self._level(work, replace(reading, tag=self.spec.tag, value=last.value), time, flags)

    def settle(self, work: Books, now: Instant) -> None:
        """Time has passed: the last reading stands, if the source is there to contradict it."""
        state = self.state(work)
        if state is None or work.state.sources[self.source].link is not Link.UP:
            return
        moments = boundaries(work, self.rule, state.mark_time, level.clock(state, now))
        self._take(work, state, level.settle(self.spec, state, now, moments), now)

    def sign(self, work: Books, what: str, time: datetime) -> None:  # noqa: ARG002 - as every `Meter`
        """The scale was tared; whatever else resets counters does nothing to a level."""
        state = self.state(work)
        if state is not None and what == EPOCH_TAG:
            self._keep(work, level.rebased(state, state.window.advanced, Cause.TARE))

    def returned(self, work: Books) -> None:
        """The source is back: what is seen next spans an outage."""
        state = self.state(work)
        if self.spec.stable is not None:
            _remember(work, self.spec.tag, None)  # a flag that is stable now says nothing of a weight of before
            _remember(work, self.spec.stable, None)  # it may be in motion now
        if state is not None:
            self._keep(work, level.returned(state))

    def pause(self, work: Books, now: Instant) -> None:
        """From now on readings are no evidence of use."""
        state = self.state(work)
        if state is not None:
            moments = boundaries(work, self.rule, state.mark_time, level.clock(state, now))
            self._take(work, state, level.paused(self.spec, state, now, moments), now)

    def resume(self, work: Books, now: Instant, *, rebase: bool) -> None:
        """Readings are evidence again: of a new baseline, or of the difference."""
        state = self.state(work)
        if state is not None:
            self._keep(work, level.resumed(state, now, rebase=rebase))

    def _level(self, work: Books, reading: Reading, time: datetime, flags: tuple[Flag, ...]) -> None:
        name, state, at = self.rule.name, self.state(work), reading.received
        raw, why = self._raw(work, reading)
        if self.spec.stable is not None:
            _remember(work, self.spec.tag, raw)
        if raw is not None and self.spec.stable is not None:
            stable = work.state.tags.get(self.spec.stable)
            if stable is None or stable.value is not True:
                raw, why = None, "unstable"
        waiting = None if raw is None else waits_for(self.rule, work.state, time)
        if waiting is not None:
            raw, why = None, waiting
        if raw is None:
            work.count(name, why)
        if state is None:
            if raw is not None:
                work.count(name, "baseline")
                say_not_known(work, self.rule, at, time)
                begun = level.begin(self.spec, level.Seen(raw, at, time))
                self._keep(work, replace(begun, epoch=work.next_epoch(name)))
                if is_paused(self.rule, work.state):
                    self.pause(work, at)
            return
        moments = boundaries(work, self.rule, state.mark_time, time)
        if raw is None:
            skipped = (Flag.SKIPPED_READINGS,) if why in {"not_a_reading", "order_unknown"} else ()
            decided = level.out_of_sight(self.spec, state, time, moments, clips=why == "clipped", flags=skipped)
        else:
            decided = level.observe(self.spec, state, level.Seen(raw, at, time), moments)
        self._take(work, state, decided, at, statuses=(reading.status,), flags=flags)

    def _raw(self, work: Books, reading: Reading) -> tuple[Decimal | None, str]:
        """The raw reading; None and why where it is none."""
        value, spec = reading.value, self.spec
        if reading.quality is not Quality.GOOD or isinstance(value, bool | str) or value is None:
            return None, "not_a_reading"
        raw = Decimal(value)
        if not raw.is_finite():
            return None, "not_a_reading"
        below, above = spec.blind_below, spec.blind_above
        if (below is not None and raw <= below) or (above is not None and raw >= above):
            return None, "clipped"
        if not work.map.tags[spec.tag].in_range(raw):
            return None, "not_a_reading"
        return (raw, "") if spec.covers(raw) else (None, "clipped")

    def _take(
        self,
        work: Books,
        before: LevelState,
        decided: level.Decided,
        now: Instant,
        *,
        statuses: tuple[int, ...] = (),
        flags: tuple[Flag, ...] = (),
    ) -> None:
        """Remember what was decided, and post what was found, with the text that the scale has printed."""
        after, found = decided
        if after is before:
            return
        self._keep(work, after)
        if after.epoch != before.epoch:
            ends = [one.to_position for one in found if isinstance(one, Delta) and one.epoch == before.epoch]
            last = max((before.position, *ends))
            mark = EpochMark(self.rule.name, before.epoch, before.first_raw, last, 0, 0)
            work.outcome.epochs[self.rule.name, before.epoch] = mark
        printed = work.state.tags.get(self.spec.printed) if self.spec.printed is not None else None
        if printed is not None:
            found = tuple(
                replace(one, raw_after=f'{one.raw_after} "{printed.value}"') if isinstance(one, Delta) else one
                for one in found
            )
        brief = 2 * self.spec.sampling
        post(work, self.rule, found, now, brief=brief, statuses=statuses, flags=flags)

    def _keep(self, work: Books, after: LevelState) -> None:
        """Remember the level's state, and the proof of its epoch from levels alone."""
        name = self.rule.name
        work.put(name, replace(work.rule(name), signal=after))
        mark = EpochMark(name, after.epoch, after.first_raw, after.position, 0, 0)
        work.outcome.epochs[name, after.epoch] = mark


def _remember(work: Books, tag: TagRef, value: Scalar | None) -> None:
    known = work.state.tags.get(tag)
    if known is None or known.value != value:
        work.state.tags[tag] = TagState(value, Quality.GOOD)
