"""Certificates for servers under test, right ones and wrong ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SERVER_URI = "urn:test:server"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def put_into(self, folder: Path, name: str = "server.der") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / name
        place.write_bytes(self.der)
        return place


def pair(
    uri: str | None = SERVER_URI,
    *,
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
    bits: int = 2048,
    name: str = "Filler PLC",
) -> Pair:
    """A self-signed certificate, valid from `begins` to `ends` from now on."""
    key, now = _key(bits), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
    if uri is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName("localhost")])
        builder = builder.add_extension(names, critical=False)
    return Pair(builder.sign(key, hashes.SHA256()), key)


@cache
def _key(bits: int) -> rsa.RSAPrivateKey:
    """One a process: only certificates have to differ."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)
