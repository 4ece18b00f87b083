"""Which broker, and the secrets for it: read from files at each connection, so that a renewed one needs no restart."""

from __future__ import annotations

import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_OTHERS = 0o077


class BrokerError(Exception):
    """The broker cannot be reached or does not take us; the text says why."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """The broker and how to speak to it. `keepalive` in seconds."""

    host: str
    port: int
    tls: bool
    client_id: str
    user: str | None = None
    password_file: Path | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    keepalive: int = 20

    @property
    def address(self) -> str:
        """For people."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of the base class
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def read_address(url: str) -> tuple[str, int, bool, str | None]:
    """(host, port, TLS, user) of `mqtt://[user@]host[:port]` or `mqtts://…`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError(f"{url!r} is no broker: mqtt://host:port or mqtts://host:port")
    if parts.password is not None:
        raise ValueError("a password does not belong into the address: use password_file")
    return parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "mqtts", parts.username


def tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's name checked, by the system's authorities or `ca`. Raises BrokerError."""
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        context.sslsocket_class = _TlsSocket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert is not None:
            context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise BrokerError(f"the certificates for {settings.address} are unfit: {error}") from error
    return context


def login(settings: BrokerSettings) -> tuple[str | None, str | None]:
    """User and password. Raises BrokerError where the password file is unfit or others than its owner can use it."""
    file = settings.password_file
    if settings.user is None or file is None:
        return settings.user, None
    try:
        if stat.S_IMODE(file.stat().st_mode) & _OTHERS:
            raise BrokerError(f"others than its owner can use the password file {file}: chmod 600 {file}")
        password = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"the password file {file} cannot be read: {error}") from error
    if not password:
        raise BrokerError(f"the password file {file} is empty")
    return settings.user, password
