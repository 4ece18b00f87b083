"""Brokers for the tests: the one in memory and real ones in processes of their own, on ephemeral ports of loopback."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from iotcore import Broker as IotcoreBroker

from edge_agent.broker import Broker
from edge_agent.config.mqtt_reference import Mqtt
from edge_agent.mqtt.memory import MemoryBroker
from edge_agent.mqtt.network import Limits, PahoBroker
from tests.publishing.certificates import Authority
from tests.publishing.samples import tag_map

DEADLINE = 30.0

_RUMQTTD = """
id = 0
[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[{version}.1]
name = "{version}-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {max_payload}
max_inflight_count = 200
dynamic_filters = true
"""
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous {anonymous}
user root
max_inflight_messages {inflight}
max_queued_messages 0
{more}
"""


class AnyBroker(Protocol):
    """What the suites need of a broker, whichever it is."""

    def client(self, client_id: str, limits: Limits | None = None) -> Broker: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


class InMemory:
    """The fake, driven like the others."""

    def __init__(self) -> None:
        self.memory = MemoryBroker()

    def client(self, client_id: str, limits: Limits | None = None) -> Broker:
        return self.memory.client(client_id, (limits or Limits()).window)

    def kill(self) -> None:
        self.memory.stop()

    def start(self) -> None:
        self.memory.start()


class Mosquitto:
    """Debian's mosquitto. `more` are lines of its configuration, `settings` what the agent is told besides the port."""

    def __init__(
        self, folder: Path, *, inflight: int = 20, more: str = "", anonymous: bool = True, **settings: Any
    ) -> None:
        self.port = free_port()
        self._settings = settings
        self._config = folder / f"mosquitto-{self.port}.conf"
        allowed = str(anonymous).lower()
        self._config.write_text(_MOSQUITTO.format(port=self.port, inflight=inflight, more=more, anonymous=allowed))
        self._process: subprocess.Popen[bytes] | None = None

    def client(self, client_id: str, limits: Limits | None = None) -> Broker:
        return PahoBroker(self.settings(self.port), client_id, limits)

    def settings(self, port: int) -> Mqtt:
        """What the agent is told, at another port perhaps."""
        return replace(tag_map(port=port).mqtt, **self._settings)

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until_listening(self.port)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """End it as a service manager does: it saves what it persists."""
        self._end(signal.SIGTERM)

    def tell(self, number: signal.Signals) -> None:
        """SIGHUP reads the ACL anew."""
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class TlsMosquitto(Mosquitto):
    """A mosquitto that wants a certificate of everybody."""

    def __init__(self, folder: Path) -> None:
        authority = Authority(folder / "pki")
        cert, key = authority.issue("broker")
        files = f"cafile {authority.ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n"
        super().__init__(folder, more=files, tls=authority.client())


class Rumqttd:
    """The embedded broker of the demo; `version` v5 or v4, which is MQTT 3.1.1."""

    def __init__(self, folder: Path, *, max_payload: int = 262_144, version: str = "v5") -> None:
        self.port = free_port()
        self._config = folder / f"rumqttd-{self.port}.toml"
        self._config.write_text(_RUMQTTD.format(port=self.port, max_payload=max_payload, version=version))
        self._broker: IotcoreBroker | None = None

    def client(self, client_id: str, limits: Limits | None = None) -> Broker:
        return PahoBroker(tag_map(port=self.port).mqtt, client_id, limits)

    def start(self) -> None:
        self._broker = IotcoreBroker(config_path=str(self._config))
        self._broker.start()

    def kill(self) -> None:
        if self._broker is not None:
            self._broker.stop()
            self._broker = None


def has_mosquitto() -> bool:
    return shutil.which("mosquitto") is not None


def free_port() -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_listening(port: int, seconds: float = DEADLINE) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


async def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait for a condition with a generous deadline; timing decides nothing."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError as error:
        raise AssertionError(f"waited in vain until {what}") from error
