"""MQTT brokers that are not ours, each in processes of the test's own, on 127.0.0.1 and ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.publishing.brokers import free_port, wait_until_listening

_RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""The server itself: Debian's wrapper in the path changes the user."""
_SECONDS = 90.0
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
user root
persistence true
persistence_location {folder}/
max_queued_messages 0
{more}
"""
_NATS = """
server_name: interop
listen: "127.0.0.1:{client_port}"
jetstream {{ store_dir: "{folder}" }}
mqtt {{ listen: "127.0.0.1:{port}" }}
"""
_RABBITMQ_CONF = """
listeners.tcp = none
mqtt.listeners.tcp.default = 127.0.0.1:{port}
mqtt.allow_anonymous = true
"""


class Peer:
    """A broker that can be killed and started again with what it has on disk."""

    def __init__(self, command: list[str], port: int, environment: Mapping[str, str], helpers: list[list[str]]) -> None:
        self.port = port
        self._command = command
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._helpers = [self._spawn(helper) for helper in helpers]

    def start(self) -> None:
        """Returns once it takes connections."""
        self._process = self._spawn(self._command)
        wait_until_listening(self.port, _SECONDS)

    def kill(self) -> None:
        """kill -9 of everything it started."""
        if self._process is not None:
            _end(self._process)
            self._process = None

    def close(self) -> None:
        """End it with what it needs beside it."""
        self.kill()
        for helper in self._helpers:
            _end(helper)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            command, env=self._environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _mosquitto(folder: Path, more: str = "") -> Peer:
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(_MOSQUITTO.format(port=port, folder=folder, more=more))
    return Peer(["mosquitto", "-c", str(config)], port, {}, [])


def _mosquitto_saving(folder: Path) -> Peer:
    return _mosquitto(folder, "autosave_on_changes true\nautosave_interval 1\n")


def _nats(folder: Path) -> Peer:
    port = free_port()
    config = folder / "nats.conf"
    config.write_text(_NATS.format(port=port, client_port=free_port(), folder=folder / "jetstream"))
    return Peer(["nats-server", "-c", str(config)], port, {}, [])


def _rabbitmq(folder: Path) -> Peer:
    """Its name server (epmd) too is our own process: started by the broker it would outlive the test."""
    port, names = free_port(), free_port()
    (folder / "rabbitmq.conf").write_text(_RABBITMQ_CONF.format(port=port))
    (folder / "enabled_plugins").write_text("[rabbitmq_mqtt].\n")
    environment = {
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": f"interop{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
    }
    return Peer([str(_RABBITMQ)], port, environment, [["epmd", "-address", "127.0.0.1", "-port", str(names)]])


PEERS: dict[str, Callable[[Path], Peer]] = {
    "mosquitto": _mosquitto,
    "mosquitto, autosave_on_changes": _mosquitto_saving,
    "NATS": _nats,
    "RabbitMQ": _rabbitmq,
}
_NEEDED = {"NATS": ["nats-server"], "RabbitMQ": [str(_RABBITMQ), "epmd"]}


def missing(name: str) -> str | None:
    """What this machine lacks for the peer, as the reason of a skip."""
    absent = [program for program in _NEEDED.get(name, ["mosquitto"]) if shutil.which(program) is None]
    return f"NOT RUN: {', '.join(absent)} not installed" if absent else None


def version(name: str) -> str:
    """The peer's version as its program or its package says it; `unknown` where neither does."""
    if name == "RabbitMQ":
        found = list(_RABBITMQ.parents[1].glob("lib/rabbitmq_server-*"))
        return found[0].name.partition("-")[2] if found else "unknown"
    command = ["nats-server", "--version"] if name == "NATS" else ["mosquitto", "-h"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return match[0] if match else "unknown"
