"""The broker of a tag map as frozen references, without any I/O; part of `tagmap`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tls:
    """Files, relative to the tag map's directory and resolved."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens; `host` without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class MqttProtocol(StrEnum):
    """The protocol version spoken; `auto` is 5 where the broker speaks it, else 3.1.1."""

    AUTO = "auto"
    V5 = "5"
    V3_1_1 = "3.1.1"


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker at `host` and `port`, else the first of `others` that answers.

    `root` is the first level (or levels) of every topic. `tls` None means that nothing is encrypted.
    """

    host: str
    port: int
    tls: Tls | None
    root: str
    user: str | None = None
    password_file: Path | None = None
    others: tuple[Address, ...] = ()
    protocol: MqttProtocol = MqttProtocol.AUTO

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Every address, the preferred one first."""
        return (Address(self.host, self.port), *self.others)
