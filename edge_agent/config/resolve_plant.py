"""What is not about material: line, calendar, broker, buffer, ownership."""

from __future__ import annotations

import re
from datetime import time
from pathlib import Path as FilePath
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from edge_agent.config.codes import Code
from edge_agent.config.document import (
    BufferSection,
    CalendarSection,
    LineSection,
    MqttSection,
    OwnershipSection,
    TlsSection,
)
from edge_agent.config.findings import shown
from edge_agent.config.mqtt_reference import Address, Mqtt, Tls
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_sources import resolve_login
from edge_agent.config.tagmap import Buffer, Calendar, Line, Ownership
from edge_agent.config.urls import MQTT_PORTS, Endpoint, endpoint
from edge_agent.config.yaml_nodes import Seq

_ENCRYPTED = "mqtts"
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}")


def resolve_line(section: LineSection) -> Line:
    """The equipment path."""
    return Line(section.enterprise, section.site, section.area, section.line, section.cell)


def resolve_calendar(section: CalendarSection, report: Report) -> Calendar | None:
    """The plant's time; shifts begin at different times."""
    begun: dict[time, str] = {}
    for name, start in section.shifts.items():
        if start in begun:
            message = f"the shifts {shown(begun[start])} and {shown(name)} begin at the same time"
            report.error(("calendar", "shifts", name), Code.CONFLICT, message)
        begun.setdefault(start, name)
    zone = _zone(section.time_zone, report)
    return None if zone is None else Calendar(zone, section.day_starts, section.shifts)


def _zone(name: str, report: Report) -> ZoneInfo | None:
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    advice = report.findings.nearest(name, available_timezones()) or "use an IANA name like Europe/Berlin, or UTC"
    report.error(("calendar", "time_zone"), Code.BAD_TIME_ZONE, f"there is no time zone {shown(name)}", advice)
    return None


def resolve_mqtt(section: MqttSection, report: Report) -> Mqtt | None:
    """The broker's addresses with its files."""
    places = _places(section, report)
    login = resolve_login(section.login, report, ("mqtt", "login"))
    tls = None if section.tls is None else _tls(section.tls, report)
    if places is None or login is None:
        return None
    encrypted = places[0].scheme == _ENCRYPTED
    if section.tls is not None and not encrypted:
        message = "mqtt:// is not encrypted, so `tls` means nothing"
        report.error(("mqtt", "tls"), Code.CONFLICT, message, "write mqtts:// in `url`, or remove `tls`", key=True)
    first, *others = (Address(place.host, place.port) for place in places)
    return Mqtt(
        host=first.host,
        port=first.port,
        tls=(tls or Tls()) if encrypted else None,
        root=section.root,
        user=login.user,
        password_file=login.password_file,
        others=tuple(others),
        protocol=section.protocol,
    )


def _places(section: MqttSection, report: Report) -> list[Endpoint] | None:
    """The broker's endpoints, the preferred one first: each once, all encrypted or none."""
    listed = isinstance(report.node("mqtt", "url"), Seq)
    found: list[Endpoint] = []
    for index, url in enumerate(section.url):
        path: Path = ("mqtt", "url", index) if listed else ("mqtt", "url")
        place = report.attempt(path, endpoint, url, MQTT_PORTS)
        if place is None:
            continue
        if place in found:
            report.error(path, Code.CONFLICT, f"{shown(url)} is listed already", "name each address once")
        elif found and place.scheme != found[0].scheme:
            message = f"{shown(place.scheme)} beside {shown(found[0].scheme)}: what is encrypted must not go out plain"
            report.error(path, Code.CONFLICT, message, "write mqtts:// in all of them")
        found.append(place)
    return found if len(found) == len(section.url) else None


def _tls(section: TlsSection, report: Report) -> Tls:
    if (section.cert is None) != (section.key is None):
        present = "key" if section.cert is None else "cert"
        message = "`cert` and `key` are of use only together"
        report.error(("mqtt", "tls", present), Code.MISSING_KEY, message, "give both, or neither", key=True)

    def file(key: str, text: str | None) -> FilePath | None:
        path: Path = ("mqtt", "tls", key)
        if text is None:
            return None
        return report.file(path, text, secret=key == "key")

    return Tls(file("ca", section.ca), file("cert", section.cert), file("key", section.key))


def resolve_buffer(section: BufferSection) -> Buffer:
    """The store's cap and replay window."""
    return Buffer(section.max_size, section.keep_sent, section.when_full)


def resolve_ownership(sections: dict[int, OwnershipSection], report: Report) -> tuple[Ownership, ...]:
    """Systems of record; one pattern and stock type has one owner."""
    owners: dict[tuple[str, str], str] = {}
    for index, section in sections.items():
        for state in section.states or [""]:
            owner = owners.setdefault((section.locations, state), section.owner)
            if owner != section.owner:
                message = f"{shown(section.locations)} is owned by {shown(owner)} already"
                report.error(("ownership", index), Code.OWNED_TWICE, message, "one system of record for each")
                break
    return tuple(Ownership(entry.locations, entry.owner, tuple(entry.states)) for entry in sections.values())
