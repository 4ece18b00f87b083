"""User and password: from a file that nobody else may read, anew at each connection."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.broker import Message
from edge_agent.errors import BrokerError
from edge_agent.mqtt.network import PahoBroker
from tests.publishing.brokers import Mosquitto
from tests.publishing.samples import tag_map
from tests.publishing.wire import Wire

WILL = Message("will", b"gone")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_bytes(b"secret\n")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", b"secret"),
        (b"secret\n", b"secret"),
        (b"secret\r\n", b"secret"),
        (b" two words \n", b" two words "),
        (b"two\nlines\n\n", b"two\nlines\n"),
        ("Größe\n".encode(), "Größe".encode()),
        (b"\xff\x00\xfe", b"\xff\x00\xfe"),
    ],
)
async def test_the_password_is_the_file_without_its_last_newline(
    wire: Wire, password_file: Path, content: bytes, password: bytes
) -> None:
    password_file.write_bytes(content)
    session = await wire.client(user="edge", password_file=password_file).connect(WILL)
    await session.close()
    assert (wire.connects[0].user, wire.connects[0].password) == ("edge", password)


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (b"x" * 65_536, 0o600, "has 65536 bytes, more than 65535"),
        (b"secret", 0o604, "chmod 600"),
        (b"secret", 0o640, "chmod 600"),
    ],
)
async def test_an_unfit_password_file_is_named_and_not_shown(
    wire: Wire, password_file: Path, content: bytes, mode: int, message: str
) -> None:
    password_file.write_bytes(content)
    password_file.chmod(mode)
    with pytest.raises(BrokerError, match=f"the password file {password_file} .*{message}") as raised:
        await wire.client(user="edge", password_file=password_file).connect(WILL)
    assert "secret" not in str(raised.value)
    assert wire.connects == []


async def test_a_password_file_that_is_gone_is_named(wire: Wire, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=f"the password file {tmp_path / 'gone'} cannot be read: No such file"):
        await wire.client(user="edge", password_file=tmp_path / "gone").connect(WILL)


def _users(file: Path, user: str, password: str) -> Path:
    """mosquitto's own file of users."""
    subprocess.run(["mosquitto_passwd", "-b", "-c", file, user, password], check=True, capture_output=True)
    file.chmod(0o600)
    return file


async def test_mosquitto_takes_the_changed_password_at_the_next_connection(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path, password_file: Path
) -> None:
    if shutil.which("mosquitto_passwd") is None:
        pytest.skip("NOT RUN: mosquitto_passwd is not installed")
    users = _users(tmp_path / "users", "edge", "new secret")
    broker = mosquitto(more=f"password_file {users}\n", anonymous=False, user="edge", password_file=password_file)
    client = broker.client("agent")
    with pytest.raises(BrokerError, match="Not authorized"):
        await client.connect(WILL)
    with pytest.raises(BrokerError, match="Not authorized"):
        await PahoBroker(tag_map(port=broker.port).mqtt, "nobody").connect(WILL)
    password_file.write_text("new secret\n")
    await (await client.connect(WILL)).close()
