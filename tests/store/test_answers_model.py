"""Any messages in any order: what is said never goes back, and the book says what a plain reading of the rules says.

The model is written from events.md, States, without the book's code: a dictionary and the rules as they stand there.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_agent.clock import ManualClock
from edge_agent.errors import StoreError
from edge_agent.model.ack import Answer, Answers, AnswerStatus, Code
from edge_agent.store import answers as book_module
from edge_agent.store.answers import AnswerBook, Row, read
from edge_agent.store.connection import Connection
from edge_agent.store.restore import open_store
from tests.store.conftest import START
from tests.store.events import store_events
from tests.store.outcomes import AT

EVENTS = 4
LATER = AT + timedelta(minutes=1)


class Said(NamedTuple):
    """One message: a cumulative word, single answers by sequence, or a person's retry (of a sequence)."""

    up_to: int | None
    singles: dict[int, str]
    retry: int | None = None


_messages = st.lists(
    st.builds(
        Said,
        st.none() | st.integers(1, EVENTS),
        st.dictionaries(st.integers(1, EVENTS), st.sampled_from(["accepted", "rejected", "busy"]), max_size=3),
        st.none() | st.integers(1, EVENTS),
    ),
    max_size=12,
)


class Model:
    """What the rules say. `single` are the sequences whose word was given to that very event."""

    def __init__(self) -> None:
        self.state = dict.fromkeys(range(1, EVENTS + 1), "awaiting")
        self.single: set[int] = set()
        self.up_to = 0

    def hear(self, said: Said) -> None:
        for sequence, word in said.singles.items():
            now = self.state[sequence]
            settled = now == "rejected" or (now == "accepted" and (sequence in self.single or word == "busy"))
            if not settled:
                self.state[sequence] = word
                self.single.add(sequence)
        if said.up_to is not None and said.up_to > self.up_to:
            self.up_to = said.up_to
            for sequence in range(1, said.up_to + 1):
                if sequence not in said.singles and self.state[sequence] in {"awaiting", "busy"}:
                    self.state[sequence] = "accepted"
        if said.retry is not None and self.state[said.retry] == "rejected":
            self.state[said.retry] = "retried"


async def _heard(messages: list[Said], folder: Path) -> list[tuple[dict[int, str], dict[int, str]]]:
    """After each message: what the book says, and what the model says."""
    clock = ManualClock(START)
    database = await open_store(folder / "edge-agent.db", agent="l3-edge", max_size=64 << 20, now=clock.now())
    try:
        _, _, events = await store_events(database, EVENTS)
        book, model, found = AnswerBook(database), Model(), []
        for number, said in enumerate(messages):
            answers = tuple(_answer(events[sequence - 1].id, sequence, word) for sequence, word in said.singles.items())
            if answers or said.up_to is not None:
                message = Answers("mes", events[0].source, f"nonce-{number}", b"", LATER, said.up_to, answers)
                await book.take(message, LATER)
            if said.retry is not None:
                await book.retry(events[0].source, said.retry, timedelta(hours=1), LATER)
            model.hear(said)
            found.append((await database.transaction(_states), dict(model.state)))
        return found
    finally:
        await database.close()


async def _states(connection: Connection) -> dict[int, str]:
    return {row.sequence: str(row.status) for row in await read(connection, "system = 'mes'", ())}


def _answer(identity: str, sequence: int, word: str) -> Answer:
    code = Code.UNKNOWN_LOT if word == "rejected" else None
    return Answer(sequence, identity, AnswerStatus(word), code=code)


def _check(messages: list[Said]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for book, model in asyncio.run(_heard(messages, Path(folder))):
            assert book == model


@given(_messages)
@settings(max_examples=80)
@example([Said(None, {1: "rejected"}), Said(4, {}), Said(None, {1: "accepted"})])
@example([Said(4, {}), Said(None, {2: "rejected"}, 2), Said(4, {}), Said(None, {2: "accepted"})])
@example([Said(None, {3: "busy"}), Said(3, {}), Said(None, {3: "busy"})])
def test_the_book_says_what_the_rules_say(messages: list[Said]) -> None:
    _check(messages)


@pytest.mark.parametrize(
    ("name", "bug"),
    [
        ("_refusal", lambda _row, _answer: None),
        ("_told", lambda row, _answer, _now: row),
    ],
    ids=["everything may be unsaid", "nothing is heard"],
)
def test_a_planted_bug_is_found(name: str, bug: Callable[..., Row | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, name, bug)
    with pytest.raises((AssertionError, StoreError, ExceptionGroup)):
        test_the_book_says_what_the_rules_say()


def test_a_cumulative_word_that_overrides_a_rejection_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "OWED", book_module.NOT_FINAL)
    with pytest.raises(AssertionError):
        test_the_book_says_what_the_rules_say()
