"""What strangers may send: everything but an exact command is refused with a reason, quickly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.inbound.payload import PayloadRefused, decode_object
from edge_agent.inbound.replay import parse

SOURCE = "urn:edgeagent:l3-edge:0b7d2f4e:routine"
GOOD: dict[str, Any] = {"source": SOURCE, "from": 3, "to": 9}
ENVELOPE = {
    "specversion": "1.0",
    "type": "io.edgeagent.cmd.replay.v1",
    "source": "urn:mes",
    "id": "17",
    "time": "2026-03-04T12:00:00Z",
    "data": GOOD,
}


def test_bare_data_is_a_command() -> None:
    identity, command = parse(json.dumps(GOOD).encode())

    assert (identity, command.source, command.first, command.last, command.id) == (None, SOURCE, 3, 9, None)


def test_bare_data_may_have_an_id_and_an_expiry() -> None:
    identity, command = parse(json.dumps(GOOD | {"id": "n-1", "expires": "2026-03-04T12:00:00Z"}).encode())

    assert (identity, command.id) == ("n-1", "n-1")
    assert command.expires == datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_a_cloudevent_is_a_command_known_by_its_source_and_id() -> None:
    identity, command = parse(json.dumps(ENVELOPE).encode())

    assert (identity, command.id, command.first) == ("urn:mes 17", "17", 3)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"from": 0}, "from"),
        ({"from": -3}, "from"),
        ({"from": True}, "from"),
        ({"from": 3.0}, "not a whole number"),
        ({"from": "3"}, "from"),
        ({"from": None}, "from"),
        ({"from": [3]}, "from"),
        ({"from": 10}, "from 10 is above to 9"),
        ({"to": 10**19}, "to"),
        ({"to": 10**30}, "31 digits"),
        ({"source": ""}, "source"),
        ({"source": "urn:edgeagent:l3"}, "source"),
        ({"source": "urn:edgeagent:l3:\u202e:x"}, "source"),
        ({"source": "urn:edgeagent:l3:a:" + "x" * 600}, "source"),
        ({"source": "urn:edgeagent:l3:a:x\n"}, "source"),
        ({"source": 7}, "source"),
        ({"id": ""}, "id"),
        ({"id": "ä"}, "id"),
        ({"id": "x" * 257}, "id"),
        ({"expires": 1772625600}, "expires"),
        ({"expires": "2026-03-04"}, "expires"),
        ({"expires": "tomorrow"}, "expires"),
        ({"also": 1}, "also"),
        ({"a" * 5000: 1}, "Extra"),
        ({"\ud800": 1}, "valid string"),
    ],
)
def test_inexact_data_is_refused_bare_and_in_an_envelope(change: dict[str, Any], why: str) -> None:
    for body in (GOOD | change, ENVELOPE | {"data": GOOD | change}):
        with pytest.raises(PayloadRefused, match=why) as refused:
            parse(json.dumps(body).encode())
        assert len(str(refused.value)) < 1000
        str(refused.value).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"specversion": 1.0},
        {"type": "io.edgeagent.cmd.count.v1"},
        {"id": None},
        {"id": ""},
        {"source": ""},
        {"data": None},
        {"data": "{}"},
        {"data": [GOOD]},
    ],
)
def test_an_inexact_envelope_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PayloadRefused):
        parse(json.dumps(ENVELOPE | change).encode())


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "not JSON"),
        (b"replay", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"17", "not a JSON object"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a": NaN}', "not a whole number"),
        (b'{"a": -Infinity}', "not a whole number"),
        (b'{"a": 1e999}', "not a whole number"),
        (b'{"a": 1_0}', "not JSON"),
        (b'{"a": 1, "a": 1}', "key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "key twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b"[" * 60_000, "nested deeper"),
        (b'{"a":' * 10_000, "nested deeper"),
        (b" " * 65_537, "more than 65536"),
        (b'{"a": 1} x', "not JSON"),
        (b'{"a": "\x01"}', "not JSON"),
    ],
)
def test_bad_json_is_refused(payload: bytes, why: str) -> None:
    with pytest.raises(PayloadRefused, match=why):
        decode_object(payload)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_noise_is_refused_and_never_an_error(payload: bytes) -> None:
    with pytest.raises(PayloadRefused):
        parse(payload)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(["source", "from", "to", "id", "expires", "data", "specversion"]), _json))
def test_almost_commands_are_refused_and_never_an_error(body: dict[str, Any]) -> None:
    with pytest.raises(PayloadRefused):
        parse(json.dumps(body).encode("utf-8", "surrogatepass"))
