"""A real broker in a process of its own, and the agent's log behind a real connection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.receiver.agent_log import PREFIX, AgentLog, Sent

DEADLINE = 30.0
_ROOT = Path(__file__).parents[2]
PYTHONPATH = os.pathsep.join([str(_ROOT), str(_ROOT / "simulators")])


def has_mosquitto() -> bool:
    return shutil.which("mosquitto") is not None


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait for a condition with a generous deadline; timing decides nothing."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


class BrokerProcess:
    """iotcore or mosquitto on 127.0.0.1; `port` stays the same when it is started again."""

    def __init__(self, kind: str = "iotcore") -> None:
        self._kind = kind
        self.port = 0
        self.port_v3 = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_agent_simulators.broker", "--kind", self._kind]
        if self.port:
            command += ["--port", str(self.port), "--port-v3", str(self.port_v3)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.port, self.port_v3 = ready["port"], ready["port_v3"]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


class WireAgent:
    """Publishes events of its log and answers commands over MQTT 3.1.1 or 5."""

    def __init__(self, log: AgentLog, port: int, *, modern: bool = True) -> None:
        self.log = log
        self._port = port
        self._subscribed = threading.Event()
        version = paho.MQTTv5 if modern else paho.MQTTv311
        self._client = paho.Client(CallbackAPIVersion.VERSION2, f"agent-{log.agent}-{log.store}", protocol=version)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/_gateway/{log.agent}/cmd/+", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._command
        self._client.reconnect_delay_set(1, 1)

    def __enter__(self) -> WireAgent:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_connect = self._client.on_subscribe = self._client.on_message = None

    def publish(self, messages: Iterable[Sent | tuple[str, bytes]]) -> bool:
        """Publish with QoS 1 and wait for the broker's word; true."""
        wires = [message.wire if isinstance(message, Sent) else message for message in messages]
        for info in [self._client.publish(topic, payload, qos=1) for topic, payload in wires]:
            info.wait_for_publish(DEADLINE)
        return True

    def heartbeat(self) -> bool:
        """Tell how far the log has got; true, so that a condition may say it again and again."""
        return self.publish([self.log.heartbeat()])

    def _command(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        for topic, payload in self.log.command(message.topic, bytes(message.payload)):
            client.publish(topic, payload, qos=1)
