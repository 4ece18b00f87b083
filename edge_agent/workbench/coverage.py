"""Which ways a rule may go were gone by cases or a recording: the branches of its signal. Pure.

What may happen is told by the rule's settings, what did by what the outcomes carry: counts, flags, causes. A store's
restore is left out: no recording has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from edge_agent.config.signals import Counter, Handshake, Resets
from edge_agent.config.tagmap import OnSpan, Rule, Split, TagMap, Unproven
from edge_agent.derivation.lot_status import CAUSES
from edge_agent.model.movement import Cause, EventType, Flag
from edge_agent.workbench.deriving import Derived

Coverage = Mapping[str, Mapping[str, bool]]
"""By movement: each branch, and whether it was gone."""

BASELINE, BOOKED, NO_READING, AGAIN = "baseline", "booked", "no reading", "same number again"
_FLAGS = {
    Flag.WRAPPED: "wrapped",
    Flag.GLITCH: "glitch",
    Flag.SPANNED_OUTAGE: "spanned an outage",
    Flag.SKIPPED_READINGS: "skipped readings",
    Flag.UNPROVEN: "unproven, booked",
    Flag.STRADDLED_ORDER: "straddled an order",
    Flag.SPANS_POSTING_DAY: "spans a posting day",
}
_COUNTS = {"not_a_reading": NO_READING, "not_a_block": NO_READING, "repeated": AGAIN}


def covered(tag_map: TagMap, found: Iterable[Derived]) -> dict[str, dict[str, bool]]:
    """Each movement's branches; one that was gone although the settings do not tell of it is listed too."""
    gone: dict[str, set[str]] = {name: set() for name in tag_map.rules}
    for derived in found:
        for name in tag_map.rules:
            gone[name].update(_gone(name, derived))
    return {
        name: {branch: branch in gone[name] for branch in dict.fromkeys((*_possible(rule), *sorted(gone[name])))}
        for name, rule in tag_map.rules.items()
    }


def percent(coverage: Coverage) -> float:
    """How much of all branches was gone; of none, all."""
    branches = [gone for movement in coverage.values() for gone in movement.values()]
    return 100 * sum(branches) / len(branches) if branches else 100.0


def _gone(rule: str, derived: Derived) -> Iterator[str]:
    if rule in derived.baselines:
        yield BASELINE
    for (name, what), branch in ((key, _COUNTS.get(key[1])) for key in derived.counts):
        if name == rule and what == "booked":
            yield BOOKED
        if name == rule and branch is not None:
            yield branch
    yield from (_FLAGS[flag] for flag in derived.flags_of(rule) if flag in _FLAGS)
    yield from (_review(review.cause) for review in derived.reviews if review.key.rule == rule)
    yield from (_gap(gap.cause) for gap in derived.gaps if gap.key.rule == rule)
    yield from (_exception(one.cause) for one in derived.notices if one.key.rule == rule)


def _review(cause: Cause) -> str:
    return f"review: {cause}"


def _gap(cause: Cause) -> str:
    return f"gap: {cause}"


def _exception(cause: Cause) -> str:
    return f"exception: {cause}"


def _possible(rule: Rule) -> Iterator[str]:
    yield BASELINE
    yield BOOKED
    yield NO_READING
    match rule.signal:
        case Counter():
            yield from _of_counter(rule, rule.signal)
            yield from _of_context(rule)
        case Handshake():
            yield from (AGAIN, *map(_gap, (Cause.SKIPPED_NUMBERS, Cause.NUMBER_FELL, Cause.IN_DOUBT)))
            yield from map(_review, (Cause.FAILED_CHECK, Cause.CONFLICT, Cause.NUMBER_FELL))
            if rule.signal.order is not None:
                yield _review(Cause.ORDER_UNKNOWN)
    if rule.order is not None:
        yield _review(Cause.ORDER_UNKNOWN)
    policy = rule.material.lot_status
    if policy is not None and rule.event is EventType.CONSUMED:
        yield from map(_review if policy.hold else _exception, sorted(CAUSES))


def _of_counter(rule: Rule, counter: Counter) -> Iterator[str]:
    wraps, bounded = counter.modulus is not None, counter.max_rate is not None
    restarts = Resets.RESTART in counter.resets
    resets = restarts or counter.epoch_tag is not None
    yield from (_FLAGS[flag] for flag in (Flag.GLITCH, Flag.SPANNED_OUTAGE, Flag.SKIPPED_READINGS))
    yield _review(Cause.FELL)
    if wraps:
        yield _FLAGS[Flag.WRAPPED]
    if bounded:
        yield _review(Cause.ROSE_TOO_FAST)
    if wraps and bounded:
        yield _review(Cause.SEVERAL_WRAPS)
    if resets:
        yield from (_gap(Cause.RESET), _review(Cause.RESET_OR_GLITCH))
    if resets and wraps:
        yield _review(Cause.RESET_OR_WRAP)
    if restarts:
        yield _FLAGS[Flag.UNPROVEN] if rule.unproven is Unproven.BOOK else _review(Cause.UNPROVEN)
    if counter.review_over is not None:
        yield _review(Cause.REVIEW_OVER)


def _of_context(rule: Rule) -> Iterator[str]:
    if rule.order is not None:
        if rule.split is not Split.REVIEW:
            yield _FLAGS[Flag.STRADDLED_ORDER]
        if rule.split in (None, Split.REVIEW):
            yield _review(Cause.STRADDLED_ORDER)
    yield _FLAGS[Flag.SPANS_POSTING_DAY] if rule.on_span is OnSpan.END else _review(Cause.STRADDLED_DAY)
