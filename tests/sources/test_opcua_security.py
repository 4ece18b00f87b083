"""Secured sessions against a real server: what is trusted, what is refused, and what never goes over the wire."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.truststore import TrustStore
from asyncua.crypto.validator import CertificateValidator, CertificateValidatorOptions
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography import x509

from edge_agent.clock import SystemClock
from edge_agent.config.devices import Application
from edge_agent.errors import ConfigurationError
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Link, SourceChange
from edge_agent.sources import opcua, opcua_feed, opcua_security, opcua_session
from edge_agent.sources.opcua_pki import Pki, application_uris, first_of_chain
from tests.sources.conftest import NAME, Bench, eventually
from tests.sources.opcua_certificates import DAY, Pair, pair
from tests.sources.opcua_device import SECURED, Device
from tests.sources.tcp_wire import wire

PASSWORD = "pLant-7-öffnen"
BEST = "Basic256Sha256/SignAndEncrypt"
OPEN = ua.SecurityPolicyType.NoSecurity
Login = dict[str, Any]


@pytest.fixture(scope="module")
def server() -> Pair:
    return pair()


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki", "l3", SystemClock())


@pytest.fixture
def login(tmp_path: Path) -> Login:
    return {"user": "edge", "password_file": secret(tmp_path / "secret", PASSWORD + "\n")}


def secret(file: Path, text: str, mode: int = 0o600) -> Path:
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    return file


@asynccontextmanager
async def running(port: int, server: Pair, *policies: ua.SecurityPolicyType, **said: Any) -> AsyncIterator[Device]:
    device = Device(port, certificate=(server.pem, server.key_pem), policies=policies or SECURED)
    for name, value in said.items():
        setattr(device, name, value)
    await device.start()
    try:
        yield device
    finally:
        await device.stop()


@pytest.mark.parametrize(
    "security",
    [BEST, "Basic256Sha256/Sign", "Aes256Sha256RsaPss/SignAndEncrypt", "Aes128Sha256RsaOaep/SignAndEncrypt"],
)
async def test_a_secured_session_reads_with_a_login_that_nobody_sees(
    security: str, port: int, server: Pair, pki: Pki, login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    server.put_into(pki.trusted)
    caplog.set_level(logging.DEBUG)
    async with running(port, server) as device, wire(port) as between:
        bench = Bench(between.url, pki=pki, security=security, **login)
        async with bench.consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
            await device.set(Order_No="Order-4711", Infeed_Total=120)
            await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [120])
            await consumer.until(lambda: consumer.values("order_no")[-1:] == ["Order-4711"])
        assert device.users.logins == [("edge", PASSWORD)]
    assert (b"Order-4711" in between.received) is security.endswith("/Sign")
    assert PASSWORD.encode() not in between.sent
    assert PASSWORD not in caplog.text
    assert PASSWORD not in str(bench.status.snapshot())


async def test_a_secured_channel_is_renewed_while_data_flows(
    port: int, server: Pair, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua_session, "_RENEW_AT", 0.0)
    monkeypatch.setattr(opcua_feed, "_PULSE_SECONDS", 0.1)
    renewed = _renewed(monkeypatch)
    server.put_into(pki.trusted)
    async with running(port, server) as device:
        async with Bench(device.url, pki=pki, security=BEST).consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
            for count in range(101, 131):
                await device.set(Infeed_Total=count)
                await consumer.until(lambda count=count: consumer.values("preforms_in")[-1] == count)  # type: ignore[misc]  # bound now
            await eventually(lambda: len(renewed) > 5)
        assert [one.link for one in consumer.of(SourceChange)] == [Link.UP]
    assert consumer.values("preforms_in") == list(range(100, 131))


def _renewed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Filled with every renewal of a channel."""
    renewed: list[bool] = []
    real = Client.open_secure_channel

    async def opened(self: Client, renew: bool = False) -> None:
        await real(self, renew)
        if renew:
            renewed.append(True)

    monkeypatch.setattr(Client, "open_secure_channel", opened)
    return renewed


async def test_an_unknown_server_is_kept_for_a_person_and_trusted_once_it_is_moved(
    port: int, server: Pair, pki: Pki, login: Login
) -> None:
    async with running(port, server) as device:
        bench = Bench(device.url, pki=pki, security=BEST, **login)
        async with bench.consumed() as consumer:
            await eventually(bench.detail)
            (place,) = pki.rejected.iterdir()
            said = bench.detail()
            assert "is not trusted: compare it with what the device shows" in said
            assert said.endswith(f"then move {place} to {pki.trusted / place.name}")
            assert "CN=Filler PLC, SHA-256 " in said
            assert place.read_bytes() == server.der
            assert not consumer.deliveries
            assert not device.users.logins
            place.rename(pki.trusted / place.name)
            await consumer.until(lambda: consumer.of(Block))
            assert device.users.logins == [("edge", PASSWORD)]


