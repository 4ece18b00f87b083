"""Just enough HTTP/1.1 for a few texts: GET and HEAD, one request a connection (RFC 9112); a framework costs 11 MB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

_LINE_LIMIT = 8192
_MOST_HEADERS = 100
_SECONDS = 5.0
_MOST_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path says."""

    text: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = "text/plain; charset=utf-8"


Page = Callable[[], Answer]


class Responder:
    """Serves `pages` by their paths. Whoever is slow, sends too much or comes in a crowd is cut off."""

    def __init__(self, host: str, port: int, pages: Mapping[str, Page]) -> None:
        self._host = host
        self._port = port
        self._pages = pages
        self._open = 0

    @property
    def port(self) -> int:
        """The port it listens on, once it does."""
        return self._port

    async def run(self, listening: Callable[[], None] = lambda: None) -> None:
        """Serve for ever; `listening` is called when it does. Raises OSError where the address is taken."""
        server = await asyncio.start_server(self._serve, self._host, self._port, limit=_LINE_LIMIT)
        async with server:
            self._port = server.sockets[0].getsockname()[1]
            listening()
            await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            # a broken or idle connection is its own end, and nobody else's concern
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(_SECONDS):
                    await self._exchange(reader, writer)
        finally:
            self._open -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        crowd = self._open > _MOST_CONNECTIONS
        method, answer = await self._asked(reader)
        if crowd:
            answer = _refusal(HTTPStatus.SERVICE_UNAVAILABLE)
        body = answer.text.encode()
        head = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + (b"" if method == "HEAD" else body))
        await writer.drain()

    async def _asked(self, reader: asyncio.StreamReader) -> tuple[str, Answer]:
        """The method, and the answer to the request."""
        try:
            method, target, version = (await reader.readline()).decode("ascii").split()
            for _ in range(_MOST_HEADERS):
                if not (await reader.readline()).strip():
                    break
            else:
                return method, _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except ValueError:  # not three words, not ASCII, or a line over the limit
            return "GET", _refusal(HTTPStatus.BAD_REQUEST)
        if not version.startswith("HTTP/1."):
            return method, _refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if method not in {"GET", "HEAD"}:
            return method, _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
        page = self._pages.get(target.partition("?")[0])
        return method, _refusal(HTTPStatus.NOT_FOUND) if page is None else page()


def _refusal(status: HTTPStatus) -> Answer:
    return Answer(f"{status.value} {status.phrase}\n", status)
