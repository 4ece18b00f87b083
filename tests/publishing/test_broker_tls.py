"""TLS to the broker: the peer is checked by the given CA and by name, never silently otherwise."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.broker import Message, PubAck
from edge_agent.config.tagmap import Mqtt, Tls
from edge_agent.errors import BrokerError
from edge_agent.mqtt import Limits, PahoBroker
from tests.publishing.brokers import until
from tests.publishing.samples import tag_map
from tests.publishing.wire import Wire

WILL = Message("will", b"gone")


def _self_signed(folder: Path, name: x509.GeneralName, stem: str) -> tuple[Path, Path]:
    """A certificate that is its own CA, and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{stem}.pem", folder / f"{stem}.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@pytest.fixture
def server_files(tmp_path: Path) -> tuple[Path, Path]:
    return _self_signed(tmp_path, LOOPBACK, "broker")


@pytest.fixture
def client_files(tmp_path: Path) -> tuple[Path, Path]:
    return _self_signed(tmp_path, LOOPBACK, "agent")


@pytest.fixture
async def tls_wire(server_files: tuple[Path, Path], client_files: tuple[Path, Path]) -> AsyncIterator[Wire]:
    """A server that asks for the agent's certificate too."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_files[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*server_files)
    server = Wire(context)
    await server.start()
    yield server
    await server.stop()


def _settings(wire: Wire, tls: Tls) -> Mqtt:
    return replace(tag_map(port=wire.port).mqtt, tls=tls)


async def test_mutual_tls_carries_a_session(
    tls_wire: Wire, server_files: tuple[Path, Path], client_files: tuple[Path, Path]
) -> None:
    answers: list[PubAck] = []
    settings = _settings(tls_wire, Tls(server_files[0], *client_files))
    session = await PahoBroker(settings, "agent", Limits(window=500)).connect(WILL)
    for number in range(300):
        session.publish(Message("a", b"%d" % number * 200), answers.append)
    await until(lambda: len(answers) == 300, "all are answered")
    await session.close()

    assert [p.payload for p in tls_wire.publishes] == [b"%d" % number * 200 for number in range(300)]


async def test_an_unknown_authority_is_refused(tls_wire: Wire, client_files: tuple[Path, Path]) -> None:
    settings = _settings(tls_wire, Tls(client_files[0], *client_files))
    with pytest.raises(BrokerError, match="CERTIFICATE_VERIFY_FAILED"):
        await PahoBroker(settings, "agent").connect(WILL)


async def test_another_name_is_refused(
    tls_wire: Wire, server_files: tuple[Path, Path], client_files: tuple[Path, Path]
) -> None:
    settings = replace(_settings(tls_wire, Tls(server_files[0], *client_files)), host="localhost")
    with pytest.raises(BrokerError, match=r"Hostname mismatch|not valid for 'localhost'"):
        await PahoBroker(settings, "agent").connect(WILL)


async def test_a_missing_file_is_a_clear_error(tls_wire: Wire, tmp_path: Path) -> None:
    settings = _settings(tls_wire, Tls(tmp_path / "nowhere.pem"))
    with pytest.raises(BrokerError, match="No such file"):
        await PahoBroker(settings, "agent").connect(WILL)
