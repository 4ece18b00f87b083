"""TLS to the broker: the peer is checked by the given CA and by name, never silently otherwise; every file's fault is
named with the file."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.broker import Message, PubAck
from edge_agent.config.mqtt_reference import Tls
from edge_agent.errors import BrokerError
from edge_agent.mqtt.files import tls_context
from edge_agent.mqtt.network import Limits, PahoBroker
from tests.publishing.brokers import Mosquitto, until
from tests.publishing.certificates import Authority, pem, serving
from tests.publishing.wire import Wire

WILL = Message("will", b"gone")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@pytest.fixture
async def tls_wire(authority: Authority) -> AsyncIterator[Wire]:
    """A server that asks for the agent's certificate too."""
    server = Wire(serving(authority))
    await server.start()
    yield server
    await server.stop()


async def test_mutual_tls_carries_a_session(tls_wire: Wire, authority: Authority) -> None:
    answers: list[PubAck] = []
    session = await tls_wire.client("agent", Limits(window=500), tls=authority.client()).connect(WILL)
    for number in range(300):
        session.publish(Message("a", b"%d" % number * 200), answers.append)
    await until(lambda: len(answers) == 300, "all are answered")
    await session.close()

    assert [p.payload for p in tls_wire.publishes] == [b"%d" % number * 200 for number in range(300)]


async def test_an_unknown_authority_is_refused(tls_wire: Wire, authority: Authority, tmp_path: Path) -> None:
    for ca in (Authority(tmp_path / "other").ca, None):
        with pytest.raises(BrokerError, match="CERTIFICATE_VERIFY_FAILED"):
            await tls_wire.client(tls=replace(authority.client(), ca=ca)).connect(WILL)
    assert tls_wire.connects == []


async def test_another_name_is_refused(tls_wire: Wire, authority: Authority) -> None:
    with pytest.raises(BrokerError, match=r"Hostname mismatch|not valid for 'localhost'"):
        await tls_wire.client(tls=authority.client(), host="localhost").connect(WILL)


async def test_a_name_is_checked_as_well_as_an_address(authority: Authority) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("named", x509.DNSName("localhost")))
    server = Wire(context)
    await server.start()
    session = await server.client(tls=Tls(authority.ca), host="localhost").connect(WILL)
    await session.close()
    with pytest.raises(BrokerError, match="IP address mismatch"):
        await server.client(tls=Tls(authority.ca)).connect(WILL)
    await server.stop()


@pytest.fixture
def tls_mosquitto(mosquitto: Callable[..., Mosquitto], authority: Authority) -> Mosquitto:
    """A broker that says over TLS why it refuses a client (asyncio's servers hang up without a word)."""
    cert, key = authority.issue("mosquitto")
    return mosquitto(more=f"cafile {authority.ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\n")


async def test_without_a_certificate_the_brokers_refusal_is_said(
    tls_mosquitto: Mosquitto, authority: Authority
) -> None:
    settings = replace(tls_mosquitto.settings(tls_mosquitto.port), tls=Tls(authority.ca))
    with pytest.raises(BrokerError, match=r"certificate required|EOF occurred"):  # it does not wait
        await PahoBroker(settings, "agent").connect(WILL)


async def test_a_certificate_of_another_authority_is_refused(
    tls_mosquitto: Mosquitto, authority: Authority, tmp_path: Path
) -> None:
    foreign = replace(Authority(tmp_path / "other").client(), ca=authority.ca)
    settings = replace(tls_mosquitto.settings(tls_mosquitto.port), tls=foreign)
    with pytest.raises(BrokerError, match=r"unknown ca|decrypt error|EOF occurred"):
        await PahoBroker(settings, "agent").connect(WILL)


async def test_a_refusal_without_a_word_is_said_too(tls_wire: Wire, authority: Authority) -> None:
    with pytest.raises(BrokerError, match="did not accept the session: connection lost"):
        await tls_wire.client(tls=Tls(authority.ca)).connect(WILL)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_older_than_tls_1_2_is_refused(authority: Authority) -> None:
    context = serving(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    server = Wire(context)
    await server.start()
    tls = authority.client()
    with pytest.raises(BrokerError, match="SSL"):
        await server.client(tls=tls).connect(WILL)
    await server.stop()
    assert server.connects == []
    assert tls_context(tls).minimum_version is ssl.TLSVersion.TLSv1_2


async def test_a_plain_session_is_never_tried_instead(authority: Authority) -> None:
    plain = Wire()
    await plain.start()
    with pytest.raises(BrokerError, match="SSL"):
        await plain.client(tls=authority.client(), user="edge").connect(WILL)
    await plain.stop()
    assert plain.connects == []


def _write(file: Path, content: bytes, mode: int = 0o600) -> Path:
    file.write_bytes(content)
    file.chmod(mode)
    return file


def _encrypted() -> bytes:
    return pem(ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"secret"))


FAULTS: dict[str, tuple[Callable[[Tls, Path], Tls], str]] = {
    "no CA file": (lambda tls, f: replace(tls, ca=f / "none"), r"certificates \S*none cannot be read: No such file"),
    "CA is a folder": (lambda tls, f: replace(tls, ca=f), "is not a plain file"),
    "CA is no PEM": (lambda tls, f: replace(tls, ca=_write(f / "ca", b"junk")), r"certificates \S*ca are not PEM"),
    "no certificate": (lambda tls, f: replace(tls, cert=f / "none"), r"certificate \S*none cannot be read: No such"),
    "certificate is no PEM": (lambda tls, f: replace(tls, cert=_write(f / "c", b"")), r"certificate \S*c is not"),
    "certificate is torn": (
        lambda tls, f: replace(tls, cert=_write(f / "c", (tls.cert or f).read_bytes()[:200])),
        r"certificate \S*c with the key \S*agent.key is unfit",
    ),
    "no key": (lambda tls, f: replace(tls, key=f / "none"), r"key \S*none cannot be read: No such file"),
    "key is no PEM": (lambda tls, f: replace(tls, key=_write(f / "k", b"")), r"key \S*k is not a private key"),
    "key is encrypted": (lambda tls, f: replace(tls, key=_write(f / "k", _encrypted())), r"key \S*k is encrypted"),
    "key for all to read": (
        lambda tls, f: replace(tls, key=_write(f / "k", (tls.key or f).read_bytes(), 0o644)),
        r"key \S*k can be used by others than its owner \(mode 644\): chmod 600",
    ),
    "key of another": (
        lambda tls, f: replace(tls, key=Authority(f / "other").client("o").key),
        r"key \S*o.key does not belong to the certificate \S*agent.pem",
    ),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS.keys())
async def test_an_unfit_file_is_named(
    tls_wire: Wire, authority: Authority, tmp_path: Path, change: Callable[[Tls, Path], Tls], message: str
) -> None:
    with pytest.raises(BrokerError, match=message) as raised:
        await tls_wire.client(tls=change(authority.client(), tmp_path)).connect(WILL)
    assert "\n" not in str(raised.value)
    assert tls_wire.connects == []


async def test_a_renewed_certificate_is_taken_at_the_next_connection(tls_wire: Wire, authority: Authority) -> None:
    tls = authority.client()
    assert tls.cert is not None
    good = tls.cert.read_bytes()
    tls.cert.write_bytes(b"half-written")
    client = tls_wire.client(tls=tls)
    with pytest.raises(BrokerError, match="is not a certificate"):
        await client.connect(WILL)
    tls.cert.write_bytes(good)
    await (await client.connect(WILL)).close()