async def _refusal(device: Device, pki: Pki, **secured: Any) -> str:
    """Why nothing is read; it is tried at least twice."""
    async with wire(device.port) as between:
        bench = Bench(between.url, pki=pki, **secured)
        async with bench.consumed() as consumer:
            await eventually(lambda: between.connections >= 3 and bench.detail())
            assert not consumer.deliveries
        assert PASSWORD.encode() not in between.sent
    assert not device.users.logins
    return bench.detail()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"ends": -DAY / 2}, "has expired at"),
        ({"begins": DAY / 2}, "is not valid before"),
        ({"uri": "urn:somebody:else"}, "calls itself urn:test:server, but its certificate"),
        ({"uri": None}, "is for no application URI"),
    ],
)
async def test_a_trusted_certificate_that_is_wrong_is_refused(
    made: dict[str, Any], said: str, port: int, pki: Pki, login: Login
) -> None:
    wrong = pair(**made)
    wrong.put_into(pki.trusted)
    async with running(port, wrong) as device:
        assert said in await _refusal(device, pki, security=BEST, **login)


async def test_another_certificate_than_the_trusted_one_is_refused(
    port: int, server: Pair, pki: Pki, login: Login
) -> None:
    named = server.put_into(pki.trusted)
    foreign = pair()
    async with running(port, foreign) as device:
        assert "is not trusted" in await _refusal(device, pki, security=BEST, **login)
        said = await _refusal(device, pki, security=BEST, trust=named, **login)
        assert said.endswith(f"to {named}, which the tag map trusts instead")
    assert [place.read_bytes() for place in pki.rejected.iterdir()] == [foreign.der]


