"""Application instance certificates: the agent's own, and the servers' that are trusted (OPC 10000-4, 6.1).

`<data>/pki/` has `own/` (made and renewed here), `trusted/` (filled by people) and `rejected/` (what was met and is not
trusted). Only the very certificate that lies in `trusted/`, or that the tag map names, is trusted: no authority is, so
no revocation list has to be kept.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge_agent.clock import Clock
from edge_agent.config.devices import Application
from edge_agent.errors import SourceError
from edge_agent.telemetry.log import Code, get_logger

KEY_BITS: Final = 2048
"""The shortest RSA key of the security policies used (OPC 10000-7), and what the oldest devices can do."""
VALID_FOR: Final = timedelta(days=5 * 365)
RENEW_BEFORE: Final = timedelta(days=30)
MOST_REJECTED: Final = 50
"""Files in `rejected/`: whoever answers for a server may send any number of certificates."""
_CLOCKS_DIFFER: Final = timedelta(days=1)
_LARGEST_FILE: Final = 64 * 1024
_OTHERS: Final = 0o077
_PEM: Final = b"-----BEGIN "

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Own:
    """The agent's certificate with its private key; `uri` is the ApplicationUri in it, `place` its file."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    uri: str
    place: Path


class Pki:
    """The folder `<data>/pki`. Every method reads and writes files: call it in a thread."""

    _making = threading.Lock()
    """One for all: sources start together, and share the folder."""

    def __init__(self, folder: Path, agent: str, clock: Clock) -> None:
        self.trusted = folder / "trusted"
        self.rejected = folder / "rejected"
        self._own = folder / "own"
        self._agent = agent
        self._clock = clock

    def own(self, given: Application | None = None) -> Own:
        """The certificate of the files given, else the agent's own: made where there is none, renewed before it ends.

        Raises SourceError.
        """
        with self._making:
            key_file = self._own / "edge-agent.key" if given is None else given.key
            place = self._own / "edge-agent.der" if given is None else given.cert
            try:
                if given is None:
                    self._make_what_is_due(place, key_file)
                own = _loaded(place, key_file)
            except OSError as error:
                raise SourceError(f"the agent's certificate {place}: {error.strerror} ({error.filename})") from error
        _check_time(own.certificate, self._clock.now().wall, f"the agent's certificate {place}")
        return own

    def check(self, data: bytes, source: str, named: Path | None) -> x509.Certificate:
        """A server's certificate (DER, perhaps a chain) if it is valid now and trusted; else it is put to `rejected/`.

        `named` is the one file that the tag map trusts instead of those in `trusted/`. Raises SourceError.
        """
        try:
            certificate = first_of_chain(data)
        except ValueError as error:
            raise SourceError(f"the server's certificate cannot be read: {error}") from error
        what = f"the server's certificate ({described(certificate)})"
        _check_time(certificate, self._clock.now().wall, what)
        _check_key(certificate, what)
        der = certificate.public_bytes(Encoding.DER)
        try:
            trusted = self._certificates(named)
            if any(der == one.public_bytes(Encoding.DER) for one in trusted):
                return certificate
            advice = self._reject(der, source, certificate, named)
        except OSError as error:
            raise SourceError(f"{what} cannot be checked: {error.strerror} ({error.filename})") from error
        raise SourceError(f"{what} is not trusted: compare it with what the device shows, then {advice}")

    def _certificates(self, named: Path | None) -> Iterator[x509.Certificate]:
        """Those of `trusted/`, whatever their files are called; of other files nothing is said."""
        if named is not None:
            yield from _in_file(named)
        elif self.trusted.is_dir():
            for file in sorted(self.trusted.iterdir()):
                if file.is_file():
                    with suppress(SourceError):
                        yield from _in_file(file)

    def _reject(self, der: bytes, source: str, certificate: x509.Certificate, named: Path | None) -> str:
        """Keep it for a person to look at; what that person is to do."""
        for folder in (self.trusted, self.rejected):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{source}-{certificate.fingerprint(hashes.SHA256()).hex()[:16]}.der"
        place = self.rejected / name
        if not place.exists() and len(list(self.rejected.iterdir())) >= MOST_REJECTED:
            return f"clear {self.rejected}: it is full, so this one is not stored"
        _write(place, der, 0o600)
        if named is not None:
            return f"copy {place} to {named}, which the tag map trusts instead"
        return f"move {place} to {self.trusted / name}"

    def _make_what_is_due(self, place: Path, key_file: Path) -> None:
        """A key where there is none; a certificate where there is none, where it is another key's, and before its end.

        Renewing keeps the key: the server has to be told to trust the new certificate all the same.
        """
        self._own.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not key_file.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
            _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
        key = _key(key_file)
        why = self._why_due(place, key)
        if why is None:
            return
        certificate = self._certificate(key)
        _write(place, certificate.public_bytes(Encoding.DER), 0o644)
        _log.warning(
            "the agent's certificate is made anew: servers must be told to trust it",
            code=Code.OWN_CERTIFICATE,
            why=why,
            file=str(place),
            certificate=described(certificate),
            valid_until=certificate.not_valid_after_utc.isoformat(),
        )

    def _why_due(self, place: Path, key: rsa.RSAPrivateKey) -> str | None:
        if not place.exists():
            return "there was none"
        certificate = _only(place)
        if certificate.public_key() != key.public_key():
            return "it was another key's"
        if certificate.not_valid_after_utc - self._clock.now().wall < RENEW_BEFORE:
            return f"it ends at {certificate.not_valid_after_utc.isoformat()}"
        return None

    def _certificate(self, key: rsa.RSAPrivateKey) -> x509.Certificate:
        """Self-signed, with the fields that OPC 10000-6, 6.2.2 asks for."""
        host, now = socket.gethostname(), self._clock.now().wall
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"edge-agent {self._agent}"[:64])])
        uri = f"urn:{quote(host)}:edge-agent:{quote(self._agent)}"
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        signing = x509.KeyUsage(
            digital_signature=True,
            content_commitment=True,
            key_encipherment=True,
            data_encipherment=True,
            key_agreement=False,
            key_cert_sign=True,  # it is its own issuer
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCKS_DIFFER)
            .not_valid_after(now + VALID_FOR)
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), _host_name(host)]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(signing, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(identifier, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
            .sign(key, hashes.SHA256())
        )


def application_uris(certificate: x509.Certificate) -> list[str]:
    """The URIs in the SubjectAltName; one of them is the ApplicationUri."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def described(certificate: x509.Certificate) -> str:
    """Its subject and fingerprint, for people to compare."""
    return (
        f"{certificate.subject.rfc4514_string()}, SHA-256 {certificate.fingerprint(hashes.SHA256()).hex(':').upper()}"
    )


def first_of_chain(data: bytes) -> x509.Certificate:
    """The first certificate of a chain in DER (OPC 10000-6, 6.2.6). Raises ValueError."""
    if len(data) < 4 or data[0] != 0x30 or data[1] != 0x82:
        return x509.load_der_x509_certificate(data)
    return x509.load_der_x509_certificate(data[: 4 + int.from_bytes(data[2:4], "big")])


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(quote(host))


def _check_time(certificate: x509.Certificate, now: datetime, what: str) -> None:
    if now > certificate.not_valid_after_utc:
        raise SourceError(f"{what} has expired at {certificate.not_valid_after_utc.isoformat()}: give it a new one")
    if now < certificate.not_valid_before_utc:
        begins = certificate.not_valid_before_utc.isoformat()
        raise SourceError(f"{what} is not valid before {begins}: are the clocks right?")


def _check_key(certificate: x509.Certificate, what: str) -> None:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS:
        raise SourceError(f"{what} has no RSA key of {KEY_BITS} bits or more: give it one that has")


def _loaded(place: Path, key_file: Path) -> Own:
    key, certificate = _key(key_file), _only(place)
    if certificate.public_key() != key.public_key():
        raise SourceError(f"the key {key_file} does not belong to the agent's certificate {place}")
    uris = application_uris(certificate)
    if not uris:
        raise SourceError(f"the agent's certificate {place} names no application URI in its SubjectAltName")
    return Own(certificate, key, uris[0], place)


def _only(place: Path) -> x509.Certificate:
    return next(iter(_in_file(place)))


def _in_file(file: Path) -> list[x509.Certificate]:
    """One certificate in DER, or one or more in PEM. Raises SourceError, OSError."""
    data = _read(file)
    try:
        return x509.load_pem_x509_certificates(data) if _PEM in data else [x509.load_der_x509_certificate(data)]
    except ValueError as error:
        raise SourceError(f"the file {file} is no certificate in DER or PEM: {error}") from error


def _key(file: Path) -> rsa.RSAPrivateKey:
    """Raises SourceError, OSError."""
    data = _read(file, secret=True)
    try:
        key = (load_pem_private_key if _PEM in data else load_der_private_key)(data, password=None)
    except TypeError as error:  # what cryptography says of a key that is encrypted
        raise SourceError(f"the key {file} is encrypted: write it unencrypted, readable by its owner alone") from error
    except ValueError as error:
        raise SourceError(f"the key {file} is no private key in PEM or DER") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < KEY_BITS:
        raise SourceError(f"the key {file} is no RSA key of {KEY_BITS} bits or more")
    return key


def password_of(file: Path) -> str:
    """The password in `file`, without the newline at its end. Raises SourceError where the file is unfit."""
    try:
        text = _read(file, secret=True).decode("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the password file {file} cannot be read: {_reason(error)}") from error
    if not text:
        raise SourceError(f"the password file {file} is empty: write the password into it")
    return text


def _reason(error: OSError | UnicodeDecodeError) -> str:
    """Never what was read: a UnicodeDecodeError would quote it."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)


def _read(file: Path, *, secret: bool = False) -> bytes:
    """Raises SourceError, OSError."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        raise SourceError(f"{file} is not a plain file")
    if secret and mode & _OTHERS:
        raise SourceError(f"{file} can be used by others than its owner (mode {mode & 0o777:03o}): chmod 600 {file}")
    with file.open("rb") as opened:
        return opened.read(_LARGEST_FILE)


def _write(place: Path, data: bytes, mode: int) -> None:
    """As a whole or not at all, and never readable by more than `mode` says."""
    draft = place.with_name(place.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(place)
