"""A small OPC UA server for tests, in this process or in one of its own: `python opcua_device.py PORT`.

In its own process it takes one JSON object a line on standard input and answers each with one on standard output.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.crypto.validator import CertificateValidator
from asyncua.server.server import Server
from asyncua.server.user_managers import UserManager
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

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


SECURED = [
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Basic256Sha256_Sign,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
]


class Users(UserManager):
    """Lets everybody in and remembers who said a name."""

    def __init__(self) -> None:
        self.logins: list[tuple[str, str | None]] = []
        self.refuses = False

    def get_user(
        self, iserver: object, username: str | None = None, password: str | None = None, certificate: object = None
    ) -> User | None:
        if username is not None:
            self.logins.append((username, password))
        return None if self.refuses else User(role=UserRole.User)


class Device:
    """A PLC's server at `port`, whose nodes are named `s=::NAME` in the namespace `URI`."""

    def __init__(
        self,
        port: int,
        *,
        uris: Sequence[str] = (URI,),
        leave_out: Sequence[str] = (),
        certificate: tuple[bytes, bytes] | None = None,
        policies: Sequence[ua.SecurityPolicyType] = (ua.SecurityPolicyType.NoSecurity,),
    ) -> None:
        """`certificate` is one with its key, both in PEM; what needs one is offered only with it."""
        self.port = port
        self.application_uri = "urn:test:server"
        self.tokens: list[type] = [ua.AnonymousIdentityToken, ua.UserNameIdentityToken]
        self.validator: CertificateValidator | None = None
        self._certificate = certificate
        self._policies = policies
        self._uris = uris
        self._leave_out = leave_out
        self.users = Users()
        self._read_only: set[str] = set()
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
        server = Server(user_manager=self.users)
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy(list(self._policies))
        server.set_identity_tokens(self.tokens)
        await server.set_application_uri(self.application_uri)
        if self._certificate is not None:
            await server.load_certificate(self._certificate[0], "pem")
            await server.load_private_key(self._certificate[1], format="pem")
        if self.validator is not None:
            server.set_certificate_validator(self.validator.validate)
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
        identifier = ua.NodeId(ua.String(f"::{name}"), ua.Int16(index), ua.NodeIdType.String)
        node = await self.server.nodes.objects.add_variable(identifier, name, value, varianttype=kind)
        if name in ("Pal.Ack", "Pal.Result") and name not in self._read_only:
            await node.set_writable()
        self._nodes[name] = node

    async def add_variable(self, name: str, value: Any, kind: ua.VariantType, *, writable: bool = False) -> None:
        """One more node than `NODES`; to be called after each start."""
        index = await self.server.get_namespace_index(URI)
        identifier = ua.NodeId(ua.String(f"::{name}"), ua.Int16(index), ua.NodeIdType.String)
        node = await self.server.nodes.objects.add_variable(identifier, name, value, varianttype=kind)
        if writable:
            await node.set_writable()
        self._nodes[name] = node

    async def remove(self, name: str, *, silently: bool = False) -> None:
        """Delete a node and say so to who monitors it (OPC 10000-4, 5.13.1.5); asyncua by itself is silent."""
        aspace, node = self.server.iserver.aspace, self._nodes.pop(name).nodeid
        gone = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadNodeIdUnknown)))
        attribute = aspace._nodes[node].attributes[AttributeIds.Value]
        for handle, callback in list(attribute.datachange_callbacks.items()):
            if not silently:
                await callback(handle, gone)
            aspace.delete_datachange_callback(handle)
        await self.server.delete_nodes([self.server.get_node(node)])

    async def delete_subscriptions(self) -> None:
        """What a server does that restarts its services, or thinks nobody is there."""
        service = self.server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()
            for session in list(server.iserver._external_sessions.values()):  # asyncua leaves their tasks behind
                await session.close_session(True)

    async def add_many(self, number: int) -> list[str]:
        """So many more UInt32 nodes, each showing 0; their names."""
        index = await self.server.get_namespace_index(URI)
        names = [f"Many.{place}" for place in range(number)]
        for name in names:
            identifier = ua.NodeId(ua.String(f"::{name}"), ua.Int16(index), ua.NodeIdType.String)
            self._nodes[name] = await self.server.nodes.objects.add_variable(
                identifier, name, 0, varianttype=ua.VariantType.UInt32
            )
        return names

    async def write(self, name: str, value: int) -> None:
        await self._nodes[name].write_value(value, ua.VariantType.UInt32)

    async def set(self, **values: Any) -> None:
        """Names with `_` for the dot; written in this order."""
        for name, value in values.items():
            await self.put(name.replace("_", "."), value)

    async def put(self, name: str, value: Any, status: int = 0, source_time: Any = None) -> None:
        """Show a value in the address space as it is, whatever its type (a Variant), status or time."""
        now: Any = datetime.now(UTC)
        data = ua.DataValue(
            value if isinstance(value, ua.Variant) else ua.Variant(value, NODES[name][1]),
            StatusCode=ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=source_time or now,
            ServerTimestamp=now,
        )
        attribute = self.server.iserver.aspace._nodes[self._nodes[name].nodeid].attributes[AttributeIds.Value]
        attribute.value, attribute.value_callback = data, None
        for handle, callback in list(attribute.datachange_callbacks.items()):
            await callback(handle, data)

    def show_in_turn(self, name: str, *values: tuple[object, datetime]) -> None:
        """Each time the value is looked at, show the next of these: (value, source time); the last one stays."""
        waiting = deque(values)

        def look(_node: object, _attribute: object) -> ua.DataValue:
            value, source_time = waiting.popleft() if len(waiting) > 1 else waiting[0]
            time: Any = source_time
            return ua.DataValue(ua.Variant(value, NODES[name][1]), SourceTimestamp=time, ServerTimestamp=time)

        aspace = self.server.iserver.aspace
        aspace.set_attribute_value_callback(self._nodes[name].nodeid, AttributeIds.Value, look)

    async def refuse_writes(self, name: str) -> None:
        """Refuse them, across a restart too."""
        self._read_only.add(name)
        await self._nodes[name].set_writable(False)

    async def get(self, name: str) -> Any:
        return await self._nodes[name].read_value()


def _say(**answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _main(port: int) -> None:
    logging.basicConfig(level=logging.CRITICAL)
    device = Device(port)
    await device.start()
    _say(ready=port)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        await device.set(**json.loads(line))
        _say(done=True)
    await device.stop()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
