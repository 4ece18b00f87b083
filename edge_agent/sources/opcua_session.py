"""One OPC UA session from connect to loss: the services used, each with a time limit, every failure a SourceError.

asyncua's own reconnecting can end connected without monitored items, and its publish loop swallows errors and logs a
traceback a second (libraries.md). So a lost session is never revived: the source opens another, and `opcua_feed`
publishes. What no time limit bounds is decoding: `opcua_guard` does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_session import UaSession
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import BadNoSubscription, UaError, UaStatusCodeError, UaStructParsingError
from cryptography.exceptions import InvalidSignature

from edge_agent.config.devices import OpcUaSource
from edge_agent.errors import SourceError
from edge_agent.sources import opcua_guard
from edge_agent.sources.opcua_notifications import Published, decoded, usual
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_values import known_time, status_name

CHUNK: Final = 100
"""Nodes per request: an S7-1200 becomes 50 times slower beyond 200 (libraries.md)."""
REQUEST_SECONDS: Final = 4.0
_CLOSE_SECONDS: Final = 1.0
_SESSION_MILLISECONDS: Final = 30_000
_RENEW_AT: Final = 0.75
_LOGIN_REFUSALS: Final = frozenset(
    {StatusCodes.BadUserAccessDenied, StatusCodes.BadIdentityTokenRejected, StatusCodes.BadIdentityTokenInvalid}
)
_DECODING_FAULTS = (struct.error, ValueError, TypeError, LookupError, OverflowError, AttributeError, RecursionError)
"""What asyncua's decoder raises on bytes that are no valid message, besides its own errors."""


class SubscriptionBroken(SourceError):
    """The subscription can no longer be trusted to bring every change; the session can. Subscribe anew, read all."""


class _QuietSession(UaSession):
    """asyncua's session without its publish loop."""

    def ensure_publish_loop(self) -> None:
        """Publishing is the feed's."""

    async def published(self, acknowledge: list[ua.SubscriptionAcknowledgement]) -> Published:
        """Ask for the next notification or keep-alive and wait for it, as long as it takes.

        Raises UaStructParsingError where it cannot be decoded, UaStatusCodeError where the server refuses.
        """
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = acknowledge
        data = await self._send_request(request, timeout=0)
        if (found := usual(bytes(data))) is not None:
            return found
        try:
            response = struct_from_binary(ua.PublishResponse, data)
            response.ResponseHeader.ServiceResult.check()
            return decoded(response.Parameters)
        except UaStatusCodeError:
            raise
        except (UaError, *_DECODING_FAULTS) as error:
            raise UaStructParsingError from error


class LoginRefused(SourceError):
    """The server does not want this user, or not with this password."""


