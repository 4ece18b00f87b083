"""PLC, wire and agent stopped at any instant: every movement is booked once, or a person is asked; never twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from edge_agent.config.signals import Handshake, Kind
from edge_agent.derivation import confirmed_ring, confirming
from edge_agent.derivation.booking import Books
from edge_agent.derivation.confirmed import Finding, Skipped, Verdict
from edge_agent.derivation.confirming import HandshakeRule
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.signal_state import HandshakeState, Phase
from edge_agent.sources.handshake import Read, UnnumberedWatch, Watch
from tests.derivation.handshake_world import KEEPS, Agent, World, numbered

WALKS = 40
STEPS = 250
MOST_WALKS = 400
"""Within so many a planted bug must show."""
KINDS = pytest.mark.parametrize("kind", [Kind.TRANSACTION_COUNTER, Kind.BITS, Kind.RING])


def never(kind: Kind, *, named: bool, numbered: bool) -> frozenset[str]:
    """What nobody could see in what the PLC shows: such a PLC has to be programmed otherwise (docs/plc)."""
    if not named:
        return KEEPS - {"forget", "clear"} if kind is Kind.TRANSACTION_COUNTER else KEEPS
    return frozenset() if numbered or kind is not Kind.BITS else frozenset({"forget"})


def walk(kind: Kind, seed: int, *, without: frozenset[str] = frozenset(), number: bool = False, **world: Any) -> World:
    made = World(kind, seed, rule=numbered(kind) if number else None, **world)
    without |= never(kind, named=made.named, numbered=number)
    try:
        made.walk(STEPS, without)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}\n{' '.join(made.trace[-60:])}") from error
    return made


@KINDS
@pytest.mark.parametrize("tells", [True, False], ids=["told of restarts", "not told"])
@pytest.mark.parametrize("named", [True, False], ids=["containers", "quantities only"])
def test_every_movement_is_booked_once_or_a_person_is_asked(kind: Kind, tells: bool, named: bool) -> None:
    walks = [walk(kind, seed, tells=tells, named=named) for seed in range(WALKS)]
    _most_are_booked(walks)


@pytest.mark.parametrize("kind", [Kind.BITS, Kind.RING])
def test_blocks_with_a_number_tell_what_a_plc_forgot(kind: Kind) -> None:
    walks = [walk(kind, seed, number=True) for seed in range(WALKS)]
    _most_are_booked(walks)
    assert not any(one.agent.journal.reviews for one in walks)
    assert any(one.plc.forgotten for one in walks)


def _most_are_booked(walks: Sequence[World]) -> None:
    booked = sum(len(one.agent.journal.natural_keys) for one in walks)
    kept = sum(len(one.plc.moved) - len(one.plc.forgotten) for one in walks)
    assert booked > kept / 2, f"{booked} were booked, and {kept} were not forgotten"


@pytest.mark.parametrize(
    ("kind", "world"),
    [
        (Kind.TRANSACTION_COUNTER, {}),
        (Kind.TRANSACTION_COUNTER, {"named": False}),
        (Kind.BITS, {}),
        (Kind.RING, {"number": True}),
    ],
    ids=["counter", "counter of quantities only", "bits", "ring with numbers"],
)
@pytest.mark.parametrize("tells", [True, False], ids=["told of restarts", "not told"])
def test_a_plc_that_forgets_nothing_makes_no_gap(kind: Kind, world: dict[str, Any], tells: bool) -> None:
    for seed in range(WALKS // 2):
        made = walk(kind, seed, without=KEEPS, tells=tells, **world)
        assert [gap.message for gap in made.agent.journal.gaps if gap.maximum is None] == []
        assert made.agent.journal.reviews == {}


def acknowledges_before_the_commit(_patch: pytest.MonkeyPatch) -> None:
    """Planted in the world, which has the commit in its hands."""


def forgets_the_phase(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, lambda signal: replace(signal, phase=signal.phase and Phase.IDLE, latest=signal.latest))


def forgets_the_contents(patch: pytest.MonkeyPatch) -> None:
    _forget(patch, lambda signal: replace(signal, content="", recent=()))


def _forget(patch: pytest.MonkeyPatch, change: Callable[[HandshakeState], HandshakeState]) -> None:
    """What a new process has lost of the state."""

    def start(agent: Agent) -> None:
        right(agent)
        for name, rule in agent.state.rules.items():
            if isinstance(rule.signal, HandshakeState):
                agent.state.rules[name] = replace(rule, signal=change(rule.signal))

    right = Agent.start
    patch.setattr(Agent, "start", start)


def acknowledges_whatever_stands(patch: pytest.MonkeyPatch) -> None:
    async def asks(_watch: Watch, _ack: Acknowledge, _read: Read) -> bool:
        return True

    patch.setattr(UnnumberedWatch, "asks", asks)
    patch.setattr(Watch, "asks", asks)


def hears_of_no_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(confirming, "restarted", lambda work, one: None)


def takes_what_stands_at_the_tail_for_new(patch: pytest.MonkeyPatch) -> None:
    def again(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
        begun = replace(state, epoch=state.epoch + 1, first_number=state.latest - 1, latest=state.latest - 1)
        return confirmed_ring._entry(handshake, replace(begun, recent=(), restarted=False), block, content)

    patch.setattr(confirmed_ring, "_latest_again", again)


def states_no_gap(patch: pytest.MonkeyPatch) -> None:
    def found(work: Books, one: HandshakeRule, block: Block, what: Finding, **about: Any) -> str | None:
        return None if isinstance(what, Skipped) else right(work, one, block, what, **about)

    right = confirming._finding
    patch.setattr(confirming, "_finding", found)


BUGS = [
    (Kind.TRANSACTION_COUNTER, acknowledges_before_the_commit),
    (Kind.TRANSACTION_COUNTER, forgets_the_contents),
    (Kind.TRANSACTION_COUNTER, acknowledges_whatever_stands),
    (Kind.TRANSACTION_COUNTER, states_no_gap),
    (Kind.BITS, acknowledges_before_the_commit),
    (Kind.BITS, forgets_the_phase),
    (Kind.BITS, forgets_the_contents),
    (Kind.BITS, acknowledges_whatever_stands),
    (Kind.BITS, hears_of_no_restart),
    (Kind.RING, states_no_gap),
    (Kind.RING, acknowledges_before_the_commit),
    (Kind.RING, forgets_the_contents),
    (Kind.RING, acknowledges_whatever_stands),
    (Kind.RING, takes_what_stands_at_the_tail_for_new),
]


@pytest.mark.parametrize(("kind", "bug"), BUGS, ids=lambda value: getattr(value, "__name__", value))
def test_the_walk_catches(
    kind: Kind, bug: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    planted = "acknowledges before the commit" if bug is acknowledges_before_the_commit else ""

    def walks() -> None:
        for seed in range(MOST_WALKS):
            walk(kind, seed, planted=planted)

    with pytest.raises(AssertionError, match=r"booked twice|neither booked|waits for ever|ran through it"):
        walks()


@pytest.mark.parametrize("kind", [Kind.TRANSACTION_COUNTER, Kind.RING])
def test_without_names_a_lost_movement_is_found_by_counting(kind: Kind) -> None:
    def walks() -> None:
        for seed in range(MOST_WALKS):
            made = World(kind, seed, named=False, planted="acknowledges before the commit")
            made.walk(STEPS, without=KEEPS)

    with pytest.raises(AssertionError, match=r"booked, \d+ confirmed"):
        walks()
