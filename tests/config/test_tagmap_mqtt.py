"""The `mqtt` section: several addresses, the protocol version, files of TLS and login."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.findings import Finding
from edge_agent.config.loader import load
from edge_agent.config.mqtt_reference import Address, Mqtt, MqttProtocol, Tls
from tests.config.conftest import Load

Bad = Callable[[str, tuple[tuple[str, str], ...]], Finding]

WHOLE = 'mqtt: {url: "mqtt://127.0.0.1:1883", root: mat}'


def _mqtt(load_text: Load, bottling_line: str, section: str) -> Mqtt:
    assert WHOLE in bottling_line
    loaded = load_text(bottling_line.replace(WHOLE, section))
    assert not loaded.errors, [finding.render() for finding in loaded.errors]
    assert not loaded.unsupported
    assert loaded.tag_map is not None
    return loaded.tag_map.mqtt


def test_one_address_speaks_what_the_broker_speaks(load_text: Load, bottling_line: str) -> None:
    mqtt = _mqtt(load_text, bottling_line, "mqtt: {url: mqtt://broker, root: mat}")
    assert mqtt == Mqtt("broker", 1883, None, "mat")
    assert mqtt.addresses == (Address("broker", 1883),)
    assert mqtt.protocol is MqttProtocol.AUTO


def test_a_list_is_an_order_of_preference(load_text: Load, bottling_line: str) -> None:
    section = 'mqtt: {url: ["mqtts://a", "mqtts://[::1]:8884", "mqtts://10.0.0.1"], root: mat, protocol: "3.1.1"}'
    mqtt = _mqtt(load_text, bottling_line, section)
    assert [str(address) for address in mqtt.addresses] == ["a:8883", "[::1]:8884", "10.0.0.1:8883"]
    assert mqtt.tls == Tls()
    assert mqtt.protocol is MqttProtocol.V3_1_1


def test_tls_and_login_are_run(load_text: Load, bottling_line: str, map_directory: Path) -> None:
    section = (
        "mqtt: {url: mqtts://a, root: mat, tls: {ca: pki/ca.pem, cert: pki/l3.pem, key: pki/l3.key}, "
        "login: {user: edge, password_file: secrets/filler}}"
    )
    mqtt = _mqtt(load_text, bottling_line, section)
    pki = map_directory / "pki"
    assert mqtt.tls == Tls(pki / "ca.pem", pki / "l3.pem", pki / "l3.key")
    assert (mqtt.user, mqtt.password_file) == ("edge", map_directory / "secrets/filler")


@pytest.mark.parametrize(
    ("code", "url"),
    [
        ("EA-1601", '["mqtt://a", »"http://b"]'),
        ("EA-1601", '["mqtt://a", »"mqtt://user:secret@b"]'),
        ("EA-1209", '["mqtt://a", »"mqtt://a:1883"]'),
        ("EA-1209", '["mqtts://a", »"mqtt://b"]'),
        ("EA-1108", "»[]"),
        ("EA-1109", "»[17]"),
        ("EA-1203", "»{a: b}"),
    ],
)
def test_a_bad_address_is_pointed_at(check_bad: Bad, code: str, url: str) -> None:
    check_bad(code, (('"mqtt://127.0.0.1:1883"', url),))


@pytest.mark.parametrize(("code", "protocol"), [("EA-1204", '»"4"'), ("EA-1109", "»5"), ("EA-1109", "»3.1")])
def test_a_bad_version_is_pointed_at(check_bad: Bad, code: str, protocol: str) -> None:
    check_bad(code, (("root: mat}", f"root: mat, protocol: {protocol}}}"),))


@pytest.mark.parametrize("name", ["pki/l3.key", "secrets/filler"])
def test_a_secret_others_may_read_is_refused(bottling_line: str, map_directory: Path, name: str) -> None:
    (map_directory / name).chmod(0o644)
    file = map_directory / "map.yaml"
    section = (
        "mqtt: {url: mqtts://a, root: mat, tls: {cert: pki/l3.pem, key: pki/l3.key}, "
        "login: {user: edge, password_file: secrets/filler}}"
    )
    file.write_text(bottling_line.replace(WHOLE, section))
    errors = load([file]).errors
    assert [error.code for error in errors] == ["EA-1304"]
    assert name in errors[0].message
