"""Sources: endpoints, security and logins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath

from edge_agent.config.codes import Code
from edge_agent.config.document import LoginSection, ModbusSection, OpcUaSection
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.paths import inside
from edge_agent.config.report import Path, Report
from edge_agent.config.tagmap import ModbusSource, OpcUaSource, Source
from edge_agent.config.urls import MODBUS_PORTS, OPCUA_PORTS, endpoint

NO_SECURITY = "None"
POLICIES = ("Basic256Sha256", "Aes256Sha256RsaPss")
MODE = "SignAndEncrypt"
_OLD_POLICIES = frozenset({"Basic128Rsa15", "Basic256"})
_HIGHEST_UNIT = 255


@dataclass(frozen=True, slots=True)
class Login:
    """A user and the file of the password; both None without a login."""

    user: str | None = None
    password_file: FilePath | None = None


def resolve_sources(sections: dict[str, OpcUaSection | ModbusSection], report: Report) -> dict[str, Source]:
    """Every source whose endpoint and files are right."""
    found: dict[str, Source] = {}
    for name, section in sections.items():
        path: Path = ("sources", name)
        source: Source | None
        if isinstance(section, OpcUaSection):
            source = _opcua(name, section, report, path)
        else:
            source = _modbus(name, section, report, path)
        if source is not None:
            found[name] = source
    return found


def _opcua(name: str, section: OpcUaSection, report: Report, path: Path) -> OpcUaSource | None:
    where = report.attempt((*path, "opcua"), endpoint, section.opcua, OPCUA_PORTS)
    login = resolve_login(section.login, report, (*path, "login"))
    if section.security is None:
        message = f"the source {shown(name)} does not say how it is secured"
        advice = f"write security: {POLICIES[0]}/{MODE}; or security: None, on purpose"
        report.error(path, Code.NO_SECURITY, message, advice, key=True)
        return None
    security = report.attempt((*path, "security"), _security, section.security)
    if where is None or login is None or security is None:
        return None
    return OpcUaSource(
        name=name,
        url=where.url,
        namespaces=section.namespaces,
        sample=section.sample,
        security=None if security == NO_SECURITY else security,
        user=login.user,
        password_file=login.password_file,
    )


def _security(text: str) -> str:
    """`None` or `Policy/SignAndEncrypt`. Raises Unfit (reliability.md, Security)."""
    known = (NO_SECURITY, *(f"{policy}/{MODE}" for policy in POLICIES))
    if text in known:
        return text
    policy, _, mode = text.partition("/")
    advice = f"write {POLICIES[0]}/{MODE}, or None on purpose"
    if policy in _OLD_POLICIES:
        raise Unfit(Code.NO_SECURITY, f"{shown(policy)} is broken and deprecated (OPC 10000-7)", advice)
    if policy in POLICIES and mode:
        raise Unfit(Code.NO_SECURITY, f"{shown(mode)} leaves the traffic readable; only {MODE} is used", advice)
    raise Unfit(Code.NO_SECURITY, f"{shown(text)} is not a security this agent knows", advice)


def _modbus(name: str, section: ModbusSection, report: Report, path: Path) -> ModbusSource | None:
    where = report.attempt((*path, "modbus"), endpoint, section.modbus, MODBUS_PORTS)
    if not 0 <= section.unit_id <= _HIGHEST_UNIT:
        message = f"unit identifier {section.unit_id} is not between 0 and {_HIGHEST_UNIT}"
        report.error((*path, "unit_id"), Code.OUT_OF_RANGE, message)
        return None
    if where is None:
        return None
    return ModbusSource(name, where.url, section.unit_id, section.order, section.poll)


def resolve_login(section: LoginSection | None, report: Report, path: Path) -> Login | None:
    """The login with its password file; an empty one where there is no section, None where the file is unfit."""
    if section is None:
        return Login()
    place = (*path, "password_file")
    password = report.attempt(place, inside, report.directory(place), section.password_file, secret=True)
    return None if password is None else Login(section.user, password)
