"""TLS both ways, a login by password file, and what is wrong with either in one line."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent_receiver.broker import BrokerError, BrokerSettings, login, read_address
from edge_agent_receiver.session import Session, connect
from tests.publishing.brokers import Mosquitto
from tests.publishing.certificates import Authority
from tests.receiver.wires import has_mosquitto, until

pytestmark = pytest.mark.skipif(not has_mosquitto(), reason="NOT RUN: mosquitto is not installed")
_TLS = "cafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n"


def _settings(port: int, **more: Any) -> BrokerSettings:
    return BrokerSettings("127.0.0.1", port, **{"tls": False, "client_id": "erp-receiver", **more})


@contextmanager
def _connected(settings: BrokerSettings) -> Iterator[Session]:
    session = connect(settings, "mat/v1/#", lambda: None)
    try:
        yield session
    finally:
        session.close()


@pytest.fixture
def started() -> Iterator[Callable[[Mosquitto], Mosquitto]]:
    running: list[Mosquitto] = []

    def start(broker: Mosquitto) -> Mosquitto:
        broker.start()
        running.append(broker)
        return broker

    yield start
    for broker in running:
        broker.kill()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def test_tls_with_a_certificate_of_its_own(
    tmp_path: Path, authority: Authority, started: Callable[[Mosquitto], Mosquitto]
) -> None:
    cert, key = authority.issue("broker")
    broker = started(Mosquitto(tmp_path, more=_TLS.format(ca=authority.ca, cert=cert, key=key)))
    own, own_key = authority.issue("receiver")
    settings = _settings(broker.port, tls=True, ca=authority.ca, cert=own, key=own_key)

    with _connected(settings) as session:
        session.publish("mat/v1/a/b/c/d/e/x", b"{}", "1")
        until(session.sent, "the broker has it")

    with pytest.raises(BrokerError):
        connect(_settings(broker.port, tls=True, ca=authority.ca), "mat/v1/#", lambda: None)
    with pytest.raises(BrokerError, match="certificate verify failed"):
        connect(_settings(broker.port, tls=True), "mat/v1/#", lambda: None)
    with pytest.raises(BrokerError, match="unfit"):
        connect(_settings(broker.port, tls=True, ca=own_key), "mat/v1/#", lambda: None)


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="NOT RUN: mosquitto_passwd is not installed")
def test_a_user_and_a_password_file(tmp_path: Path, started: Callable[[Mosquitto], Mosquitto]) -> None:
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "erp", "hush"], check=True, capture_output=True)
    broker = started(Mosquitto(tmp_path, more=f"password_file {passwords}\n", anonymous=False))
    secret.write_text("hush\n")
    secret.chmod(0o600)

    with _connected(_settings(broker.port, user="erp", password_file=secret)) as session:
        assert not session.lost.is_set()

    secret.write_text("wrong\n")
    with pytest.raises(BrokerError, match="did not accept"):
        connect(_settings(broker.port, user="erp", password_file=secret), "mat/v1/#", lambda: None)


def test_password_files_are_its_owners_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    settings = _settings(1883, user="erp", password_file=secret)
    with pytest.raises(BrokerError, match="cannot be read"):
        login(settings)
    secret.write_text("")
    secret.chmod(0o644)
    with pytest.raises(BrokerError, match="chmod 600"):
        login(settings)
    secret.chmod(0o600)
    with pytest.raises(BrokerError, match="is empty"):
        login(settings)


def test_addresses() -> None:
    assert read_address("mqtt://broker") == ("broker", 1883, False, None)
    assert read_address("mqtts://erp@10.0.0.1:8884/") == ("10.0.0.1", 8884, True, "erp")


def test_nobody_there_is_one_error() -> None:
    with pytest.raises(BrokerError, match="cannot connect"):
        connect(_settings(1), "mat/v1/#", lambda: None)
