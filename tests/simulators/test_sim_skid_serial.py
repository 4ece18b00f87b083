"""The skid on a serial line: RTU frames by hand say what TCP says, and faults are as named."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from edge_agent_simulators.control import Process
from edge_agent_simulators.skid_frames import crc
from tests.simulators.modbus_by_hand import DOSED, SHORT, Line, Wire, one_word

Starter = Callable[..., Awaitable[Process]]


async def test_the_serial_line_tells_what_tcp_tells(start: Starter) -> None:
    skid = await start("skid", "--serial", "pty", "--dosed", 70_000)
    with Line.to(skid.ready["serial"]) as line:
        line.send(DOSED)
        answer = await line.receive(9)
        assert (answer[:-2].hex(), answer[-2:]) == ("01030411700001", crc(answer[:-2]))
        line.send(DOSED, unit=2)
        assert await line.receive(1, SHORT) == b""
    with Line.to(skid.ready["serial"]) as again:
        again.send(bytes.fromhex("0300630001"))
        assert (await again.receive(5))[:3] == b"\x01\x83\x02"
    async with Wire.to(skid) as wire:
        assert await wire.dosed() == 70_000


async def test_faults_of_the_serial_line(start: Starter) -> None:
    skid = await start("skid", "--serial", "pty", "--dosed", 70_000)
    with Line.to(skid.ready["serial"]) as line:
        await skid.ask("inject", fault="bad_crc")
        line.send(DOSED)
        answer = await line.receive(9)
        assert answer[-2:] != crc(answer[:-2])
        await skid.ask("inject", fault="late")
        line.send(DOSED)
        assert await line.receive(1, SHORT) == b""
        line.send(one_word(100))
        both = await line.receive(16)
        assert (both[2], both[11]) == (4, 2)
        await skid.ask("inject", fault="restart", down=60)
        line.send(DOSED)
        assert await line.receive(9, SHORT) == b""


async def test_the_serial_line_may_be_a_tty_of_anybody(start: Starter) -> None:
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    try:
        await start("skid", "--serial", os.ttyname(theirs), "--dosed", 70_000)
        line = Line(ours)
        line.send(DOSED)
        assert (await line.receive(9))[3:7].hex() == "11700001"
    finally:
        os.close(ours)
        os.close(theirs)
