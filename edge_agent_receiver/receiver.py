"""The receiver as a program: a session with the broker, the inbox, and the team's `post`.

Two threads of work: `post` is called by the thread that called `run`, everything else happens on one of our own, so
that a slow `post` holds up neither receiving nor answering. paho has a third one for the connection.
"""

from __future__ import annotations

import logging
import queue
import signal
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from edge_agent_receiver.answers import Accepted, Answer, Busy, Outcome, Raised, Rejected
from edge_agent_receiver.broker import BrokerError, BrokerSettings, read_address
from edge_agent_receiver.event import Event
from edge_agent_receiver.inbox import Inbox
from edge_agent_receiver.session import Session, connect
from edge_agent_receiver.status import report
from edge_agent_receiver.store import Store, StoreError, open_reader, open_store
from edge_agent_receiver.timing import Backoff, Timing

_IDLE_SECONDS = 0.1
_BATCH_SECONDS = 0.25
"""A batch is what `post` is likely to get through in this time."""
_MOST_AT_ONCE = 500
_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_log = logging.getLogger("edge_agent_receiver")

Post = Callable[[Event], Answer]


class Receiver:
    """Receives what agents publish under `{root}/v1/#` and has it posted by `post`.

    `system` is this system's name in the agents' tag maps, and unique at the broker. `broker` is `mqtt://host:port` or
    `mqtts://…` (then `ca`, and `cert` with `key` where the broker asks for it); `user` logs in with the password in
    `password_file`. `store` is an SQLite file or `postgresql://…`. `prove`: post an event only once its bytes are
    proven by its successor or a heartbeat.

    `post` gets an event whose lines are all to be posted or none, and answers Accepted, Rejected or Busy. It has to be
    idempotent by `event.id`: after a crash the same event comes again, with `again` set. What it raises counts as busy.

    Raises ValueError for a broker's address or a system's name that is none.
    """

    def __init__(
        self,
        *,
        system: str,
        post: Post,
        broker: str = "mqtt://127.0.0.1:1883",
        root: str = "mat",
        store: str = "inbox.db",
        prove: bool = False,
        user: str | None = None,
        password_file: str | Path | None = None,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        timing: Timing | None = None,
    ) -> None:
        if not 0 < len(system) <= 64 or not all(one.isascii() and (one.isalnum() or one in "_.-") for one in system):
            raise ValueError(f"{system!r} is no name of a system: 1 to 64 letters, digits, _ . -")
        host, port, tls, named = read_address(broker)
        files = [None if file is None else Path(file) for file in (password_file, ca, cert, key)]
        self._settings = BrokerSettings(
            host,
            port,
            tls,
            client_id=f"{system}-receiver",
            user=user or named,
            password_file=files[0],
            ca=files[1],
            cert=files[2],
            key=files[3],
        )
        self._post = post
        self._system = system
        self._root = root
        self._store = store
        self._prove = prove
        self._timing = timing
        self._batches: queue.SimpleQueue[list[Event] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Event, Outcome]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._stopping = False
        self._posting = True
        self._per_post = 0.0
        self._said: str | None = None
        self.ready = threading.Event()
        """Set while there is a session and the broker has granted the subscription."""

    def run(self) -> None:
        """Receive and post until SIGTERM, SIGINT or `stop`. Raises StoreError where the store cannot be opened."""
        self._stopping, self._posting = False, True
        store = open_store(self._store)
        with _signals(self.stop), ThreadPoolExecutor(1, "inbox") as executor:
            serving = executor.submit(self._serve, store)
            serving.add_done_callback(lambda _: self._batches.put(None))
            try:
                while (batch := self._batches.get()) is not None:
                    self._post_all(batch)
            finally:
                self._stopping, self._posting = True, False
                self._wake.set()
            serving.result()

    def stop(self) -> None:
        """End `run` after the event that `post` is busy with. May be called from a signal handler or any thread."""
        self._stopping = True

    def status(self) -> dict[str, Any]:
        """How the inbox stands, as the store says, and whether there is a session. Raises StoreError."""
        reader = open_reader(self._store)
        try:
            return report(reader) | {"connected": self.ready.is_set(), "broker": self._said}
        finally:
            reader.close()

    # what the thread of `run` does

    def _post_all(self, batch: list[Event]) -> None:
        """Call `post` for each; after a busy one nothing more of its source."""
        held: set[str] = set()
        for event in batch:
            outcome = None if self._stopping or event.source in held else self._post_one(event)
            if isinstance(outcome, Busy | Raised):
                held.add(event.source)
            self._answers.put((event, outcome))
            self._wake.set()

    def _post_one(self, event: Event) -> Outcome:
        began = time.monotonic()
        answer: object = None
        with _Caught() as caught:
            answer = self._post(event)
        self._per_post += 0.2 * (time.monotonic() - began - self._per_post)
        if caught.raised is not None:
            return caught.raised
        if isinstance(answer, Accepted | Rejected | Busy):
            return answer
        return Raised(f"post gave {type(answer).__name__}, not Accepted, Rejected or Busy")

    # what our own thread does

    def _serve(self, store: Store) -> None:
        """Until it is to end; a store that fails is opened anew, ever more seldom."""
        backoff = Backoff(1.0, 30.0)
        opened: Store | None = store
        while opened is not None:
            try:
                self._serve_store(opened)
            except StoreError as error:
                _log.error("the inbox is closed until the store can be used again: %s", str(error))
            finally:
                self.ready.clear()
                opened.close()
            self._drop_batch()
            opened = self._reopen(backoff)

    def _reopen(self, backoff: Backoff) -> Store | None:
        backoff.start(time.monotonic())
        while not self._stopping:
            if backoff.due(time.monotonic()):
                backoff.tried(time.monotonic())
                try:
                    return open_store(self._store)
                except StoreError as error:
                    _log.error("the store cannot be opened: %s", str(error))
            self._pause()
        return None

    def _drop_batch(self) -> None:
        """The store has failed under a batch: what is with `post` must be answered before the same comes again."""
        while self._outstanding and self._posting:
            self._outstanding -= len(_drained(self._answers))
            self._pause()
        self._outstanding = 0

    _outstanding = 0
    """How many events are with `post`."""

    def _serve_store(self, store: Store) -> None:
        inbox = Inbox(
            store,
            self._system,
            run=uuid.uuid4().hex[:16],
            now=time.time(),
            root=self._root,
            prove=self._prove,
            timing=self._timing,
        )
        backoff = Backoff(1.0, 30.0)
        session: Session | None = None
        try:
            while not self._stopping:
                session = self._session(session, backoff)
                self._turn(inbox, session)
            self._finish(inbox)
        finally:
            if session is not None:
                session.close()

    def _session(self, session: Session | None, backoff: Backoff) -> Session | None:
        """The session, a new one where it is lost, or none for now."""
        if session is not None:
            if not session.lost.is_set():
                return session
            self.ready.clear()
            self._say(f"the connection to {self._settings.address} was lost: {session.why}")
            session.close()
            backoff.start(time.monotonic())
        if not backoff.due(time.monotonic()):
            return None
        backoff.tried(time.monotonic())
        try:
            made = connect(self._settings, f"{self._root}/v1/#", self._wake.set)
        except BrokerError as error:
            self._say(str(error))
            return None
        self.ready.set()
        self._say(f"connected to {self._settings.address}")
        return made

    def _turn(self, inbox: Inbox, session: Session | None) -> None:
        """Once around: what has come, what was answered, what is to be posted and said; then a rest."""
        self._wake.clear()
        busy = False if session is None else self._receive(inbox, session)
        busy |= self._settle(inbox)
        busy |= self._offer(inbox)
        if session is not None:
            for message in inbox.step(time.time()):
                session.publish(message.topic, message.payload, message.key)
        for notice in inbox.notices():
            _log.warning("%s", notice)
        if not busy:
            self._pause()

    def _receive(self, inbox: Inbox, session: Session) -> bool:
        """Everything that waits in one transaction; acknowledged to the broker once that is on the disk."""
        messages = session.messages()
        if messages:
            inbox.receive_all([(message.topic, message.payload) for message in messages], time.time())
            for message in messages:
                session.acknowledge(message)
        for key in session.sent():
            inbox.sent(key, time.time())
        return bool(messages)

    def _settle(self, inbox: Inbox) -> bool:
        answered = _drained(self._answers)
        if answered:
            self._outstanding -= len(answered)
            inbox.settle(answered, time.time())
        return bool(answered)

    def _offer(self, inbox: Inbox) -> bool:
        if self._outstanding:
            return False
        limit = _MOST_AT_ONCE if not self._per_post else int(_BATCH_SECONDS / self._per_post)
        batch = inbox.offer(time.time(), max(1, min(limit, _MOST_AT_ONCE)))
        if batch:
            self._outstanding = len(batch)
            self._batches.put(batch)
        return bool(batch)

    def _finish(self, inbox: Inbox) -> None:
        """Write down what `post` still answers; what it never does comes again, as such."""
        while self._outstanding and self._posting:
            self._settle(inbox)
            self._pause()
        self._settle(inbox)
        self._outstanding = 0

    def _say(self, text: str) -> None:
        """Log it, unless it was the last thing said."""
        if text != self._said:
            _log.warning("%s", text)
        self._said = text

    def _pause(self) -> None:
        self._wake.wait(_IDLE_SECONDS)


class _Caught:
    """What the team's code raises is its own affair and ends nothing; what is to end the program does."""

    def __init__(self) -> None:
        self.raised: Raised | None = None

    def __enter__(self) -> _Caught:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if kind is None or not isinstance(error, Exception):
            return False
        text = "".join(traceback.format_exception(error))
        self.raised = Raised(f"{kind.__name__}: {error}", text)
        return True


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT stop; only the main thread may say so, elsewhere the caller calls `stop`."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    former = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, before in former.items():
            signal.signal(number, before)


def _drained(waiting: queue.SimpleQueue[tuple[Event, Outcome]]) -> list[tuple[Event, Outcome]]:
    return [waiting.get_nowait() for _ in range(waiting.qsize())]
