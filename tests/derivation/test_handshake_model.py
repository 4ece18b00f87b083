"""PLC, wire and agent stopped at any instant: every movement is booked once, or a person is asked; never twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edge_agent.config.signals import Handshake, Kind
from edge_agent.derivation import confirmed_ring, confirming
from edge_agent.derivation.confirmed import Verdict
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.signal_state import HandshakeState, Phase
from edge_agent.sources.handshake import Read, UnnumberedWatch
from tests.derivation.handshake_world import Agent, World

WALKS = 40
STEPS = 250
MOST_WALKS = 400
"""Within so many a planted bug must show."""
KINDS = pytest.mark.parametrize("kind", [Kind.BITS, Kind.RING])


def walk(kind: Kind, seed: int, **world: object) -> World:
    made = World(kind, seed, **world)  # type: ignore[arg-type]  # named, tells, planted
    without = frozenset() if made.named else frozenset({"clear", "stale"})
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
    booked = sum(len(one.agent.journal.natural_keys) for one in walks)
    moved = sum(len(one.plc.moved) for one in walks)
    assert booked > moved / 2, f"only {booked} of {moved} were booked"


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
    async def asks(_watch: UnnumberedWatch, _ack: Acknowledge, _read: Read) -> bool:
        return True

    patch.setattr(UnnumberedWatch, "asks", asks)


def hears_of_no_restart(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(confirming, "restarted", lambda work, one: None)


def takes_what_stands_at_the_tail_for_new(patch: pytest.MonkeyPatch) -> None:
    def again(handshake: Handshake, state: HandshakeState, block: Block, content: str) -> Verdict:
        begun = replace(state, epoch=state.epoch + 1, first_number=state.latest - 1, latest=state.latest - 1)
        return confirmed_ring._entry(handshake, replace(begun, recent=(), restarted=False), block, content)

    patch.setattr(confirmed_ring, "_latest_again", again)


BUGS = [
    (Kind.BITS, acknowledges_before_the_commit),
    (Kind.BITS, forgets_the_phase),
    (Kind.BITS, forgets_the_contents),
    (Kind.BITS, acknowledges_whatever_stands),
    (Kind.BITS, hears_of_no_restart),
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
