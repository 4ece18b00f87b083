"""What a connection to the broker reads from files, anew each time: certificates, the key, the password.

Whatever is wrong with a file is one message that names it (BrokerError); the next attempt reads it again, so that a
renewed certificate or a mended mode needs no restart.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path

from edge_agent.config.mqtt_reference import Tls
from edge_agent.errors import BrokerError

_LONGEST_PASSWORD = 65_535
"""Bytes of the longest password (MQTT 5, 3.1.3.6)."""
_OTHERS = 0o077


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of the base class
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or newer with the broker's name checked, by the system's authorities or `ca` alone; mutual with `cert`.

    Raises BrokerError where a file is unfit.
    """
    if tls.ca is not None:
        _read(tls.ca, "certificates")
    try:
        context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError as error:
        raise BrokerError(f"the certificates {tls.ca} are not PEM: {error.reason or error}") from error
    context.sslsocket_class = _TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None and tls.key is not None:
        _load_own(context, tls.cert, tls.key)
    return context


def _load_own(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    if b"-----BEGIN CERTIFICATE-----" not in _read(cert, "certificate"):
        raise BrokerError(f"the certificate {cert} is not a certificate in PEM")
    secret = _read(key, "key", secret=True)
    if b"ENCRYPTED" in secret:  # asked for a password, OpenSSL would wait for somebody at the terminal
        raise BrokerError(f"the key {key} is encrypted; write it unencrypted, readable by its owner alone")
    if b"PRIVATE KEY-----" not in secret:
        raise BrokerError(f"the key {key} is not a private key in PEM")
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BrokerError(f"the key {key} does not belong to the certificate {cert}") from error
        raise BrokerError(f"the certificate {cert} with the key {key} is unfit: {error.reason or error}") from error


def password(file: Path) -> bytes:
    """The password in `file`, without the newline at its end. Raises BrokerError where the file is unfit."""
    text = _read(file, "password file", secret=True)
    text = text.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        raise BrokerError(f"the password file {file} is empty: write the password into it")
    if len(text) > _LONGEST_PASSWORD:
        raise BrokerError(f"the password file {file} has {len(text)} bytes, more than {_LONGEST_PASSWORD}")
    return text


def _read(file: Path, what: str, *, secret: bool = False) -> bytes:
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            raise BrokerError(f"the {what} {file} is not a plain file")
        if secret and mode & _OTHERS:
            raise BrokerError(
                f"the {what} {file} can be used by others than its owner (mode {mode & 0o777:03o}): chmod 600 {file}"
            )
        return file.read_bytes()
    except OSError as error:
        raise BrokerError(f"the {what} {file} cannot be read: {error.strerror}") from error
