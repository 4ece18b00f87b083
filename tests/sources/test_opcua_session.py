"""A session's requests: bounded in time, every failure in one form, no cancellation lost."""

from __future__ import annotations

import asyncio
import struct
from datetime import timedelta
from typing import Any

import pytest
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edge_agent.config.devices import OpcUaSource
from edge_agent.errors import SourceError
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_session import Session


def _refusal(status: int) -> Exception:
    untyped: Any = UaStatusCodeError
    error: Exception = untyped(status)
    return error


@pytest.fixture
def session() -> Session:
    source = OpcUaSource("plc", "opc.tcp://127.0.0.1:4840", {}, timedelta(milliseconds=100))
    return Session(source, Security(source, None))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (_refusal(StatusCodes.BadTooManySessions), "BadTooManySessions"),
        (ConnectionRefusedError("refused"), "refused"),
        (UaError("odd"), "odd"),
        (struct.error("short"), "short"),
        (RecursionError(), "RecursionError"),
    ],
)
async def test_a_failure_says_where_what_and_why(session: Session, error: Exception, said: str) -> None:
    with pytest.raises(SourceError) as raised:
        async with session._asking("read"):
            raise error
    assert str(raised.value) == f"plc (opc.tcp://127.0.0.1:4840): read: {said}"
    assert raised.value.__cause__ is error


async def test_no_answer_is_a_failure(session: Session) -> None:
    with pytest.raises(SourceError, match="read: no answer in time"):
        async with session._asking("read", 0.01):
            await asyncio.Event().wait()


async def test_a_bug_stays_a_bug(session: Session) -> None:
    with pytest.raises(ZeroDivisionError):
        async with session._asking("read"):
            _ = 1 // 0


async def _swallow(session: Session, seconds: float) -> None:
    async with session._asking("connect", seconds):
        await _waited(asyncio.Event())


async def _waited(event: asyncio.Event) -> None:
    try:
        await event.wait()
    except asyncio.CancelledError:
        return  # as asyncio.wait_for does before 3.12 where the answer comes in the same turn


async def test_a_cancellation_that_was_swallowed_on_the_way_is_made_up_for(session: Session) -> None:
    task = asyncio.create_task(_swallow(session, 10))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_a_time_limit_that_was_swallowed_on_the_way_is_one_too(session: Session) -> None:
    with pytest.raises(SourceError, match="no answer in time"):
        await _swallow(session, 0.01)


async def test_closing_what_was_never_opened_is_nothing(session: Session) -> None:
    await session.close()
    await session.close()


class _WithMore(asyncio.CancelledError):
    """A cancellation that says more, as wait_for2 raises it (asyncua waits with it before Python 3.12)."""


async def _told_more(event: asyncio.Event) -> None:
    try:
        await event.wait()
    except asyncio.CancelledError as cancelled:
        raise _WithMore from cancelled


async def test_a_time_limit_is_one_though_the_cancellation_says_more(session: Session) -> None:
    """The very class is what `asyncio.timeout` looks at: any other ends the whole task without a word."""
    with pytest.raises(SourceError, match="no answer in time"):
        async with session._asking("read", 0.01):
            await _told_more(asyncio.Event())
    with pytest.raises(_WithMore):
        async with asyncio.timeout(0.01):
            await _told_more(asyncio.Event())
