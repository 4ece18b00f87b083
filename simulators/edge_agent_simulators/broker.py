"""The MQTT broker as a process of its own: `python -m edge_agent_simulators.broker --port 0`.

`iotcore` (rumqttd inside; comes with the package) runs in this very process, so that one kill ends it and frees its
ports. `mosquitto`, where it is installed, is a child that dies with this process. Both listen on 127.0.0.1 only and
keep nothing across a restart: what a receiver misses then it asks the agent for.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from iotcore import IotCoreBroker

from edge_agent_simulators.service import free_port, log_to_stderr, serve

_LARGEST_MESSAGE = 262_144
_READY_SECONDS = 10.0
_LISTENER = """
[{version}.1]
name = "{version}-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[{version}.1.connections]
connection_timeout_ms = 60000
max_payload_size = {largest}
max_inflight_count = 200
dynamic_filters = true
"""
_ROUTER = """
id = 0
[router]
id = 0
max_connections = 64
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
"""
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages 100
user root
log_type error
"""
"""`user root` only says that it must not change its user: the kernel would forget to kill it with its parent."""


def mosquitto() -> str | None:
    """Where mosquitto is installed; None where it is not."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def iotcore_settings(port: int, port_v3: int) -> str:
    """rumqttd's TOML: MQTT 5 on `port`, MQTT 3.1.1 on `port_v3`."""
    listeners = (
        _LISTENER.format(version=version, port=number, largest=_LARGEST_MESSAGE)
        for version, number in (("v5", port), ("v4", port_v3))
    )
    return _ROUTER + "".join(listeners)


def _start_iotcore(folder: Path, port: int, port_v3: int) -> None:
    """Start the broker on a thread: it has no way to be stopped but the end of the process."""
    settings = folder / "broker.toml"
    settings.write_text(iotcore_settings(port, port_v3), encoding="ascii")
    # rumqttd routes inside error spans: everything it traces would be printed as an error
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    broker = IotCoreBroker(config_path=str(settings))
    broker.check_ports()
    threading.Thread(target=broker.run_forever, name="broker", daemon=True).start()


def _start_mosquitto(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start mosquitto; the kernel kills it when this process dies, however that happens."""
    program = mosquitto()
    if program is None:
        msg = "mosquitto is not installed: apt install mosquitto, or use --kind iotcore"
        raise SystemExit(msg)
    settings = folder / "mosquitto.conf"
    settings.write_text(_MOSQUITTO.format(port=port), encoding="ascii")
    command = ["setpriv", "--pdeathsig", "KILL", program, "-c", str(settings)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr)  # noqa: S603 - fixed arguments


def _wait_for(port: int, child: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while child is None or child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                msg = f"the broker does not listen on port {port} after {_READY_SECONDS:.0f} s"
                raise SystemExit(msg) from None
            time.sleep(0.02)
        else:
            return
    msg = f"the broker ended at once; is port {port} taken?"
    raise SystemExit(msg)


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description="An MQTT broker on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=0, help="MQTT 5; 0 (default) takes a free one")
    parser.add_argument("--port-v3", type=int, default=0, help="MQTT 3.1.1 (iotcore only; mosquitto has one for both)")
    parser.add_argument("--kind", choices=("iotcore", "mosquitto"), default="iotcore")
    arguments = parser.parse_args()
    log_to_stderr()
    port = arguments.port or free_port()
    port_v3 = port if arguments.kind == "mosquitto" else arguments.port_v3 or free_port()
    child = None
    with tempfile.TemporaryDirectory(prefix="edge-agent-broker-") as folder:
        if arguments.kind == "mosquitto":
            child = _start_mosquitto(Path(folder), port)
        else:
            _start_iotcore(Path(folder), port, port_v3)
        _wait_for(port, child)
        _wait_for(port_v3, child)
    try:
        asyncio.run(serve({"port": port, "port_v3": port_v3, "kind": arguments.kind}, {}))
    finally:
        if child is not None:
            child.kill()
            child.wait()
    # a daemon thread inside rumqttd must not be met by the end of the interpreter
    os._exit(0)


if __name__ == "__main__":
    main()
