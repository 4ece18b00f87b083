"""Topics as designed, names that would break them, and what the agent says of itself."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.broker import Message, topic_matches
from edge_agent.config.tagmap import Line
from edge_agent.errors import ConfigurationError
from edge_agent.model.movement import EventType
from edge_agent.model.reading import Instant
from edge_agent.publishing.presence import Presence, Vitals
from edge_agent.publishing.topics import Topics, topic_fault
from tests.publishing.samples import NOON, source, tag_map
from tests.publishing.schemas import validator

MAP = tag_map()


def test_topics_are_as_designed() -> None:
    topics = Topics(replace(MAP, line=Line("acme", "berlin", None, None, "C1"), mqtt=replace(MAP.mqtt, root="a/b")))
    base = "a/b/v1/acme/berlin/_/_/C1"

    assert {event: topics.event(event) for event in EventType} == {
        EventType.CONSUMED: f"{base}/_material/consumed",
        EventType.PRODUCED: f"{base}/_material/produced",
        EventType.MOVED: f"{base}/_material/moved",
        EventType.RETURNED: f"{base}/_material/returned",
        EventType.SCRAPPED: f"{base}/_material/scrapped",
        EventType.SAMPLED: f"{base}/_material/sampled",
        EventType.REVERSED: f"{base}/_material/reversed",
        EventType.VOIDED: f"{base}/_ops/voided",
        EventType.IN_REVIEW: f"{base}/_ops/review",
        EventType.DECIDED: f"{base}/_ops/decided",
        EventType.EXCEPTION: f"{base}/_ops/exception",
        EventType.SNAPSHOT: f"{base}/_recon/snapshot",
    }
    assert topics.discrepancy == f"{base}/_recon/discrepancy"
    assert topics.state == f"{base}/_gateway/l3-edge/state"
    assert topics.heartbeat == f"{base}/_gateway/l3-edge/heartbeat"
    assert topics.command("replay") == f"{base}/_gateway/l3-edge/cmd/replay"
    assert topics.reply("replay") == f"{base}/_gateway/l3-edge/cmd/replay/reply"


@pytest.mark.parametrize("name", ["a/b", "a+b", "#", "a\0b", "a\ud800", "x" * 70_000, "￾"])
def test_names_that_break_a_topic_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="topic"):
        Topics(replace(MAP, line=replace(MAP.line, site=name)))
    with pytest.raises(ConfigurationError, match="topic"):
        Topics(replace(MAP, agent=name))


@given(st.text())
def test_a_fit_topic_is_fit_for_mqtt(topic: str) -> None:
    if topic_fault(topic) is None:
        assert 0 < len(topic.encode()) <= 65_535
        assert not set(topic) & set("+#\0")


@pytest.mark.parametrize(
    ("wanted", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("a/#", "b/a", False),
        ("#", "a/b", True),
        ("+/+", "/a", True),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/b/#", "a", False),
    ],
)
def test_filters_match_as_mqtt_says(wanted: str, topic: str, matches: bool) -> None:
    assert topic_matches(wanted, topic) is matches


VITALS = Vitals(
    Instant(NOON, 123_456_789, "boot-1"),
    {source("critical"): 12, source("ops"): 0},
    {"critical": 3, "ops": 0},
    NOON,
    {source("critical"): "ab" * 32, source("ops"): "0" * 64},
)


def test_the_gateway_messages_are_valid_cloudevents() -> None:
    presence = Presence(MAP, "1.0.0", timedelta(seconds=10))
    messages = {
        "birth": presence.birth(VITALS),
        "heartbeat": presence.heartbeat(VITALS),
        "death": presence.death(VITALS, "lost"),
    }

    ids = set()
    for name, message in messages.items():
        event = JSONFormat().read(CloudEvent, message.payload)
        validator(f"urn:edgeagent:schema:gateway.{name}:1").validate(event.get_data())
        assert event.get_type() == f"io.edgeagent.gateway.{name}.v1"
        assert event.get_dataschema() == f"urn:edgeagent:schema:gateway.{name}:1"
        assert dict(message.properties) == {
            "type": event.get_type(),
            "source": event.get_source(),
            "id": event.get_id(),
        }
        assert message.content_type == "application/cloudevents+json"
        ids.add(event.get_id())
    assert len(ids) == 3
    assert {name: (m.retain, m.expiry) for name, m in messages.items()} == {
        "birth": (True, None),
        "heartbeat": (False, 30),
        "death": (True, None),
    }
    assert json.loads(messages["death"].payload)["data"] == {
        "bootId": "boot-1",
        "version": "1.0.0",
        "configHash": "c0" * 32,
        "streams": {source("critical"): 12, source("ops"): 0},
        "hashes": {source("critical"): "ab" * 32, source("ops"): "0" * 64},
        "queueDepth": {"critical": 3, "ops": 0},
        "oldestUnsent": "2026-03-04T12:00:00.000Z",
        "clockState": {"utc": "2026-03-04T12:00:00.000Z", "monotonicNs": 123456789},
        "reason": "lost",
    }


def test_a_packet_is_never_larger_than_said() -> None:
    message = Message("töpic", b"x" * 100, content_type="a/b", expiry=3, properties=(("näme", "välue"),))

    assert message.packet_size >= 2 + 6 + 2 + 1 + (3 + 3) + 5 + (5 + 5 + 6) + 100
