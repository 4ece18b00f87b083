"""`edge-agent run` as a service, without systemd: ready without plant and broker, probes, metrics, a clean end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge_agent.store.reader import open_reader
from edge_agent.telemetry.catalogue import METRICS
from tests.kill.harness import duplicates, plant, violations
from tests.service.manager import Manager, manager

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
_MAP = Path(__file__).parents[2] / "config" / "bottling-line.yaml"


@asynccontextmanager
async def running(
    systemd: Manager, data: Path, *arguments: str, tag_map: Path = _MAP
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent", "run", "--config", str(tag_map), "--data", str(data), *arguments),
        env={**os.environ, **systemd.environment},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await systemd.until(lambda said: "READY=1" in said)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def _get(port: int, path: str) -> str:
    def get() -> str:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return str(answer.read().decode())
        except HTTPError as refusal:
            with refusal:
                return str(refusal.read().decode())

    return await asyncio.to_thread(get)


async def test_ready_alive_and_measured_without_plant_and_broker(tmp_path: Path) -> None:
    port = _free_port()
    with manager(tmp_path / "notify", watchdog_seconds=3) as systemd:
        async with running(systemd, tmp_path / "data", "--metrics", f"127.0.0.1:{port}") as process:
            await systemd.until(lambda said: said.count("WATCHDOG=1") > 2)
            assert await _get(port, "/-/ready") == "ok\n"
            async with asyncio.timeout(60):  # a busy machine may stand still for the watchdog's three seconds
                while await _get(port, "/-/healthy") != "ok\n":
                    await asyncio.sleep(0.1)
            families = {one.name: one for one in text_string_to_metric_families(await _get(port, "/metrics"))}
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
        assert (process.returncode, systemd.hear()[-1]) == (0, "STOPPING=1")
        assert "STATUS=0/8 tags good · 0 waiting · 0 to review" in systemd.said
    assert b"Traceback" not in err
    assert {name.removeprefix("edge_agent_") for name in families} <= set(METRICS)
    assert families["edge_agent_progress"].samples[0].value == 1
    assert {sample.labels["stream"] for sample in families["edge_agent_outbox_pending"].samples} == {
        "bulk",
        "critical",
        "ops",
        "routine",
    }


async def test_a_running_line_shows_in_status_and_metrics(tmp_path: Path) -> None:
    port = _free_port()
    async with plant(tmp_path, seed=12) as made:
        with manager(tmp_path / "notify") as systemd:
            tag_map = tmp_path / "line.yaml"
            async with running(systemd, made.data, "--metrics", f"127.0.0.1:{port}", tag_map=tag_map):
                await systemd.until(lambda said: any("8/8 tags good" in line for line in said))
                wanted = {
                    "edge_agent_readings_total": 8,
                    "edge_agent_movements_total": 1,
                    "edge_agent_commit_seconds_count": 1,
                    "edge_agent_acknowledged_total": 1,
                    "edge_agent_publish_latency_seconds_count": 1,
                    "edge_agent_broker_up": 1,
                    "edge_agent_source_up": 1,
                    "edge_agent_tags_good": 8,
                }
                found: Counter[str] = Counter()

                async def counted() -> bool:
                    found.clear()
                    for family in text_string_to_metric_families(await _get(port, "/metrics")):
                        for sample in family.samples:
                            found[sample.name] += int(sample.value)
                    return all(found[name] >= least for name, least in wanted.items())

                await made.until(counted)
                assert (found["edge_agent_dropped_total"], found["edge_agent_rejected_total"]) == (0, 0)
                assert {name for name in found if name.endswith("_bucket")} == {
                    "edge_agent_commit_seconds_bucket",
                    "edge_agent_publish_latency_seconds_bucket",
                }


async def test_a_taken_port_for_metrics_does_not_stop_the_agent(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, manager(tmp_path / "notify") as systemd:
        port = taken.getsockname()[1]
        async with running(systemd, tmp_path / "data", "--metrics", f"127.0.0.1:{port}") as process:
            before = len(systemd.hear())
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
        assert (process.returncode, before > 0) == (0, True)
    assert b'component="task metrics"' in err
    assert b"address already in use" in err


@pytest.mark.parametrize("address", ["9464", "localhost:", ":1", "localhost:0", "localhost:70000", "localhost:x"])
async def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent", "run", "--config", str(_MAP), "--data", str(tmp_path)),
        *("--metrics", address),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert process.returncode == 2
    assert b"HOST:PORT" in err


async def test_sigterm_under_load_loses_doubles_and_cuts_nothing(tmp_path: Path) -> None:
    async with plant(tmp_path, seed=11) as made:
        pending = 0
        for _ in range(4):
            await made.run()
            await asyncio.sleep(1)
            assert await made.agent.ask("stop") == {"ended": True, "code": 0}
            with open_reader(made.data / "edge-agent.db") as reader:
                pending += any(reader.pending().values())
        assert pending, "every stop cut what was pending"
        await made.settle()
        assert await violations(made, replays_allowed=False) == []
        assert await duplicates(made) == 0, "a clean end awaits what is in flight, and marks it"
        assert "Traceback" not in made.log()
