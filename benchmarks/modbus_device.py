"""A Modbus TCP device with one counter, in a process of its own: `python -m benchmarks.modbus_device PORT`.

Every register pair shows hundredths of a second since it started, high word first (Modbus Application Protocol V1.1b3,
6.3: function 3).
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from contextlib import suppress

_HEADER = struct.Struct(">HHHB")
_READ = struct.Struct(">BHH")
_ILLEGAL_FUNCTION = 1
_BEGAN = time.monotonic()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            transaction, protocol, length, unit = _HEADER.unpack(await reader.readexactly(_HEADER.size))
            answer = _answer(await reader.readexactly(length - 1))
            writer.write(_HEADER.pack(transaction, protocol, len(answer) + 1, unit) + answer)
            await writer.drain()
    writer.close()


def _answer(request: bytes) -> bytes:
    function, _, count = _READ.unpack(request[: _READ.size])
    if function != 3:
        return bytes((function | 0x80, _ILLEGAL_FUNCTION))
    value = int((time.monotonic() - _BEGAN) * 100)
    words = (value >> 16, value & 0xFFFF) * count
    return struct.pack(f">BB{count}H", function, 2 * count, *words[:count])


async def _main(port: int) -> None:
    server = await asyncio.start_server(_serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
