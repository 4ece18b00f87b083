"""Endpoints: scheme, host and port, nothing else; credentials never stand in a URL."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, one_of, shown

MQTT_PORTS = {"mqtt": 1883, "mqtts": 8883}
OPCUA_PORTS = {"opc.tcp": 4840}
MODBUS_PORTS = {"tcp": 502}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[^\]]*\]|[^/:\[\]@?#]*)(?::([0-9]{1,5}))?(/[^\s?#@]*)?")
_HOST = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*"
)
_DOTTED = re.compile(r"[0-9.]+")
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: `host` without brackets."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The endpoint with its port written out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def endpoint(text: str, ports: dict[str, int]) -> Endpoint:
    """`scheme://host[:port]`; only an OPC UA endpoint has a path. Raises Unfit."""
    example = f"write it like {next(iter(ports))}://10.3.0.10:{next(iter(ports.values()))}"
    authority = text.partition("://")[2].partition("/")[0]
    if "@" in authority:
        message = "credentials do not stand in a URL"
        raise Unfit(Code.BAD_URL, message, "use `login: {user: ..., password_file: ...}`")
    match = _URL.fullmatch(text)
    if match is None:
        raise Unfit(Code.BAD_URL, f"{shown(text)} is not a URL of scheme, host and port", example)
    scheme = match[1].lower()
    if scheme not in ports:
        raise Unfit(Code.BAD_URL, f"{shown(match[1])} is not {one_of(ports)}", example)
    if match[4] not in {None, "/"} and scheme not in OPCUA_PORTS:
        raise Unfit(Code.BAD_URL, f"{shown(text)} has a path, which means nothing here", example)
    port = int(match[3]) if match[3] else ports[scheme]
    if not 1 <= port <= _HIGHEST_PORT:
        raise Unfit(Code.BAD_URL, f"port {port} is not between 1 and {_HIGHEST_PORT}", example)
    return Endpoint(scheme, _host(match[2], example), port, match[4] or "")


def _host(text: str, example: str) -> str:
    bare = text.strip("[]")
    if text.startswith("[") or _DOTTED.fullmatch(text):
        try:
            return str(ipaddress.IPv6Address(bare) if text.startswith("[") else ipaddress.IPv4Address(bare))
        except ValueError as error:
            raise Unfit(Code.BAD_URL, f"{shown(text)} is not an IP address", example) from error
    if not _HOST.fullmatch(text):
        raise Unfit(Code.BAD_URL, f"{shown(text)} is not a host name", example)
    return text