async def test_without_the_trust_list_the_foreign_server_would_be_read(
    port: int, server: Pair, pki: Pki, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: the tests above catch what `check` holds off."""
    monkeypatch.setattr(pki, "check", lambda data, source, named: first_of_chain(data))
    async with running(port, server) as device:
        async with Bench(device.url, pki=pki, security=BEST, **login).consumed() as consumer:
            await consumer.until(lambda: consumer.of(SourceChange))
        assert device.users.logins


async def test_a_server_without_the_wanted_security_is_refused_and_not_read_in_the_open(
    port: int, server: Pair, pki: Pki, login: Login
) -> None:
    server.put_into(pki.trusted)
    offered = (OPEN, ua.SecurityPolicyType.Basic256Sha256_Sign)
    async with running(port, server, *offered) as device:
        said = await _refusal(device, pki, security=BEST, **login)
    assert said.endswith(f"offers no {BEST}, but Basic256Sha256/Sign, None")


async def test_a_password_is_not_sent_in_the_open(
    port: int, server: Pair, pki: Pki, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(port, server, OPEN) as device:
        said = await _refusal(device, pki, **login)
        assert "the password is not sent: the channel is not encrypted" in said
        monkeypatch.setattr(opcua_security, "_ENCRYPTED", ua.MessageSecurityMode.None_)  # the planted bug
        async with wire(port) as between, Bench(between.url, pki=pki, **login).consumed() as consumer:
            await consumer.until(lambda: consumer.of(SourceChange))
        assert PASSWORD.encode() in between.sent


async def test_in_the_open_a_password_goes_encrypted_for_a_trusted_server_alone(
    port: int, server: Pair, pki: Pki, login: Login
) -> None:
    async with running(port, server, OPEN, *SECURED) as device:
        assert "is not trusted" in await _refusal(device, pki, **login)
        trusted = server.put_into(pki.trusted.parent, "plc.der")
        async with wire(port) as between, Bench(between.url, pki=pki, trust=trusted, **login).consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
        assert PASSWORD.encode() not in between.sent
        assert device.users.logins == [("edge", PASSWORD)]


async def test_a_server_that_takes_no_such_login_says_which(port: int, server: Pair, pki: Pki, login: Login) -> None:
    server.put_into(pki.trusted)
    async with running(port, server, tokens=[ua.AnonymousIdentityToken]) as device:
        said = await _refusal(device, pki, security=BEST, **login)
    assert said.endswith("the server takes no user and password, only Anonymous")
    async with running(port, server, tokens=[ua.UserNameIdentityToken]) as device:
        said = await _refusal(device, pki, security=BEST)
    assert said.endswith("the server wants a login, by UserName: add `login` to the source")


async def test_a_refused_login_is_said_and_the_password_read_anew(
    port: int, server: Pair, pki: Pki, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.put_into(pki.trusted)
    async with running(port, server) as device:
        device.users.refuses = True
        monkeypatch.setattr(opcua, "_AFTER_REFUSAL", 0.5)
        bench = Bench(device.url, pki=pki, security=BEST, **login)
        async with bench.consumed() as consumer:
            await eventually(lambda: "activate the session: BadUserAccessDenied" in bench.detail())
            secret(login["password_file"], "another", mode=0o644)
            await eventually(lambda: "can be used by others than its owner (mode 644): chmod 600" in bench.detail())
            secret(login["password_file"], "")
            await eventually(lambda: "is empty: write the password into it" in bench.detail())
            login["password_file"].write_bytes(b"\xff\xfe")
            await eventually(lambda: "cannot be read: it is not UTF-8" in bench.detail())
            login["password_file"].unlink()
            await eventually(lambda: "cannot be read: No such file" in bench.detail())
            secret(login["password_file"], "another")
            device.users.refuses = False
            await consumer.until(lambda: consumer.of(Block))
        assert device.users.logins[-1] == ("edge", "another")


async def test_a_refused_login_is_not_tried_at_once_again(port: int, server: Pair, pki: Pki, login: Login) -> None:
    """Half a dozen wrong passwords lock an account: the wire shows no second try while another source connects."""
    server.put_into(pki.trusted)
    async with running(port, server) as device:
        device.users.refuses = True
        bench = Bench(device.url, pki=pki, security=BEST, **login)
        async with bench.consumed():
            await eventually(bench.detail)
            device.users.refuses = False
            async with Bench(device.url, pki=pki, security=BEST).consumed() as other:
                await other.until(lambda: other.of(Block))
            assert device.users.logins == [("edge", PASSWORD)]


async def test_a_server_that_does_not_trust_the_agent_is_told_of(port: int, server: Pair, pki: Pki) -> None:
    server.put_into(pki.trusted)
    known = pki.trusted.parent / "known to the server"
    known.mkdir()
    pair(name="somebody else").put_into(known)  # asyncua takes no empty folder
    store = TrustStore([known], [])
    options = CertificateValidatorOptions.TRUSTED_VALIDATION | CertificateValidatorOptions.PEER_CLIENT
    async with running(port, server, validator=CertificateValidator(options, store)) as device:
        await store.load()
        bench = Bench(device.url, pki=pki, security=BEST)
        async with bench.consumed() as consumer:
            own = pki.trusted.parent / "own" / "edge-agent.der"
            await eventually(
                lambda: bench.detail().endswith(f"if the server does not trust the agent yet, have it trust {own}")
            )
            (known / "agent.der").write_bytes(own.read_bytes())
            await store.load()
            await consumer.until(lambda: consumer.of(Block))


async def test_the_agents_certificate_may_be_given_by_files(port: int, server: Pair, pki: Pki, tmp_path: Path) -> None:
    server.put_into(pki.trusted)
    given = pair("urn:plant:l3-edge", name="L3")
    cert, key = tmp_path / "l3.pem", tmp_path / "l3.key"
    cert.write_bytes(given.pem)
    secret(key, given.key_pem.decode())
    met: list[x509.Certificate] = []

    class Looking(CertificateValidator):
        async def validate(self, cert: x509.Certificate, app_description: ua.ApplicationDescription) -> None:
            met.append(cert)
            assert app_description.ApplicationUri in application_uris(cert)

    async with running(port, server, validator=Looking()) as device:
        bench = Bench(device.url, pki=pki, security=BEST, application=Application(cert, key))
        async with bench.consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
    assert met == [given.certificate]
    assert not (pki.trusted.parent / "own").exists()


def test_security_needs_a_folder_of_certificates() -> None:
    with pytest.raises(ConfigurationError, match=f"source {NAME}: security and logins need a folder"):
        Bench("opc.tcp://127.0.0.1:1", security=BEST)
    with pytest.raises(ConfigurationError):
        Bench("opc.tcp://127.0.0.1:1", user="edge")


async def test_a_status_of_a_refused_certificate_is_named(port: int, server: Pair, pki: Pki) -> None:
    """The server names it; the advice stands behind it."""
    server.put_into(pki.trusted)

    class Refusing(CertificateValidator):
        async def validate(self, cert: x509.Certificate, app_description: ua.ApplicationDescription) -> None:
            error: Any = UaStatusCodeError
            raise error(StatusCodes.BadCertificateUntrusted)

    async with running(port, server, validator=Refusing()) as device:
        assert "create a session: " in await _refusal(device, pki, security=BEST)
