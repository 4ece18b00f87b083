"""Whatever the wire does to an agent's messages, the books end as if it had done nothing (Hypothesis)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from edge_agent_receiver import Accepted, Event
from edge_agent_receiver.answers import Outcome
from edge_agent_receiver.store import Store, open_store
from tests.receiver.agent_log import AgentLog, Sent, evidence
from tests.receiver.plant import Plant, Wire, reject

Stores = Callable[[], Any]
_made = count(1)
_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""In memory: what is on the disk after a crash is tested elsewhere."""

_ACTIONS = st.sampled_from(
    [
        "consume",
        "consume",
        "consume",
        "critical",
        "move",
        "reject",
        "reverse",
        "review",
        "void",
        "snapshot",
        "heartbeat",
    ]
)
_FATES = st.sampled_from(["fine"] * 6 + ["lost", "twice", "late", "changed", "changed twice"])
_PLAN = st.lists(st.tuples(_ACTIONS, _FATES, st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=25)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Makes stores that exist for one example each."""
    cluster = request.getfixturevalue("cluster") if request.param == "postgresql" else None

    @contextmanager
    def make() -> Iterator[Store]:
        with tempfile.TemporaryDirectory(dir=_FAST) as folder:
            url = str(Path(folder) / "inbox.db") if cluster is None else cluster.new_schema(f"model_{next(_made)}")
            store = open_store(url)
            try:
                yield store
            finally:
                store.close()

    return make


class Script:
    """What the agent does, and what becomes of its messages."""

    def __init__(self, plan: list[tuple[str, str, int, int]]) -> None:
        self.log = AgentLog()
        self.messages: list[tuple[Wire, str, int, int]] = []
        self.pairs: list[tuple[Sent, Sent]] = []
        """(original, reversal)"""
        self.voided: list[Sent] = []
        self._position = 0
        for action, fate, where, bits in plan:
            for wire in self._wires(action, where):
                self.messages.append((wire, fate, where, bits))

    @property
    def clean(self) -> list[Wire]:
        return [wire for wire, *_ in self.messages]

    def delivery(self) -> Iterator[tuple[Wire, bool]]:
        """The messages as the wire brings them; true where the receiver is restarted after one."""
        late: list[Wire] = []
        for wire, fate, where, bits in self.messages:
            spoilt = _spoilt(wire, where, bits)
            came = {
                "lost": [],
                "late": [],
                "twice": [wire, wire],
                "changed": [spoilt],
                "changed twice": [spoilt, spoilt],
            }
            for one in came.get(fate, [wire]):
                yield one, where % 7 == 0
            if fate == "late":
                late.append(wire)
        yield from ((wire, False) for wire in reversed(late))

    def _wires(self, action: str, where: int) -> list[Wire]:
        log = self.log
        if action == "heartbeat":
            return [log.heartbeat()]
        if action == "snapshot":
            return [sent.wire for sent in log.snapshot(parts=1 + where % 2)]
        if action == "reverse":
            return self._reversal(where)
        if action == "void":
            lost = self._consumed("routine")
            self.voided.append(lost)
            return [log.void(lost).wire]
        if action == "move":
            return [log.moved("2").wire]
        if action == "review":
            return [log.review().wire]
        stream = "critical" if action == "critical" else "routine"
        return [self._consumed(stream, material="bad" if action == "reject" else "PET").wire]

    def _consumed(self, stream: str, material: str = "PET") -> Sent:
        first, self._position = self._position, self._position + 3
        return self.log.consumed("3", stream=stream, material=material, evidence=evidence(first, first + 3))

    def _reversal(self, where: int) -> list[Wire]:
        taken = {original.id for original, _ in self.pairs}
        names = [sent for sent in self.log.all if _is_material(sent) and sent.id not in taken]
        if not names:
            return []
        original = names[where % len(names)]
        reversal = self.log.reverse(original)
        self.pairs.append((original, reversal))
        return [reversal.wire]


def _is_material(sent: Sent) -> bool:
    return str(json.loads(sent.payload)["type"]).startswith("io.edgeagent.material.")


def _spoilt(wire: Wire, where: int, bits: int) -> Wire:
    topic, payload = wire
    at = where % len(payload)
    return topic, payload[:at] + bytes([payload[at] ^ bits]) + payload[at + 1 :]


def _answer(event: Event) -> Outcome:
    return reject() if any(line.material == "bad" for line in event.lines) else Accepted()


def _bring(store: Store, script: Script, messages: Iterator[tuple[Wire, bool]], **options: Any) -> Plant:
    plant = Plant(store, script.log, **options)
    plant.ledger.answer = _answer
    for wire, restart in messages:
        plant.deliver(wire)
        if restart:
            offered = plant.inbox.offer(plant.now)
            plant.answers(offered[: len(offered) // 2])  # the process ends before it writes that down
            plant.open()
        else:
            plant.step(0.2)
    for _ in range(3):
        plant.deliver(script.log.heartbeat())
        plant.settle(150)
    return plant


def _check(plant: Plant, script: Script) -> None:
    log = script.log
    for stream, sent in log.streams.items():
        assert plant.source(log, stream).filled.contiguous >= len(sent)
        assert plant.source(log, stream).settled >= len(sent)
    done = set(plant.ledger.posted)
    pairs = {one.id for pair in script.pairs for one in pair}
    for original, reversal in script.pairs:
        assert (original.id in done) == (reversal.id in done), "a reversal without its original, or the other way round"
    bad = {sent.id for sent in log.all if b'"bad"' in sent.payload}
    material = [sent for sent in log.all if _is_material(sent) and sent.id not in bad]
    wanted = {sent.id: sent.payload for sent in material if sent not in script.voided}
    assert {key: value for key, value in plant.ledger.contents.items() if key not in pairs} == {
        key: value for key, value in wanted.items() if key not in pairs
    }
    first_offers = [identity for _, identity in plant.ledger.calls if identity not in bad]
    for identity in (identity for identity in plant.ledger.again if identity not in bad):
        first_offers.remove(identity)
    assert len(first_offers) == len(set(first_offers)), "offered twice as if for the first time"


@given(plan=_PLAN)
@settings(max_examples=60)
def test_the_books_are_those_of_a_clean_delivery(stores: Stores, plan: list[tuple[str, str, int, int]]) -> None:
    script = Script(plan)
    with stores() as store:
        clean = _bring(store, script, iter((wire, False) for wire in script.clean))
        _check(clean, script)
        assert clean.open_discrepancies() == ["lost"] * len(clean.open_discrepancies())
    with stores() as store:
        plant = _bring(store, script, script.delivery(), prove=True)
        note(json.dumps(plant.states(script.log)) if plant.source(script.log) else "nothing came")
        _check(plant, script)
        assert plant.ledger.sums == clean.ledger.sums


@given(
    plan=_PLAN.map(
        lambda plan: [
            (action, fate.replace("changed twice", "twice").replace("changed", "lost"), *rest)
            for action, fate, *rest in plan
        ]
    )
)
@settings(max_examples=30)
def test_without_changes_nothing_has_to_be_proven(stores: Stores, plan: list[tuple[str, str, int, int]]) -> None:
    script = Script(plan)
    with stores() as store:
        plant = _bring(store, script, script.delivery())
        _check(plant, script)
