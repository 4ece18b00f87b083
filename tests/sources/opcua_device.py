"""A small OPC UA server for tests, in this process or in one of its own: `python opcua_device.py PORT`.

In its own process it takes one JSON object a line on standard input and answers each with one on standard output.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.server.server import Server

URI = "urn:test:plc"
OTHER_URI = "urn:test:other"
NODES: dict[str, tuple[Any, ua.VariantType]] = {
    "Order.No": ("A1", ua.VariantType.String),
    "Infeed.Total": (100, ua.VariantType.UInt16),
    "Filler.Total": (1000, ua.VariantType.UInt32),
    "Temperature": (21.5, ua.VariantType.Float),
    "Pal.Seq": (7, ua.VariantType.UInt32),
    "Pal.Ack": (7, ua.VariantType.UInt32),
    "Pal.Result": (0, ua.VariantType.Int16),
    "Pal.SSCC": ("340123450000000071", ua.VariantType.String),
    "Pal.Cases": (48, ua.VariantType.Int16),
}


class Device:
    """A PLC's server at `port`, whose nodes are named `s=::NAME` in the namespace `URI`."""

    def __init__(self, port: int, *, uris: Sequence[str] = (URI,), leave_out: Sequence[str] = ()) -> None:
        self.port = port
        self._uris = uris
        self._leave_out = leave_out
        self._server: Server | None = None
        self._nodes: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def server(self) -> Server:
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        server = Server()
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for uri in self._uris:
            await server.register_namespace(uri)
        self._server = server
        for name in NODES:
            if name not in self._leave_out:
                await self.add(name)
        await server.start()

    async def add(self, name: str) -> None:
        index = await self.server.get_namespace_index(URI)
        value, kind = NODES[name]
        identifier = ua.NodeId(f"::{name}", index, ua.NodeIdType.String)
        node = await self.server.nodes.objects.add_variable(identifier, name, value, varianttype=kind)
        if name in ("Pal.Ack", "Pal.Result"):
            await node.set_writable()
        self._nodes[name] = node

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()

    async def set(self, **values: Any) -> None:
        """Names with `_` for the dot; written in this order."""
        for name, value in values.items():
            await self.put(name.replace("_", "."), value)

    async def put(
        self, name: str, value: Any, status: int = 0, source_time: datetime | None = None, *, kind: Any = None
    ) -> None:
        """Show a value in the address space as it is, whatever its type, status or time."""
        data = ua.DataValue(
            ua.Variant(value, kind or NODES[name][1]),
            StatusCode=ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=source_time or datetime.now().astimezone(),
            ServerTimestamp=datetime.now().astimezone(),
        )
        aspace = self.server.iserver.aspace
        attribute = aspace._nodes[self._nodes[name].nodeid].attributes[ua.AttributeIds.Value]
        attribute.value = data
        for handle, callback in list(attribute.datachange_callbacks.items()):
            await callback(handle, data)

    async def get(self, name: str) -> Any:
        return await self._nodes[name].read_value()


async def _main(port: int) -> None:
    logging.basicConfig(level=logging.CRITICAL)
    device = Device(port)
    await device.start()
    print(json.dumps({"ready": port}), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await device.set(**json.loads(line))
        print(json.dumps({"done": True}), flush=True)
    await device.stop()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
