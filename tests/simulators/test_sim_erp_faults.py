"""What an ERP does wrong happens to what it was meant for, and as often; answers get out as they were told to."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edge_agent_simulators.erp_faults import Fault, Faults, Posted, Voice


@dataclass(frozen=True)
class Message:
    topic: str
    text: str = ""


ACK, OTHER = "mat/v1/a/_gateway/l3/cmd/ack", "mat/v1/a/_gateway/l3/cmd/replay"


def posted(number: int = 1, kind: str = "consumed", order: str | None = "4711", lot: str | None = None) -> Posted:
    return Posted(f"event-{number}", kind, order, (("300017", lot, "IN"), ("300018", None, "IN")))


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        (Fault("reject"), True),
        (Fault("reject", material="300018"), True),
        (Fault("reject", material="300019"), False),
        (Fault("reject", material="300017", lot="L1"), True),
        (Fault("reject", material="300018", lot="L1"), False),
        (Fault("reject", location="OUT"), False),
        (Fault("reject", order="4711"), True),
        (Fault("reject", order="4712"), False),
        (Fault("busy", kind="produced"), False),
        (Fault("crash", kind="consumed"), True),
    ],
)
def test_a_fault_meets_what_matches_all_that_it_names(fault: Fault, met: bool) -> None:
    faults = Faults()
    faults.put(fault, "it")
    found = faults.decide(posted(lot="L1"))
    assert (found is fault) == met
    assert faults.met == ([("event-1", "it")] if met else [])


def test_the_nth_and_so_many_times() -> None:
    faults = Faults()
    faults.put(Fault("reject", nth=3), "third")
    faults.put(Fault("busy", times=2), "twice")
    named = [(faults.decide(posted(number)), faults.fault_of(f"event-{number}"))[1] for number in range(1, 6)]
    assert named == ["twice", "twice", "third", None, None]


def test_what_is_put_right_happens_no_more() -> None:
    faults = Faults()
    name = faults.put(Fault("reject"))
    faults.put(Fault("busy"), "other")
    assert faults.put_right(name) == [name]
    assert faults.names() == ["other"]
    assert faults.put_right() == ["other"]
    assert faults.decide(posted()) is None


def test_a_fault_is_made_of_what_a_channel_says() -> None:
    assert Fault.of({"answer": "reject", "code": "unknown_lot", "times": 1}).code == "unknown_lot"
    with pytest.raises(ValueError, match="no colour"):
        Fault.of({"answer": "reject", "colour": "red"})
    with pytest.raises(ValueError, match="none of"):
        Fault.of({"answer": "explode"})


def test_answers_get_out_in_the_manner_that_is_set() -> None:
    voice: Voice[Message] = Voice()
    a, b, other = Message(ACK, "a"), Message(ACK, "b"), Message(OTHER)
    assert voice.say([a, other, b], 0) == [other, a, b]
    voice.set("never")
    assert voice.say([a, other], 1) == [other]
    assert voice.swallowed == 1
    voice.set("twice")
    assert voice.say([a], 2) == [a, a]
    voice.set("late", 60)
    assert voice.say([a], 3) == []
    assert voice.say([], 62) == []
    voice.set("prompt")
    assert voice.say([b], 63) == [a, b]
    voice.set("out of order", 10)
    assert voice.say([a, b], 70) == [b, a]
    assert voice.say([], 80) == [a, b]
    with pytest.raises(ValueError, match="none of"):
        voice.set("loud")
