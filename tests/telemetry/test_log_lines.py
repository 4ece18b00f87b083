"""Log lines: one line each, with a code, in one form for ours and for libraries', and never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from edge_agent.telemetry.log import Code, configure_log, get_logger


@pytest.fixture(autouse=True)
def logging_put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("edge_agent")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def _json(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_key_value_with_the_code_first(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log()
    get_logger("edge_agent.x").warning("lost", code=Code.COMPONENT_LOST, component="filler", detail="no answer\nat all")
    (line,) = capsys.readouterr().err.splitlines()
    before, _, rest = line.partition(" level=")
    assert before.startswith("timestamp=")
    assert rest == r'warning code=EA-2001 event=lost component=filler detail="no answer\nat all"'


def test_json_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(json=True)
    get_logger("edge_agent.x").info("up", code=Code.COMPONENT_UP, component="Füller")
    (line,) = _json(capsys)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {"level": "info", "code": "EA-2002", "event": "up", "component": "Füller"}


def test_a_librarys_warning_comes_in_the_same_form_and_its_chatter_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_log(json=True)
    logging.getLogger("asyncua.somewhere").info("chatter")
    logging.getLogger("asyncua.somewhere").warning("mind %s", "this")
    (line,) = _json(capsys)
    assert (line["code"], line["library"], line["event"]) == ("EA-2000", "asyncua.somewhere", "mind this")


def test_configured_again_the_last_word_counts(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log()
    configure_log(json=True)
    get_logger("edge_agent.x").warning("once")
    assert [line["event"] for line in _json(capsys)] == ["once"]


def test_an_exception_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log()
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        get_logger("edge_agent.x").exception("failed")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ZeroDivisionError: integer division" in line


@pytest.mark.parametrize("key", ["password", "mqtt_password", "client_secret", "token", "PRIVATE_KEY"])
def test_no_secret_by_its_name(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_log()
    get_logger("edge_agent.x").warning("login", **{key: "hunter2"})
    assert "hunter2" not in capsys.readouterr().err


def test_no_secret_in_a_url(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log(json=True)
    get_logger("edge_agent.x").warning("at mqtts://edge:hunter2@broker:8883", detail="opc.tcp://a:hunter2@plc:4840/x")
    (line,) = _json(capsys)
    assert line["event"] == "at mqtts://***@broker:8883"
    assert line["detail"] == "opc.tcp://***@plc:4840/x"


def test_a_logger_works_before_anything_is_configured(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("edge_agent.early").warning("early", code=Code.COMPONENT_LOST)
    (record,) = caplog.records
    assert isinstance(record.msg, dict)
    assert record.msg["event"] == "early"


def test_codes_are_stable_in_form_and_distinct() -> None:
    values = [code.value for code in Code]
    assert len(set(values)) == len(values)
    assert all(len(value) == 7 and value.startswith("EA-") and value[3:].isdigit() for value in values)
