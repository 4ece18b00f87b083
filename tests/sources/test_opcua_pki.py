"""The agent's own certificate on disk, and the folder of trusted ones."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from edge_agent.clock import ManualClock
from edge_agent.config.devices import Application
from edge_agent.errors import SourceError
from edge_agent.sources.opcua_pki import (
    KEY_BITS,
    MOST_REJECTED,
    RENEW_BEFORE,
    VALID_FOR,
    Pki,
    application_uris,
    first_of_chain,
)
from tests.sources.opcua_certificates import DAY, Pair, pair

NOW = datetime.now(UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def pki(tmp_path: Path, clock: ManualClock) -> Pki:
    return Pki(tmp_path / "pki", "l3-edge", clock)


def given(folder: Path, cert: bytes, key: bytes, mode: int = 0o600) -> Application:
    application = Application(folder / "given.pem", folder / "given.key")
    application.cert.write_bytes(cert)
    application.key.write_bytes(key)
    application.key.chmod(mode)
    return application


async def test_the_agent_makes_its_certificate_once_for_all_sources(pki: Pki) -> None:
    first, second = await asyncio.gather(asyncio.to_thread(pki.own), asyncio.to_thread(pki.own))
    assert first.certificate == second.certificate == pki.own().certificate
    extensions = first.certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert application_uris(first.certificate) == [first.uri]
    assert first.uri.endswith(":edge-agent:l3-edge")
    assert names.get_values_for_type(x509.DNSName) or names.get_values_for_type(x509.IPAddress)
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.key_encipherment
    assert first.key.key_size == KEY_BITS
    assert first.certificate.not_valid_after_utc - NOW > VALID_FOR - DAY
    key = first.place.with_name("edge-agent.key")
    assert [key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    assert sorted(file.name for file in key.parent.iterdir()) == ["edge-agent.der", "edge-agent.key"]


def test_it_is_renewed_before_it_ends_and_keeps_its_key(
    pki: Pki, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    first = pki.own()
    clock.advance(VALID_FOR - RENEW_BEFORE - timedelta(minutes=1))
    assert pki.own().certificate == first.certificate
    caplog.clear()
    clock.advance(timedelta(minutes=2))
    second = pki.own()
    assert second.certificate.not_valid_after_utc > first.certificate.not_valid_after_utc
    assert second.key.private_numbers() == first.key.private_numbers()
    (line,) = [one.msg for one in caplog.records if isinstance(one.msg, dict)]
    assert (line["code"], line["file"]) == ("EA-2102", str(first.place))
    assert line["why"].startswith("it ends at")
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("lost", ["edge-agent.der", "edge-agent.key"])
def test_what_is_lost_of_it_is_made_anew(pki: Pki, lost: str) -> None:
    first = pki.own()
    first.place.with_name(lost).unlink()
    second = pki.own()
    assert second.certificate != first.certificate
    assert second.certificate.public_key() == second.key.public_key()


def test_its_key_is_closed_to_others_or_not_used(pki: Pki) -> None:
    key = pki.own().place.with_name("edge-agent.key")
    key.chmod(0o640)
    with pytest.raises(SourceError, match=rf"mode 640\): chmod 600 {key}"):
        pki.own()


def test_files_that_are_given_are_checked(pki: Pki, tmp_path: Path) -> None:
    good = pair("urn:plant:l3")
    own = pki.own(given(tmp_path, good.pem, good.key_pem))
    assert (own.certificate, own.uri) == (good.certificate, "urn:plant:l3")
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    locked = good.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    for cert, key, said in [
        (good.pem, Pair(good.certificate, other).key_pem, "does not belong to the agent's certificate"),
        (good.pem, Pair(good.certificate, small).key_pem, "is no RSA key of 2048 bits or more"),
        (good.pem, locked, "is encrypted: write it unencrypted"),
        (good.pem, b"-----BEGIN what", "is no private key in PEM or DER"),
        (good.pem, b"what", "is no private key in PEM or DER"),
        (b"what", good.key_pem, "is no certificate in DER or PEM"),
        (pair(None).der, good.key_pem, "names no application URI"),
        (pair(ends=-DAY / 2).der, good.key_pem, "has expired at"),
    ]:
        with pytest.raises(SourceError, match=said):
            pki.own(given(tmp_path, cert, key))
    with pytest.raises(SourceError, match=r"given\.pem: No such file or directory"):
        pki.own(Application(tmp_path / "gone" / "given.pem", tmp_path / "given.key"))


def test_only_the_very_certificate_is_trusted_in_der_or_pem_under_any_name(pki: Pki) -> None:
    known, other = pair(), pair()
    pki.trusted.mkdir(parents=True)
    (pki.trusted / "notes.txt").write_text("what people leave lying about")
    (pki.trusted / "PLC.crt").write_bytes(other.pem + known.pem)
    assert pki.check(known.der, "plc", None) == known.certificate
    assert pki.check(known.der + other.der, "plc", None) == known.certificate
    assert first_of_chain(other.der + known.der) == other.certificate
    (pki.trusted / "PLC.crt").write_bytes(other.pem)
    with pytest.raises(SourceError, match="is not trusted"):
        pki.check(known.der, "plc", None)


@pytest.mark.parametrize("data", [b"", b"what", pair().der[:-1], b"\x30\x82\xff\xff"])
def test_what_is_no_certificate_is_refused(pki: Pki, data: bytes) -> None:
    with pytest.raises(SourceError, match="the server's certificate cannot be read"):
        pki.check(data, "plc", None)
    assert not pki.rejected.exists()


def test_a_short_key_is_refused(pki: Pki) -> None:
    weak = pair(bits=1024)
    weak.put_into(pki.trusted)
    with pytest.raises(SourceError, match="has no RSA key of 2048 bits or more"):
        pki.check(weak.der, "plc", None)


def test_whoever_answers_cannot_fill_the_disk(pki: Pki) -> None:
    pki.rejected.mkdir(parents=True)
    for number in range(MOST_REJECTED - 1):
        (pki.rejected / str(number)).touch()
    last, more = pair(), pair()
    for _ in range(2):
        with pytest.raises(SourceError, match="then move"):
            pki.check(last.der, "plc", None)
    with pytest.raises(SourceError, match=f"then clear {pki.rejected}: it is full, so this one is not stored"):
        pki.check(more.der, "plc", None)
    assert len(list(pki.rejected.iterdir())) == MOST_REJECTED
