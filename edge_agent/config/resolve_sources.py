"""Sources: endpoints, security and logins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath

from edge_agent.config.codes import Code
from edge_agent.config.devices import Application, CommandSource, OpcUaSource, Source
from edge_agent.config.document import AnySource, ApplicationSection, LoginSection, ModbusSection, OpcUaSection
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_modbus import resolve_modbus
from edge_agent.config.urls import OPCUA_PORTS, endpoint

NO_SECURITY = "None"
POLICIES = ("Basic256Sha256", "Aes256Sha256RsaPss", "Aes128Sha256RsaOaep")
MODES = ("SignAndEncrypt", "Sign")
_OLD_POLICIES = frozenset({"Basic128Rsa15", "Basic256"})
_ADVICE = f"write {POLICIES[0]}/{MODES[0]}, or None on purpose"


@dataclass(frozen=True, slots=True)
class Login:
    """A user and the file of the password; both None without a login."""

    user: str | None = None
    password_file: FilePath | None = None


def resolve_sources(sections: dict[str, AnySource], report: Report) -> dict[str, Source]:
    """Every source whose endpoint and files are right."""
    found: dict[str, Source] = {}
    for name, section in sections.items():
        path: Path = ("sources", name)
        source: Source | None
        if isinstance(section, OpcUaSection):
            source = _opcua(name, section, report, path)
        elif isinstance(section, ModbusSection):
            source = resolve_modbus(name, section, report, path)
        else:
            source = CommandSource(name)
        if source is not None:
            found[name] = source
    return found


def _opcua(name: str, section: OpcUaSection, report: Report, path: Path) -> OpcUaSource | None:
    where = report.attempt((*path, "opcua"), endpoint, section.opcua, OPCUA_PORTS)
    login = resolve_login(section.login, report, (*path, "login"))
    if section.security is None:
        message = f"the source {shown(name)} does not say how it is secured"
        report.error(path, Code.NO_SECURITY, message, f"in `security`, {_ADVICE}", key=True)
        return None
    security = report.attempt((*path, "security"), _security, section.security)
    trust = _file(section.trust, report, (*path, "trust"))
    application = _application(section.application, report, (*path, "application"))
    if where is None or login is None or security is None:
        return None
    if security == NO_SECURITY:
        _refuse_idle(section, report, path)
    return OpcUaSource(
        name=name,
        url=where.url,
        namespaces=section.namespaces,
        sample=section.sample,
        security=None if security == NO_SECURITY else security,
        user=login.user,
        password_file=login.password_file,
        trust=trust,
        application=application,
    )


def _security(text: str) -> str:
    """`None` or `Policy/Mode`. Raises Unfit (reliability.md, Security)."""
    policy, _, mode = text.partition("/")
    if text == NO_SECURITY or (policy in POLICIES and mode in MODES):
        return text
    if policy in _OLD_POLICIES:
        raise Unfit(Code.NO_SECURITY, f"{shown(policy)} is broken and deprecated (OPC 10000-7)", _ADVICE)
    raise Unfit(Code.NO_SECURITY, f"{shown(text)} is not a security this agent knows", _ADVICE)


def _application(section: ApplicationSection | None, report: Report, path: Path) -> Application | None:
    if section is None:
        return None
    cert = _file(section.cert, report, (*path, "cert"))
    key = _file(section.key, report, (*path, "key"), secret=True)
    return None if cert is None or key is None else Application(cert, key)


def _file(text: str | None, report: Report, place: Path, *, secret: bool = False) -> FilePath | None:
    return None if text is None else report.file(place, text, secret=secret)


def _refuse_idle(section: OpcUaSection, report: Report, path: Path) -> None:
    """Certificates that nothing would look at; `trust` is looked at where a password is encrypted for the server."""
    idle = [("application", section.application), ("trust", None if section.login else section.trust)]
    for key, given in idle:
        if given is not None:
            message = f"without security, `{key}` means nothing"
            report.error((*path, key), Code.CONFLICT, message, f"{_ADVICE}, or remove `{key}`", key=True)


def resolve_login(section: LoginSection | None, report: Report, path: Path) -> Login | None:
    """The login with its password file; an empty one where there is no section, None where the file is unfit."""
    if section is None:
        return Login()
    place = (*path, "password_file")
    password = report.file(place, section.password_file, secret=True)
    return None if password is None else Login(section.user, password)
