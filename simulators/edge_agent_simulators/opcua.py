"""The line as an OPC UA server: publishes what the PLC shows, stamped with the instant at which the plant did it.

A restart of the PLC is a restart for every client: the listening socket and all connections close, sessions and
subscriptions are gone, and what listens afterwards has a new StartTime. Only the address space is kept, because
building it takes more than a second.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import cast

from asyncua import ua
from asyncua.common.node import Node
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer
from asyncua.server.internal_server import InternalServer
from asyncua.server.server import Server
from asyncua.server.subscription_service import SubscriptionService
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from edge_agent_simulators.plc import FILLER, INFEED, ORDER, PAL_ACK, PAL_CASES, PAL_RESULT, PAL_SEQ, PAL_SSCC
from edge_agent_simulators.service import free_port
from edge_agent_simulators.virtual import Change

NAMESPACE = "urn:example:bottling-line"
TYPES = {
    ORDER: ua.VariantType.String,
    INFEED: ua.VariantType.UInt16,
    FILLER: ua.VariantType.UInt32,
    PAL_SEQ: ua.VariantType.UInt32,
    PAL_ACK: ua.VariantType.UInt32,
    PAL_RESULT: ua.VariantType.Int16,
    PAL_SSCC: ua.VariantType.String,
    PAL_CASES: ua.VariantType.Int16,
}
WRITABLE = (PAL_ACK, PAL_RESULT)


class _Subscriptions(SubscriptionService):
    """asyncua 2.1 answers a Republish it cannot serve with an empty message, and its own client asks again for ever."""

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """The message, or the status code of OPC 10000-4, 5.14.6."""
        if params.SubscriptionId not in self.subscriptions:
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        message = super().republish(params)
        if not message.NotificationData:
            raise ServiceError(StatusCodes.BadMessageNotAvailable)
        return message


class _PlcServer(InternalServer):
    """An internal server that can lose all its clients at once, as a power cut does."""

    def __init__(self) -> None:
        super().__init__()
        self.subscription_service = _Subscriptions(self.aspace, iserver=self)
        self.isession.subscription_service = self.subscription_service

    async def lose_sessions(self) -> None:
        """Forget every session and subscription: none may be activated or transferred again."""
        sessions = list(self._external_sessions.values())
        for session in sessions:
            await session.close_session(delete_subs=True)
        self._external_sessions.clear()
        await self.subscription_service.delete_subscriptions(list(self.subscription_service.subscriptions))

    async def set_start_time(self, at: datetime) -> None:
        """What ServerStatus.StartTime says from now on."""
        status = copy.copy(await self.server_status_node.read_value())
        status.StartTime = at
        await self.server_status_node.write_value(status)
        await Node(self.isession, ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_StartTime))).write_value(at)


class LineServer:
    """An OPC UA server on 127.0.0.1 without security; `on_write(name, value)` is told what a client wrote."""

    def __init__(self, on_write: Callable[[str, int], None]) -> None:
        self._on_write = on_write
        self._watches: list[int] = []
        self._internal = _PlcServer()
        self._server = Server(iserver=self._internal)
        self._nodes: dict[str, Node] = {}
        self.port = 0

    async def start(self, port: int, registers: dict[str, Change]) -> None:
        """Build the address space and listen on `port`, or on a free one where it is 0."""
        self.port = port or free_port()
        server = self._server
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        server.set_identity_tokens([ua.AnonymousIdentityToken])
        await self._add_nodes(await server.register_namespace(NAMESPACE), registers)
        await server.start()
        self._watch()

    async def publish(self, change: Change) -> None:
        """Show a value with its source timestamp."""
        stamp = cast("ua.DateTime", change.timestamp)
        value = ua.DataValue(
            ua.Variant(change.value, TYPES[change.name]),
            StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.Good)),
            SourceTimestamp=stamp,
            ServerTimestamp=stamp,
        )
        status = await self._internal.aspace.write_attribute_value(
            self._nodes[change.name].nodeid, AttributeIds.Value, value
        )
        status.check()

    async def go_down(self) -> None:
        """Close the listening socket and every connection; sessions and subscriptions end."""
        listener = self._server.bserver
        assert listener is not None  # noqa: S101 - between start and stop there is one
        await listener.stop()
        self._internal.asyncio_transports.clear()
        await self._internal.lose_sessions()

    async def come_up(self, start_time: datetime, registers: dict[str, Change]) -> None:
        """Listen on the same port again, newly started, with fresh stamps on every register."""
        await self._internal.set_start_time(start_time)
        self._unwatch()
        for change in registers.values():
            await self.publish(change)
        self._watch()
        old = self._server.bserver
        assert old is not None  # noqa: S101 - as above
        listener = BinaryServer(self._internal, "127.0.0.1", self.port, self._server.limits)
        listener.set_policies(old._policies)  # noqa: SLF001 - Server.start would add every endpoint a second time
        await listener.start()
        self._server.bserver = listener

    async def stop(self) -> None:
        """End for good."""
        await self._internal.lose_sessions()
        await self._server.stop()

    async def _add_nodes(self, index: int, registers: dict[str, Change]) -> None:
        objects = self._server.nodes.objects
        for name, kind in TYPES.items():
            identifier = ua.NodeId(ua.String(name), ua.Int16(index))
            browse_name = ua.QualifiedName(name.removeprefix("::"), index)
            node = await objects.add_variable(identifier, browse_name, registers[name].value, kind)
            self._nodes[name] = node
            if name in WRITABLE:
                await node.set_writable()
            await self.publish(registers[name])

    def _watch(self) -> None:
        """Be told what clients write; our own writes come before."""
        space = self._internal.aspace
        for name in WRITABLE:
            node = self._nodes[name].nodeid
            status, handle = space.add_datachange_callback(node, AttributeIds.Value, self._teller(name))
            status.check()
            self._watches.append(handle)

    def _unwatch(self) -> None:
        while self._watches:
            self._internal.aspace.delete_datachange_callback(self._watches.pop())

    def _teller(self, name: str) -> Callable[[int, ua.DataValue], Awaitable[None]]:
        async def told(_handle: int, written: ua.DataValue) -> None:
            if written.Value is not None:
                self._on_write(name, int(written.Value.Value))

        return told
