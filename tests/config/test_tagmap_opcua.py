"""OPC UA security in the tag map: what is written is what is run, files and all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.devices import Application, OpcUaSource
from edge_agent.config.loader import Loaded

Load = Callable[[str], Loaded]
OPEN = "    security: None "


def source(loaded: Loaded) -> OpcUaSource:
    assert loaded.tag_map is not None, loaded.errors
    found = loaded.tag_map.sources["filler"]
    assert isinstance(found, OpcUaSource)
    return found


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes256Sha256RsaPss", "Aes128Sha256RsaOaep"])
@pytest.mark.parametrize("mode", ["SignAndEncrypt", "Sign"])
def test_every_security_is_run(policy: str, mode: str, bottling_line: str, load_text: Load) -> None:
    loaded = load_text(bottling_line.replace(OPEN, f"    security: {policy}/{mode} "))
    assert source(loaded).security == f"{policy}/{mode}"
    assert loaded.unsupported == ()


def test_certificates_are_files_beside_the_map(bottling_line: str, map_directory: Path, load_text: Load) -> None:
    for name, mode in (("plc.der", 0o644), ("l3.der", 0o644), ("l3.key", 0o600)):
        (map_directory / name).write_bytes(b"x")
        (map_directory / name).chmod(mode)
    files = "    trust: plc.der\n    application: {cert: l3.der, key: l3.key}\n"
    secured = f"{files}    security: Basic256Sha256/SignAndEncrypt "
    found = source(load_text(bottling_line.replace(OPEN, secured)))
    assert found.trust == map_directory / "plc.der"
    assert found.application == Application(map_directory / "l3.der", map_directory / "l3.key")


def test_a_key_that_others_may_read_is_refused(bottling_line: str, map_directory: Path, load_text: Load) -> None:
    for name in ("l3.der", "l3.key"):
        (map_directory / name).write_bytes(b"x")
        (map_directory / name).chmod(0o644)
    secured = "    application: {cert: l3.der, key: l3.key}\n    security: Basic256Sha256/SignAndEncrypt "
    (finding,) = load_text(bottling_line.replace(OPEN, secured)).errors
    assert finding.code == "EA-1304"


def test_a_login_in_the_open_may_name_the_server_that_the_password_is_encrypted_for(
    bottling_line: str, map_directory: Path, load_text: Load
) -> None:
    (map_directory / "plc.der").write_bytes(b"x")
    (map_directory / "word").write_bytes(b"x")
    (map_directory / "word").chmod(0o600)
    named = f"    login: {{user: edge, password_file: word}}\n    trust: plc.der\n{OPEN}"
    found = source(load_text(bottling_line.replace(OPEN, named)))
    assert (found.security, found.user, found.trust) == (None, "edge", map_directory / "plc.der")
