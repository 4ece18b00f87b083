"""The broker and the line to it going bad, with a real mosquitto and an independent receiver that counts.

Each fault is also run with a planted bug, and the same check must see it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.broker import Message
from edge_agent.clock import SystemClock
from edge_agent.mqtt.memory import MemoryBroker
from edge_agent.mqtt.network import Limits, PahoBroker
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.relay import Backoff, Relay
from tests.publishing.brokers import Mosquitto, until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, sequences
from tests.publishing.line import Line, State
from tests.publishing.planted import Deaf, Greedy, Hasty, Planted
from tests.publishing.receiver import Receiver
from tests.publishing.samples import STREAMS, tag_map
from tests.publishing.wire import Publish, Wire

EVENTS = "mat/v1/acme/berlin/filling/L3/_/_material/#"
IMPATIENT = Limits(answer=1.0, keepalive=2)
BOTH = pytest.mark.parametrize("bug", [None, Hasty], ids=["as built", "hasty"])


def _check_arrived(outbox: MemoryOutbox, receiver: Receiver) -> None:
    """Every event of every stream, as stored."""
    check_bytes(outbox, receiver.payloads)
    seen = sequences(receiver.payloads)
    for stream, events in outbox.events.items():
        missing = set(range(1, len(events) + 1)) - set(seen.get(stream, ()))
        assert not missing, f"{stream}: {sorted(missing)} never arrived"


async def _arrived(outbox: MemoryOutbox, receiver: Receiver) -> None:
    """Wait for the last event of all: what a broker has passed over by then never comes."""
    outbox.add("bulk")
    last = outbox.events["bulk"][-1].payload
    await until(lambda: all_marked(outbox), "all are marked")
    await until(lambda: last in receiver.payloads, "the last has arrived")


async def _check(outbox: MemoryOutbox, receiver: Receiver, bug: object) -> None:
    await _arrived(outbox, receiver)
    if bug is None:
        _check_arrived(outbox, receiver)
    else:
        with pytest.raises(AssertionError, match="never arrived"):
            _check_arrived(outbox, receiver)


def _through(line: Line, mosquitto: Mosquitto, bug: type[Hasty] | None, limits: Limits = IMPATIENT) -> Planted:
    return Planted(PahoBroker(mosquitto.settings(line.port), "agent", limits), bug)


def _restart(broker: Mosquitto) -> None:
    broker.terminate()
    broker.start()


def _nothing(_broker: Mosquitto) -> None:
    pass


@BOTH
@pytest.mark.parametrize("meanwhile", [_nothing, _restart], ids=["black hole", "black hole and restart"])
async def test_what_a_black_hole_swallowed_is_sent_again(
    mosquitto: Callable[..., Mosquitto],
    tmp_path: Path,
    relaying: Relaying,
    outbox: MemoryOutbox,
    board: Board,
    bug: type[Hasty] | None,
    meanwhile: Callable[[Mosquitto], None],
) -> None:
    broker = mosquitto(more=f"persistence true\npersistence_location {tmp_path}/\n")
    async with Receiver(broker.port, EVENTS) as receiver, Line(broker.port) as line:
        async with relaying(_through(line, broker, bug)) as relay:
            outbox.add("routine", 200)
            await until(lambda: all_marked(outbox), "some are out")
            line.state = State.BLACK_HOLE
            published = relay.report().counts["published"]
            outbox.add("routine", 300)
            await until(lambda: relay.report().counts["published"] > published, "some are swallowed")
            await until(lambda: board.lately("broker")[0] == "lost", "it is noticed")
            meanwhile(broker)
            line.state = State.GOOD
            line.cut()
            await _check(outbox, receiver, bug)

        assert receiver.sessions_kept == [False, True] if meanwhile is _restart else [False]
    assert any("no PUBACK for 1 s" in why for _, _, why in board.said)


@BOTH
async def test_what_went_into_a_half_open_connection_is_sent_again(
    mosquitto: Callable[..., Mosquitto],
    relaying: Relaying,
    outbox: MemoryOutbox,
    board: Board,
    bug: type[Hasty] | None,
) -> None:
    broker = mosquitto()
    async with (
        Receiver(broker.port, EVENTS) as receiver,
        Line(broker.port) as line,
        relaying(_through(line, broker, bug)) as relay,
    ):
        outbox.add("routine", 100)
        await until(lambda: all_marked(outbox), "some are out")
        line.halve()
        published = relay.report().counts["published"]
        outbox.add("routine", 100)
        await until(lambda: relay.report().counts["published"] > published, "some go nowhere")
        await _check(outbox, receiver, bug)
    assert "lost" in [state for name, state, _ in board.said if name == "broker"]


async def test_an_idle_half_open_connection_is_noticed_by_the_keepalive(
    mosquitto: Callable[..., Mosquitto], relaying: Relaying, board: Board
) -> None:
    broker = mosquitto()
    async with Line(broker.port) as line, relaying(_through(line, broker, None)) as relay:
        await until(lambda: relay.report().connected, "it is connected")
        line.halve()
        await until(lambda: [s for n, s, _ in board.said if n == "broker"] == ["up", "lost", "up"], "it is back")
    assert any("Keep alive" in why for _, _, why in board.said)


@BOTH
async def test_a_slow_line_is_waited_for_and_a_cut_one_caught_up(
    mosquitto: Callable[..., Mosquitto],
    relaying: Relaying,
    outbox: MemoryOutbox,
    board: Board,
    bug: type[Hasty] | None,
) -> None:
    """30 kB/s: the window of 100 events takes longer to go out than the broker has for an answer."""
    broker = mosquitto(inflight=100)
    async with (
        Receiver(broker.port, EVENTS) as receiver,
        Line(broker.port, rate=30_000) as line,
        relaying(_through(line, broker, bug, Limits(answer=2.0))) as relay,
    ):
        outbox.add("routine", 250)
        await until(lambda: len(receiver.payloads) > 120, "half are out")
        assert [state for name, state, _ in board.said if name == "broker"] == ["up"], "slow is not lost"
        await until(lambda: relay.report().streams["routine"].acknowledged > 120, "and acknowledged")
        line.rate = None
        line.cut()
        await _check(outbox, receiver, bug)


@pytest.mark.parametrize("bug", [None, Deaf], ids=["as built", "deaf"])
async def test_a_refused_event_goes_out_once_it_may(
    mosquitto: Callable[..., Mosquitto],
    tmp_path: Path,
    relaying: Relaying,
    outbox: MemoryOutbox,
    board: Board,
    bug: type[Deaf] | None,
) -> None:
    """The stream of an event that the ACL refuses waits, the others go on; with the ACL mended all arrives in order."""
    outbox.add("routine", 20)
    topic = outbox.events["routine"][0].topic
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite #\ntopic deny {topic}/refused\n")
    broker = mosquitto(more=f"acl_file {acl}\n")
    outbox.alter_last("routine", topic=f"{topic}/refused")
    outbox.add("routine", 20)
    outbox.add("critical", 20)
    async with Receiver(broker.port, EVENTS) as receiver, relaying(Planted(broker.client("agent"), bug)) as relay:
        await until(lambda: outbox.delivered("critical") == 20, "the others go on")
        await until(lambda: relay.report().streams["routine"].held or outbox.delivered("routine") == 40, "answered")
        if bug is None:
            await until(
                lambda: outbox.delivered("routine") == 19, "all before it"
            )  # mosquitto may hang up before its acks
            assert board.lately("stream routine")[0] == "lost"
        acl.write_text("topic readwrite #\n")
        broker.tell(signal.SIGHUP)
        await _check(outbox, receiver, bug)
    if bug is None:
        assert board.lately("stream routine") == ("up", "event 20 is out")


@pytest.mark.parametrize("bug", [None, Greedy], ids=["as built", "greedy"])
async def test_a_receive_maximum_of_one_holds_and_the_check_would_see_it(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, bug: type[Greedy] | None
) -> None:
    wire.announce(receive_maximum=1)
    outbox.add("routine", 60)
    unanswered: list[Publish] = []
    most = 0

    def answer(publish: Publish) -> int | None:
        """With the bug it keeps its answers, so that what is sent too early is there to be seen."""
        nonlocal most
        unanswered.append(publish)
        most = max(most, len(unanswered))
        if bug is not None:
            return None
        unanswered.clear()
        return 0

    wire.answering = answer
    async with relaying(Planted(wire.client(), bug)):
        await until(lambda: all_marked(outbox) if bug is None else most > 1, "they are sent")
    assert (most == 1) is (bug is None)


async def test_a_taken_over_session_waits_and_comes_back(
    mosquitto: Callable[..., Mosquitto], relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    broker = mosquitto()
    async with Receiver(broker.port, EVENTS) as receiver, relaying(broker.client("agent")) as relay:
        outbox.add("routine", 300)
        await until(lambda: all_marked(outbox), "they are out")
        other = await broker.client("agent").connect(Message("will", b"gone"))
        await until(lambda: board.lately("broker")[0] == "lost", "it is said")
        said = board.lately("broker")[1]  # mosquitto 2.0 has no word for it (142)
        outbox.add("routine", 300)
        await until(lambda: relay.report().streams["routine"].acknowledged > 310, "it is back and sends")
        loss = await other.lost()
        await _check(outbox, receiver, None)
    assert said == "connection lost (the other side closed it)"
    assert loss.hung_up


@pytest.mark.parametrize(
    ("says_takeover", "backoff", "fights"),
    [
        (True, Backoff(), False),
        (True, Backoff(truce=5.0), True),
        (False, Backoff(), False),
        (False, Backoff(patience=10_000), True),
    ],
    ids=["said", "said, no truce", "not said", "not said, no suspicion"],
)
def test_two_agents_of_one_name_do_not_fight(says_takeover: bool, backoff: Backoff, fights: bool) -> None:
    """For an hour of virtual time; the controls wait the same few seconds each time."""
    broker = MemoryBroker(says_takeover=says_takeover)
    boards = [Board(), Board()]

    async def hour() -> None:
        relays = [
            Relay(
                broker.client("agent"),
                MemoryOutbox(),
                Presence(tag_map(), "1.0.0", timedelta(minutes=1)),
                status=board,
                clock=SystemClock(),
                streams=STREAMS,
                backoff=backoff,
                jitter=lambda share=share: share,  # type: ignore[misc]  # each its own
            )
            for board, share in zip(boards, (0.3, 0.8), strict=True)
        ]
        tasks = [asyncio.create_task(relay.run()) for relay in relays]
        await asyncio.sleep(3600)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
        runner.run(hour())
    losses = sum(state == "lost" for board in boards for name, state, _ in board.said if name == "broker")
    assert losses > 4
    assert (losses > 250) is fights, losses
    assert fights or any("another client" in why for board in boards for _, _, why in board.said)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next timer whenever nothing else is to do."""

    _now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]  # the base class's own
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]  # likewise
        super()._run_once()  # type: ignore[misc]  # likewise
