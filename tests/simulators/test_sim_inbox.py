"""The MES's inbox: each event once, gaps found, nothing believed that the bytes do not show."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent_simulators.inbox import Inbox
from edge_agent_simulators.posting import decimal_string

GATEWAY = "mat/v1/acme/berlin/filling/L3/_/_gateway/l3-edge"


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    found = Inbox()
    yield found
    found.close()


def ten(maker: Any) -> Any:
    events = maker()
    for number in range(10):
        events.make("consumed", str(number + 1), order="A" if number < 5 else "B")
    return events


@given(order=st.permutations(range(10)), again=st.lists(st.integers(0, 9), max_size=20))
def test_any_order_and_any_number_of_copies_has_the_effect_of_one(
    maker: Any, order: list[int], again: list[int]
) -> None:
    events, inbox = ten(maker), Inbox()
    for number in [*order, *again]:
        inbox.receive(events.topic(), events.sent[number])
    assert inbox.totals() == {
        "consumed/300017/A/L3-HOPPER": Decimal(15),
        "consumed/300017/B/L3-HOPPER": Decimal(40),
    }
    stats = inbox.stats()["sources"][events.source]
    assert (stats["contiguous"], stats["gaps"], stats["duplicates"]) == (10, [], len(again))
    assert (stats["conflicts"], stats["chain_breaks"]) == (0, [])
    assert sum(event["copies"] for event in inbox.events()) == len(inbox.wire()) == 10 + len(again)
    assert inbox.requests(0) == []
    inbox.close()


def test_moved_is_counted_once_produced_at_its_location_and_only_what_is_actual(inbox: Inbox, maker: Any) -> None:
    events = maker()
    inbox.receive(events.topic("moved"), events.make("moved", "96", order=None))
    inbox.receive(events.topic("produced"), events.make("produced", "7.50"))
    inbox.receive(events.topic("consumed"), events.make("consumed", "9", posting="backflush"))
    totals = {key: decimal_string(value) for key, value in inbox.totals().items()}
    assert totals == {"moved/900001//L3-OUT": "96", "produced/900001/4711/L3-OUT": "7.5"}


def test_a_gap_is_asked_for_once_a_second_at_most_and_ever_more_seldom(inbox: Inbox, maker: Any) -> None:
    events = ten(maker)
    for number in (0, 1, 5, 8):
        inbox.receive(events.topic(), events.sent[number])
    asked = []
    for quarter in range(4 * 120):
        asked += [(quarter / 4, replay) for replay in inbox.requests(quarter / 4)]
    times = [at for at, _ in asked]
    assert times[:5] == [1, 3, 7, 15, 31]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert max(pauses) == 30
    assert {(replay.topic, replay.source, replay.first, replay.last) for _, replay in asked} == {
        (f"{GATEWAY}/cmd/replay", events.source, 3, 5)
    }
    assert inbox.stats()["sources"][events.source]["gaps"] == [(3, 5), (7, 8)]
    for number in (2, 3, 4):
        inbox.receive(events.topic(), events.sent[number])
    assert inbox.requests(200) == []
    assert [(r.first, r.last) for r in inbox.requests(201)] == [(7, 8)]


def test_a_heartbeat_shows_what_is_missing_at_the_tail(inbox: Inbox, maker: Any) -> None:
    events = ten(maker)
    inbox.receive(events.topic(), events.sent[0])
    beat = {"data": {"streams": {events.source: 4, "urn:edgeagent:l3-edge:0000-1111:ops": 2, "wrong": "x"}}}
    inbox.receive(f"{GATEWAY}/heartbeat", json.dumps(beat).encode())
    inbox.requests(0)
    assert {(r.source.rpartition(":")[2], r.first, r.last) for r in inbox.requests(5)} == {
        ("routine", 2, 4),
        ("ops", 1, 2),
    }
    inbox.receive(f"{GATEWAY}/cmd/replay", b"our own request comes back")
    inbox.receive(f"{GATEWAY}/cmd/replay/reply", json.dumps({"data": {"sent": 3}}).encode())
    assert inbox.stats()["replies"] == [{"sent": 3}]
    assert inbox.stats()["malformed"] == []


def test_other_bytes_under_a_known_name_are_a_conflict(inbox: Inbox, maker: Any) -> None:
    events = ten(maker)
    for payload in events.sent:
        inbox.receive(events.topic(), payload)
    totals = inbox.totals()
    same_id = events.sent[3].replace(b'"4"', b'"8"')
    same_sequence = events.sent[4].replace(b"routine/5", b"routine/x")
    for payload in (same_id, same_sequence):
        inbox.receive(events.topic(), payload)
    conflicts = inbox.stats()["conflicts"]
    assert [conflict["sequence"] for conflict in conflicts] == [4, 5]
    assert all(conflict["sha256"] != conflict["kept"] for conflict in conflicts)
    assert inbox.totals() == totals


def test_a_changed_event_breaks_the_chain_at_the_next(inbox: Inbox, maker: Any) -> None:
    events = ten(maker)
    payloads = list(events.sent)
    payloads[3] = payloads[3].replace(b'"4"', b'"8"')
    random.Random(1).shuffle(payloads)
    for payload in payloads:
        inbox.receive(events.topic(), payload)
    assert inbox.chain_breaks() == [(events.source, 5)]
    other = maker("other")
    other.make()
    inbox.receive(other.topic(), other.sent[0].replace(b'"prevhash": "0', b'"prevhash": "1'))
    assert (other.source, 1) in inbox.chain_breaks()


@pytest.mark.parametrize(
    "change",
    [
        (b'"1.0"', b'"0.3"'),
        (b'"sequence": "0', b'"sequence": "x'),
        (b'"sequence": "00000000000000000001"', b'"sequence": 1'),
        (b'"12"', b'"1_2"'),
        (b'"12"', b"12"),
        (b'"12"', b'"-12"'),
        (b'"12"', b'"1e5"'),
        (b'"12"', b'"NaN"'),
        (b'"12"', b"NaN"),
        (b'"12"', '"١٢"'.encode()),
        (b'"materialDefinitionID"', b'"materialDefinition"'),
        (b'"storageLocation"', b'"place"'),
        (b'"materialActual"', b'"lines"'),
        (b'"id": "urn', b'"type": "io.edgeagent.material.produced.v1", "id": "urn'),
        (b"{", b"["),
    ],
)
def test_what_cannot_be_read_is_counted_and_posts_nothing(
    inbox: Inbox, maker: Any, change: tuple[bytes, bytes]
) -> None:
    events = maker()
    payload = events.make()
    broken = payload.replace(*change, 1)
    assert broken != payload
    inbox.receive(events.topic(), broken)
    assert len(inbox.stats()["malformed"]) == 1
    assert inbox.totals() == {}
    inbox.receive(events.topic(), payload)
    assert len(inbox.events()) == 1


def test_nesting_and_noise_do_no_harm(inbox: Inbox) -> None:
    for payload in (b"[" * 200_000, b'{"a":' * 200_000, b"\xff\xfe", b"", b"null", b"9" * 5_000):
        inbox.receive("mat/v1/a/b/c/d/e/_material/consumed", payload)
        inbox.receive(f"{GATEWAY}/heartbeat", payload)
    assert len(inbox.stats()["malformed"]) == 12


def test_an_inbox_in_a_file_remembers(tmp_path: Path, maker: Any) -> None:
    events, path = ten(maker), str(tmp_path / "inbox.db")
    first = Inbox(path)
    for number in (0, 1, 4):
        first.receive(events.topic(), events.sent[number])
    totals = first.totals()
    first.close()
    again = Inbox(path)
    assert again.totals() == totals
    again.requests(0)
    assert [(r.topic, r.first, r.last) for r in again.requests(2)] == [(f"{GATEWAY}/cmd/replay", 3, 4)]
    again.receive(events.topic(), events.sent[1])
    assert again.totals() == totals
    assert again.stats()["sources"][events.source]["duplicates"] == 1
    again.close()


@given(st.decimals(0, 10**12, allow_nan=False, allow_infinity=False, places=6))
def test_decimal_strings_have_neither_exponent_nor_trailing_zeros(value: Decimal) -> None:
    text = decimal_string(value)
    assert Decimal(text) == value
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))
