"""The small HTTP server: what it answers, and that no client can hurt it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus

import pytest
import pytest_asyncio

from edge_agent.web import responder
from edge_agent.web.probes import pages
from edge_agent.web.responder import Answer, Responder


class Wrong:
    """What the probes complain of."""

    ready: str | None = "starting"
    healthy: str | None = None


@pytest.fixture
def wrong() -> Wrong:
    return Wrong()


@pytest_asyncio.fixture
async def port(wrong: Wrong) -> AsyncIterator[int]:
    listening = asyncio.Event()
    served = pages(lambda: "edge_agent_ü 1\n", lambda: wrong.ready, lambda: wrong.healthy)
    made = Responder("127.0.0.1", 0, served)
    running = asyncio.create_task(made.run(listening.set))
    await listening.wait()
    yield made.port
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _exchange(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(30):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {name: value for name, _, value in (line.partition(": ") for line in lines)}, body


def _get(path: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    return f"{method} {path} {version}\r\nHost: localhost\r\n\r\n".encode()


async def test_metrics_and_probes(port: int, wrong: Wrong) -> None:
    status, headers, body = await _exchange(port, _get("/metrics?x=1"))
    assert (status, body.decode()) == (200, "edge_agent_ü 1\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert int(headers["Content-Length"]) == len(body)
    assert headers["Connection"] == "close"
    assert (await _exchange(port, _get("/-/ready")))[::2] == (503, b"starting\n")
    assert (await _exchange(port, _get("/-/healthy")))[::2] == (200, b"ok\n")
    wrong.ready, wrong.healthy = None, "store: no round trip of its writer for 31 s"
    assert (await _exchange(port, _get("/-/ready")))[::2] == (200, b"ok\n")
    assert (await _exchange(port, _get("/-/healthy")))[::2] == (503, b"store: no round trip of its writer for 31 s\n")


async def test_head_has_the_length_and_no_body(port: int) -> None:
    status, headers, body = await _exchange(port, _get("/metrics", "HEAD"))
    assert (status, body, headers["Content-Length"]) == (200, b"", str(len("edge_agent_ü 1\n".encode())))


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_get("/"), HTTPStatus.NOT_FOUND),
        (_get("/../etc/passwd"), HTTPStatus.NOT_FOUND),
        (_get("/metrics", "POST"), HTTPStatus.METHOD_NOT_ALLOWED),
        (_get("/metrics", version="HTTP/2.0"), HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
        (b"\x16\x03\x01\x02\x00 TLS here \xff\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000 + b"\r\n\r\n", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 101 + b"\r\n", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    ],
)
async def test_what_it_does_not_serve_is_refused_and_it_serves_on(port: int, request_: bytes, status: int) -> None:
    with suppress(ConnectionResetError):  # it closed with our bytes unread: a refusal too
        assert (await _exchange(port, request_))[0] == status
    assert (await _exchange(port, _get("/-/healthy")))[0] == 200


async def test_who_is_slow_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HT")
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_a_crowd_is_refused_and_leaves_no_trace(port: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
    assert (await _exchange(port, _get("/metrics")))[0] == HTTPStatus.SERVICE_UNAVAILABLE
    for _, writer in idle:
        writer.close()
    async with asyncio.timeout(30):
        while (await _exchange(port, _get("/metrics")))[0] != HTTPStatus.OK:
            await asyncio.sleep(0.01)


async def test_a_taken_address_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match="address already in use"):
        await Responder("127.0.0.1", port, {"/": lambda: Answer("")}).run()
