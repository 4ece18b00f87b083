"""One way to Modbus devices: a TCP connection, or a serial line that several share (the only import of pymodbus).

One request at a time. Whatever goes wrong ends the connection, so an answer that comes too late finds nobody. A serial
line cannot be ended: there the device is first asked to return a query of ours that no other looks like (function 8),
and what comes before that is thrown away.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import termios
from typing import Final
from urllib.parse import urlsplit

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest, WriteSingleCoilRequest
from pymodbus.pdu.diag_message import ReturnQueryDataRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from edge_agent.config.devices import ModbusSource, Parity
from edge_agent.errors import SourceError
from edge_agent.sources.modbus_frames import Expected, Kind, Verdict, crc, exception_name
from edge_agent.sources.modbus_plan import Block

_READS: Final[dict[str, type[ModbusPDU]]] = {
    "co": ReadCoilsRequest,
    "di": ReadDiscreteInputsRequest,
    "hr": ReadHoldingRegistersRequest,
    "ir": ReadInputRegistersRequest,
}
_PARITIES: Final = {Parity.NONE: "N", Parity.EVEN: "E", Parity.ODD: "O"}
_ERROR: Final = 0x80
_CHARACTER_BITS: Final = 11
_QUIET: Final = 3
"""How many times longer than an answer may take it is waited for on a serial line, before the next request."""
_SHORTEST_REST: Final = 0.00175
"""Seconds of silence between two frames above 19,200 baud (Modbus over Serial Line V1.02, 2.5.1.1)."""


class Unreachable(SourceError):
    """The device cannot be connected to, or has ended the connection."""


class NoAnswer(SourceError):
    """The device answered too late, wrongly or not at all."""


class Refused(SourceError):
    """The device answered with an exception; `code` says which (Modbus Application Protocol V1.1b3, 7)."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: {exception_name(code)}")
        self.code = code