class _Client(Client):
    """asyncua's client, to which the login's policy is given instead of being looked for in what a server says."""

    tokens: Sequence[ua.UserTokenPolicy] = ()

    def server_policy(self, token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        """The policy of the login."""
        fitting = (policy for policy in self.tokens if policy.TokenType is token_type)
        return next(fitting, ua.UserTokenPolicy(TokenType=token_type))


class Session:
    """A session on the server of `source`, usable until it is lost and never again after that."""

    def __init__(self, source: OpcUaSource, security: Security) -> None:
        opcua_guard.install()
        logging.getLogger("asyncua").setLevel(logging.WARNING)
        logging.getLogger("asyncua.client").setLevel(logging.CRITICAL)  # every failure is reported here, once
        self._source = source
        self._security = security
        self._client = _Client(source.url, timeout=REQUEST_SECONDS, auto_reconnect=False)
        self._client.name = self._client.description = "edge-agent"
        self._client.application_uri = f"urn:{socket.gethostname()}:edge-agent"
        self._client.session_timeout = _SESSION_MILLISECONDS
        self._quiet = self._client.uaclient.session = _QuietSession(self._client.uaclient)
        self._renew_at = 0.0

    async def open(self, patience: float = REQUEST_SECONDS) -> None:
        """Connect, open the channel, create and activate the session; `patience` is for the first answer, in seconds.

        Raises SourceError; then nothing stays open.
        """
        client = self._client
        try:
            password = await self._security.password()
            advice = await self._secure(patience) if self._security.is_secured else ""
            async with self._asking("connect", patience):
                await client.connect_socket()
            async with self._asking("say hello", patience):
                await client.send_hello()
            async with self._asking("open a secure channel", advice=advice):
                await client.open_secure_channel()
            async with self._asking("create a session", advice=advice):
                created = await client.create_session()
            client.tokens = await self._security.tokens(created, client.security_policy)
            await self._log_in(password)
        except BaseException:
            await self.close()
            raise
        self._plan_renewal()

    async def close(self) -> None:
        """Say goodbye if the server still listens, and release the socket in any case."""
        protocol = self._client.uaclient.protocol
        transport = protocol.transport if protocol is not None else None
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    with _plain_cancellation():
                        await self._client.disconnect()
        finally:
            self._client.disconnect_socket()
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn

    async def start_time(self) -> datetime | None:
        """The server's StartTime; None where it does not say."""
        answer = (await self.read([_server_node(ObjectIds.Server_ServerStatus_StartTime)]))[0]
        value = answer.Value.Value if answer.Value is not None else None
        is_good = answer.StatusCode is None or answer.StatusCode.is_good()
        return known_time(value) if is_good and isinstance(value, datetime) else None

    async def namespaces(self) -> dict[str, int]:
        """Namespace URIs and their present indices."""
        answer = (await self.read([_server_node(ObjectIds.Server_NamespaceArray)]))[0]
        value = answer.Value.Value if answer.Value is not None else None
        if not isinstance(value, list) or not all(isinstance(uri, str) for uri in value):
            raise SourceError(f"{self._where}: the server does not say its namespaces")
        return {uri: index for index, uri in reversed(list(enumerate(value)))}

    async def read(self, nodes: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        """The present values, in one request per `CHUNK` nodes; a value that cannot be decoded is BadDecodingError."""
        values: list[ua.DataValue] = []
        for start in range(0, len(nodes), CHUNK):
            values += await self._read_isolating(nodes[start : start + CHUNK])
        return values

    async def write(self, values: Sequence[tuple[ua.NodeId, ua.DataValue]]) -> list[int]:
        """Write in one request, in this order; the status of each."""
        wanted = [ua.WriteValue(NodeId=node, AttributeId=AttributeIds.Value, Value=value) for node, value in values]
        async with self._asking("write"):
            statuses = await self._client.uaclient.write(ua.WriteParameters(NodesToWrite=wanted))
        self._check_length("write", wanted, statuses)
        return [int(status.value) for status in statuses]

    async def create_subscription(self, parameters: ua.CreateSubscriptionParameters) -> ua.CreateSubscriptionResult:
        """A new subscription, with what the server made of `parameters`."""
        async with self._asking("create a subscription"):
            return await self._client.uaclient.create_subscription(parameters, lambda _result: None)

    async def delete_subscription(self, identifier: int) -> None:
        """Delete a subscription; one that is gone already is no error."""
        async with self._asking("delete a subscription"):
            await self._client.uaclient.delete_subscriptions([identifier])

    async def create_items(
        self, subscription: int, items: Sequence[ua.MonitoredItemCreateRequest]
    ) -> list[ua.MonitoredItemCreateResult]:
        """Monitor items, in one request per `CHUNK`; each result has its own status."""
        results: list[ua.MonitoredItemCreateResult] = []
        for start in range(0, len(items), CHUNK):
            chunk = list(items[start : start + CHUNK])
            parameters = ua.CreateMonitoredItemsParameters(
                SubscriptionId=ua.IntegerId(subscription),
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=chunk,
            )
            async with self._asking("create monitored items"):
                made = await self._client.uaclient.create_monitored_items(parameters)
            self._check_length("create monitored items", chunk, made)
            results += made
        return results

    async def delete_items(self, subscription: int, items: Sequence[int]) -> None:
        """Stop monitoring items; those that are gone already are no error."""
        for start in range(0, len(items), CHUNK):
            parameters = ua.DeleteMonitoredItemsParameters(
                SubscriptionId=ua.IntegerId(subscription),
                MonitoredItemIds=[ua.IntegerId(item) for item in items[start : start + CHUNK]],
            )
            async with self._asking("delete monitored items"):
                await self._client.uaclient.delete_monitored_items(parameters)

    async def publish(self, acknowledge: list[ua.SubscriptionAcknowledgement], seconds: float) -> Published:
        """Wait at most `seconds` for the next notification or keep-alive.

        Raises SubscriptionBroken where the notification cannot be decoded or the server knows no subscription, else
        SourceError: nothing came, so the session is lost.
        """
        try:
            async with self._asking("publish", seconds):
                return await self._quiet.published(acknowledge)
        except SourceError as error:
            if isinstance(error.__cause__, UaStructParsingError):
                raise SubscriptionBroken("a notification cannot be decoded") from error
            if isinstance(error.__cause__, BadNoSubscription):
                raise SubscriptionBroken("the server has no subscription of ours") from error
            raise

    async def pulse(self) -> None:
        """See that the server answers; renew the secure channel when due."""
        await self.read([_server_node(ObjectIds.Server_ServerStatus_State)])
        if asyncio.get_running_loop().time() >= self._renew_at:
            async with self._asking("renew the secure channel"):
                await self._client.open_secure_channel(renew=True)
            self._client.uaclient.revolve_security_token()
            self._plan_renewal()

    @property
    def _where(self) -> str:
        return f"{self._source.name} ({self._source.url})"

    async def _log_in(self, password: str | None) -> None:
        try:
            async with self._asking("activate the session"):
                await self._client.activate_session(username=self._source.user, password=password)
        except SourceError as error:
            if isinstance(error.__cause__, UaStatusCodeError) and error.__cause__.code in _LOGIN_REFUSALS:
                raise LoginRefused(str(error)) from error
            raise

    async def _secure(self, patience: float) -> str:
        """Secure the channel before anything is said through it; what to do if the server does not want us then."""
        own = await self._security.own()
        discovery = Client(self._source.url, timeout=patience, auto_reconnect=False)
        try:
            async with self._asking("ask for its endpoints", 2 * patience):
                endpoints = await discovery.connect_and_get_server_endpoints()
        finally:
            discovery.disconnect_socket()
            await asyncio.sleep(0)  # the loop closes the socket in its next turn
        policy = await self._security.channel(endpoints, own)
        self._client.application_uri = own.uri
        self._client.security_policy = policy  # type: ignore[assignment]  # asyncua infers the type of its default
        self._client.uaclient.set_security(policy)
        return f"; if the server does not trust the agent yet, have it trust {own.place}"

    def _plan_renewal(self) -> None:
        """A channel is renewed after 75 % of its lifetime (OPC 10000-4, 5.6.2.1)."""
        lifetime = self._client.secure_channel_timeout / 1000
        self._renew_at = asyncio.get_running_loop().time() + _RENEW_AT * lifetime

    async def _read_isolating(self, nodes: Sequence[ua.NodeId]) -> list[ua.DataValue]:
        """Read; where the answer cannot be decoded, halve until the node that spoils it stands alone."""
        parameters = ua.ReadParameters(
            MaxAge=ua.Duration(0),
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            NodesToRead=[ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value) for node in nodes],
        )
        try:
            async with self._asking("read"):
                values = await self._client.uaclient.read(parameters)
        except SourceError as error:
            if not _is_undecodable(error.__cause__):
                raise
            if len(nodes) == 1:
                return [ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadDecodingError)))]
            half = len(nodes) // 2
            return [*await self._read_isolating(nodes[:half]), *await self._read_isolating(nodes[half:])]
        self._check_length("read", nodes, values)
        return values

    def _check_length(self, doing: str, asked: Sequence[object], answered: Sequence[object] | None) -> None:
        if answered is None or len(answered) != len(asked):
            raise SourceError(f"{self._where}: {doing}: the answer does not fit the request")

    @asynccontextmanager
    async def _asking(self, doing: str, seconds: float = REQUEST_SECONDS, *, advice: str = "") -> AsyncIterator[None]:
        """Bound a request in time, and say what went wrong in one form, with `advice`.

        A cancellation that comes together with the answer is swallowed on the way (`asyncio.wait_for` before 3.12, in
        asyncua): it is made up for here.
        """
        before = _cancellations()
        try:
            async with asyncio.timeout(seconds):
                with _plain_cancellation():
                    yield
                if _cancellations() > before:
                    raise asyncio.CancelledError
        except TimeoutError as error:
            raise SourceError(f"{self._where}: {doing}: no answer in time{advice}") from error
        except UaStatusCodeError as error:
            raise SourceError(f"{self._where}: {doing}: {status_name(error.code)}{advice}") from error
        except (OSError, UaError, InvalidSignature, *_DECODING_FAULTS) as error:
            raise SourceError(f"{self._where}: {doing}: {str(error) or type(error).__name__}{advice}") from error


@contextmanager
def _plain_cancellation() -> Iterator[None]:
    """`asyncio.timeout` knows its own cancellation by its exact type; asyncua's way of waiting raises another."""
    try:
        yield
    except asyncio.CancelledError as cancelled:
        raise asyncio.CancelledError from cancelled


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _server_node(identifier: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(identifier), ua.Int16(0), ua.NodeIdType.Numeric)


def _is_undecodable(error: BaseException | None) -> bool:
    """Whether an answer came that is no valid message; a status code is an answer, and a lost connection is none."""
    if isinstance(error, UaStatusCodeError | OSError):
        return False
    return isinstance(error, (UaError, *_DECODING_FAULTS))
