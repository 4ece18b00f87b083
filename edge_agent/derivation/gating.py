"""Conditions of rules: evaluated when one of their tags changed, remembered as histories (derivation.md, Context)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from edge_agent.config.conditions import Condition, is_state
from edge_agent.config.devices import Tag
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import with_change
from edge_agent.model.reading import Quality, Reading, Scalar, TagRef
from edge_agent.model.state import ConditionState, TagState

NO_STATE = "no_packml_state"
"""Counted for a rule each time a tag that its condition compares with a PackML state comes to show none."""


class Gates:
    """The conditions of a tag map's rules, each once; holds no state of its own."""

    def __init__(self, tag_map: TagMap) -> None:
        self._tags: dict[TagRef, Tag] = {}
        self._by_tag: dict[TagRef, list[Condition]] = defaultdict(list)
        self._rules: dict[str, list[str]] = defaultdict(list)
        self._conditions: dict[str, Condition] = {}
        for rule in tag_map.rules.values():
            for one in conditions_of(rule):
                self._rules[one.text].append(rule.name)
                self._conditions[one.text] = one
        for condition in self._conditions.values():
            for ref in condition.tags:
                self._tags[ref] = tag_map.tags[ref]
                self._by_tag[ref].append(condition)
        self.tags = frozenset(self._by_tag)

    def read(self, work: Books, reading: Reading, time: datetime) -> list[Condition]:
        """One reading of a condition's tag, at event time `time`; answers the conditions whose truth changed."""
        tag, found = self._tags[reading.tag], reading.value
        if reading.quality is not Quality.GOOD:
            found = None
        if isinstance(found, int | Decimal) and not isinstance(found, bool) and not tag.in_range(found):
            found = None
        since = min(reading.source_time or time, time)
        return self._changed(work, reading.tag, TagState(found, reading.quality), time, since)

    def lost(self, work: Books, source: str, time: datetime) -> list[Condition]:
        """The source is out of sight: what its tags hold is not known."""
        changed: list[Condition] = []
        for tag in self._by_tag:
            if tag.source == source and tag in work.state.operands:
                changed += self._changed(work, tag, TagState(None, Quality.BAD), time, time)
        return changed

    def catch_up(self, work: Books, time: datetime) -> list[Condition]:
        """Conditions that a new tag map has brought, over tags that are known already, begin now."""
        known = work.state.conditions
        missing = [one for one in self._conditions.values() if one.text not in known]
        fresh = [one for one in missing if all(ref in work.state.operands for ref in one.tags)]
        return [one for one in fresh if self._told(work, one, time, time)]

    def _changed(self, work: Books, ref: TagRef, after: TagState, time: datetime, since: datetime) -> list[Condition]:
        known = work.state.operands.get(ref)
        if known is not None and known == after and type(known.value) is type(after.value):
            return []
        work.state.operands[ref] = after
        self._count_odd(work, ref)
        return [one for one in self._by_tag[ref] if self._told(work, one, time, since if len(one.tags) == 1 else time)]

    def _count_odd(self, work: Books, ref: TagRef) -> None:
        """A state that PackML does not have, misspelt say, is none of those that are asked for; but not in silence."""
        asking = [one for one in self._by_tag[ref] if ref in one.states]
        if asking and not is_state(self._value(work, ref)):
            for rule in dict.fromkeys(name for one in asking for name in self._rules[one.text]):
                work.count(rule, NO_STATE)

    def _told(self, work: Books, condition: Condition, time: datetime, since: datetime) -> bool:
        """Evaluate, and remember a truth that is new. The first one counts from when the device says it was written."""
        truth = condition.holds({ref: self._value(work, ref) for ref in condition.tags})
        known = work.state.conditions.get(condition.text)
        history = ((truth, since),) if known is None else with_change(known.history, truth, time)
        if history is not None:
            work.state.conditions[condition.text] = ConditionState(history)
        return history is not None

    def _value(self, work: Books, ref: TagRef) -> Scalar | None:
        """The tag's value as its `range` bounds it."""
        known = work.state.operands.get(ref)
        found = None if known is None else known.value
        if isinstance(found, bool) or not isinstance(found, int | Decimal):
            return found
        scale = self._tags[ref].scale
        return found if scale == 1 else found * scale


def conditions_of(rule: Rule) -> Iterable[Condition]:
    """The conditions that a rule names."""
    if rule.only_while is not None:
        yield rule.only_while
    if rule.pause is not None:
        yield rule.pause.when
