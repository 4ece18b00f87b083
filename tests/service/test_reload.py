"""SIGHUP on the running agent: a good map is in force without a lost reading, a bad one changes nothing."""

from __future__ import annotations

import asyncio
import signal
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.control import ask
from edge_agent.errors import ControlError
from edge_agent.store.reader import DATABASE_NAME, open_reader
from tests.service.manager import Manager, manager
from tests.service.test_run import running
from tests.sources.modbus_device import ModbusDevice

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

MAP = """\
schema: 1
agent: skid-edge
line: {{enterprise: acme, site: berlin}}
calendar: {{time_zone: Europe/Berlin, day_starts: "06:00"}}
mqtt: {{url: "mqtt://127.0.0.1:9", root: mat}}
buffer: {{max_size: 64 MiB, keep_sent: 1 d}}
sources:
  tanks: {{modbus: "{url}", unit_id: 1, order: CDAB, poll: 50 ms}}
tags:
  tanks: {{dosed: {{at: "hr104", type: uint32, unit: kg, scale: "0.1"}}}}
units: {{kg: {{code: KGM}}}}
materials: {{"100200": {{name: Base syrup, class: bulk, unit: kg}}}}
cadence: {{bulk: {{send: every 1 h, stream: bulk}}}}
movements:
  syrup_used:
    event: consumed
    material: "100200"
    from: L3-SYRUP
    counter: {{tag: tanks.dosed, wraps_at: 4294967296, max_rate: 5000 kg/s, settle: 1 s, resets: [restart]}}
"""


class Plant:
    """A totalizer on Modbus, and the agent that counts it."""

    def __init__(
        self, folder: Path, device: ModbusDevice, systemd: Manager, process: asyncio.subprocess.Process
    ) -> None:
        self.map, self.data = folder / "map.yaml", folder / "data"
        self.device = device
        self.systemd = systemd
        self._process = process
        self._reloads = 0

    def show(self, count: int) -> None:
        self.device.put(104, struct.pack(">HH", count & 0xFFFF, count >> 16))

    async def reload(self, text: str) -> None:
        self.map.write_text(text)
        self._process.send_signal(signal.SIGHUP)
        self._reloads += 1
        await self.systemd.until(lambda said: said.count("READY=1") > self._reloads)

    async def until(self, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait for what the agent says of itself."""
        async with asyncio.timeout(60):
            while True:
                try:
                    status = await asyncio.to_thread(ask, self.data, "status")
                    if condition(status):
                        return status
                except ControlError:
                    pass
                await asyncio.sleep(0.02)

    async def counted(self, raw: int, rule: str = "syrup_used") -> None:
        await self.until(lambda status: status["rules"]["last"].get(rule) == raw)

    async def booked(self) -> dict[str, str]:
        await asyncio.to_thread(ask, self.data, "cut")
        with open_reader(self.data / DATABASE_NAME) as reader:
            assert reader.imbalances() == []
            assert reader.reviews() == []
            return {key: f"{total:f}" for key, total in reader.totals().items()}


@asynccontextmanager
async def plant(folder: Path) -> AsyncIterator[tuple[Plant, str]]:
    device = ModbusDevice()
    await device.start()
    device.put(104, struct.pack(">HH", 1000, 0))
    text = MAP.format(url=device.url)
    (folder / "map.yaml").write_text(text)
    try:
        with manager(folder / "notify") as systemd:
            async with running(systemd, folder / "data", "--metrics", "none", tag_map=folder / "map.yaml") as process:
                made = Plant(folder, device, systemd, process)
                await made.counted(1000)
                yield made, text
    finally:
        await device.stop()


async def test_a_good_map_is_in_force_and_the_sessions_go_on(tmp_path: Path) -> None:
    async with plant(tmp_path) as (made, text):
        made.show(1010)
        await made.counted(1010)
        await made.reload(text.replace("every 1 h", "every 1 s"))
        made.show(1025)
        await made.counted(1025)
        await made.until(lambda status: any(stream["head"] for stream in status["streams"].values()))
        assert made.device.accepted == 1, "the connection went on"
        assert await made.booked() == {"consumed/100200//L3-SYRUP": "2.5"}


async def test_a_renamed_rule_goes_on_counting(tmp_path: Path) -> None:
    async with plant(tmp_path) as (made, text):
        made.show(1010)
        await made.counted(1010)
        await made.reload(text.replace("  syrup_used:\n", "  dosed_syrup:\n    was: syrup_used\n"))
        made.show(1025)
        await made.counted(1025, "dosed_syrup")
        assert made.device.accepted == 1
        assert await made.booked() == {"consumed/100200//L3-SYRUP": "2.5"}


async def test_a_changed_source_begins_a_new_session_and_misses_nothing(tmp_path: Path) -> None:
    """Modbus cannot prove that the device did not restart meanwhile: the map says that it may be booked."""
    async with plant(tmp_path) as (made, text):
        book = text.replace("stream: bulk", "stream: bulk, unproven: book")
        await made.reload(book)
        made.show(1010)
        await made.counted(1010)
        await made.reload(book.replace("poll: 50 ms", "poll: 60 ms"))
        made.show(1025)
        await made.counted(1025)
        assert made.device.accepted == 2
        assert await made.booked() == {"consumed/100200//L3-SYRUP": "2.5"}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("max_rate: 5000 kg/s", "max_rate: 5000 parsecs", "map.yaml:19:"),
        ("agent: skid-edge", "agent: other", "agent: a running agent cannot change these; restart the service"),
        ("127.0.0.1:9", "127.0.0.1:10", "mqtt: a running agent cannot change these; restart the service"),
    ],
)
async def test_a_refused_map_changes_nothing_and_says_why(tmp_path: Path, old: str, new: str, why: str) -> None:
    async with plant(tmp_path) as (made, text):
        await made.reload(text.replace(old, new))
        made.show(1010)
        await made.counted(1010)
        assert await made.booked() == {"consumed/100200//L3-SYRUP": "1"}
        with open_reader(made.data / DATABASE_NAME) as reader:
            rows = reader._connection.execute(
                "SELECT detail FROM audit WHERE action = 'configuration refused'"
            ).fetchall()
        assert len(rows) == 1
        assert why in rows[0][0]