class Wire:
    """The way to the device or devices at `source.url`."""

    def __init__(self, source: ModbusSource) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # every failure is reported by the source, once
        self._url = source.url
        self._serial = source.serial
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._one_at_a_time = asyncio.Lock()
        self._expected: Expected | None = None
        self._answer: asyncio.Future[Verdict] | None = None
        self._sent = self._got = b""
        self._in_doubt_until = 0.0

    async def read(self, unit_id: int, block: Block, within: float) -> bytes:
        """The octets of a block's registers or bits. Raises Unreachable, NoAnswer, Refused."""
        request = _READS[block.table](dev_id=unit_id, address=block.start, count=block.count)
        return await self._ask(request, block.octets, within, f"reading {block}")

    async def write(self, unit_id: int, start: int, octets: bytes, within: float) -> None:
        """Write holding registers from `start` on, in one request. Raises Unreachable, NoAnswer, Refused."""
        registers = [int.from_bytes(octets[at : at + 2], "big") for at in range(0, len(octets), 2)]
        kind = WriteSingleRegisterRequest if len(registers) == 1 else WriteMultipleRegistersRequest
        request = kind(dev_id=unit_id, address=start, registers=registers)
        await self._ask(request, None, within, f"writing hr{start}")

    async def write_coil(self, unit_id: int, start: int, *, on: bool, within: float) -> None:
        """Write one coil. Raises Unreachable, NoAnswer, Refused."""
        request = WriteSingleCoilRequest(dev_id=unit_id, address=start, bits=[on])
        await self._ask(request, None, within, f"writing co{start}")

    async def close(self) -> None:
        """End the connection; the next request opens it anew."""
        async with self._one_at_a_time:
            await self._end()

    async def _ask(self, request: ModbusPDU, octets: int | None, within: float, what: str) -> bytes:
        async with self._one_at_a_time:
            try:
                await self._open(within)
                if asyncio.get_running_loop().time() < self._in_doubt_until:
                    await self._clear(request.dev_id, within)
                verdict = await self._exchange(request, octets, within, what)
            except BaseException:
                await self._end()
                raise
        if verdict.kind is Kind.REFUSAL:
            raise Refused(f"{self._url} {what}", verdict.code)
        return verdict.octets

    async def _exchange(self, request: ModbusPDU, octets: int | None, within: float, what: str) -> Verdict:
        """One request and its answer; anything else raises."""
        client = self._client
        if client is None:
            raise Unreachable(f"{self._url}: not connected")
        if self._serial is not None:
            await asyncio.sleep(max(_SHORTEST_REST, 3.5 * _CHARACTER_BITS / self._serial.baud))
        self._answer, self._got = asyncio.get_running_loop().create_future(), b""
        try:
            self._expected = None
            await client.execute(True, request)  # noqa: FBT003 - pymodbus sends it; the answer is judged in `_judge`
            self._expected = Expected(self._sent, octets, serial=self._serial is not None)
            if self._serial is not None:
                self._in_doubt_until = asyncio.get_running_loop().time() + _QUIET * within
            async with asyncio.timeout(within):
                verdict = await self._answer
        except TimeoutError as error:
            heard = f"only {self._got.hex(' ')}" if self._got else "no answer"
            raise NoAnswer(f"{self._url} {what}: {heard} within {within:g} s") from error
        except ModbusException as error:
            raise Unreachable(f"{self._url} {what}: {error}") from error
        finally:
            self._answer = None
        if verdict.kind is Kind.WRONG:
            raise NoAnswer(f"{self._url} {what}: {verdict.why}")
        self._in_doubt_until = 0.0
        return verdict

    async def _open(self, within: float) -> None:
        if self._client is not None:
            if self._client.connected:
                return
            raise Unreachable(f"{self._url}: the device has ended the connection")
        client = self._new_client(within)
        try:
            connected = await client.connect()
        except (OSError, ValueError, termios.error) as error:  # pyserial's SerialException is an OSError
            raise Unreachable(f"{self._url} cannot be opened: {error}") from error
        if not connected:
            client.close()
            raise Unreachable(f"{self._url} cannot be connected to (tried for {within:g} s at the most)")
        self._client = client

    def _new_client(self, within: float) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        where = urlsplit(self._url)
        if self._serial is None:
            return AsyncModbusTcpClient(
                where.hostname or "",
                port=where.port or 502,
                timeout=within,
                retries=0,
                reconnect_delay=0,
                trace_packet=self._trace,
                trace_connect=self._connection,
            )
        return AsyncModbusSerialClient(
            where.path,
            baudrate=self._serial.baud,
            parity=_PARITIES[self._serial.parity],
            stopbits=self._serial.stop_bits,
            timeout=within,
            retries=0,
            reconnect_delay=0,
            trace_packet=self._trace,
            trace_connect=self._connection,
        )

    async def _clear(self, unit_id: int, within: float) -> None:
        """Throw away what may still be on its way: all that comes before the answer to a query of our own.

        A device that does not know the query refuses it, which will do. One that is silent has `_QUIET` times as long
        as an answer may take to be so, then its late answer is past. Raises NoAnswer until then.
        """
        client, query = self._client, ReturnQueryDataRequest(secrets.token_bytes(2), dev_id=unit_id)
        if client is None:
            return
        self._expected, self._got = None, b""
        await client.execute(True, query)  # noqa: FBT003 - the answer is looked for below
        refusal = bytes([unit_id, query.function_code | _ERROR])
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while loop.time() < until:
            at = self._got.find(refusal)
            refused = at >= 0 and crc(self._got[at : at + 3]) == self._got[at + 3 : at + 5]
            if self._sent in self._got or refused:
                self._in_doubt_until = 0.0
                return
            await asyncio.sleep(min(_SHORTEST_REST, within))
        raise NoAnswer(f"{self._url}: unit {unit_id} is silent")

    def _trace(self, sending: bool, packet: bytes) -> bytes:  # noqa: FBT001 - pymodbus calls it so
        """Every packet passes here; those received stay here, since pymodbus would take what is not the answer."""
        if sending:
            self._sent = packet
            return packet
        self._got = packet
        if self._answer is None or self._answer.done() or self._expected is None:
            return b""
        verdict = self._expected.judge(packet)
        if verdict.kind is not Kind.PART:
            self._answer.set_result(verdict)
        return b""

    def _connection(self, up: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
        if not up and self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unreachable(f"{self._url}: the device has ended the connection"))

    async def _end(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        transport = client.ctx.transport
        client.close()
        if isinstance(transport, asyncio.Transport):
            transport.abort()
        await asyncio.sleep(0)
