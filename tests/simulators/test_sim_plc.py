"""What the PLC shows: registers that wrap, and a handshake that never loses a pallet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from edge_agent_simulators.plc import UINT16, UINT32, CounterRegister, Handshake, sscc

AT = datetime(2026, 3, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@given(st.sampled_from([UINT16, UINT32]), st.integers(0, 2_000), st.lists(st.integers(0, 1), max_size=3_000))
def test_a_register_is_the_pulses_modulo_its_width(modulus: int, below: int, pulses: list[int]) -> None:
    first = (modulus - below) % modulus
    register = CounterRegister("::x", modulus, first)
    wraps = sum(register.count(pulse) for pulse in pulses)
    assert first + sum(pulses) == register.value + wraps * modulus
    assert 0 <= register.shown < modulus


def test_a_masked_register_counts_on_unseen() -> None:
    register = CounterRegister("::x", UINT16, 65_534, masked=0)
    assert [register.count(1), register.count(1), register.count(1)] == [False, True, False]
    assert register.shown == 0
    register.masked = None
    assert register.shown == 1


@given(st.integers(0, 10**9 - 1))
def test_an_sscc_passes_the_gs1_check(serial: int) -> None:
    code = sscc(serial)
    assert len(code) == 18
    assert code.isdecimal()
    # GS1 General Specifications 7.9.1: weights 3 and 1 alternate from the right, the check digit itself weighs 1
    assert sum(int(digit) * (1 if place % 2 == 0 else 3) for place, digit in enumerate(reversed(code))) % 10 == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pallet"), st.integers(1, 60)),
        st.tuples(st.just("cycle"), st.integers(1, 5)),
        st.tuples(st.just("ack"), st.integers(-3, 1)),
        st.tuples(st.just("reraise"), st.just(0)),
    ),
    max_size=120,
)


@given(STEPS, st.sampled_from([0, 17, UINT32 - 2]))
def test_no_pallet_is_lost_and_none_is_raised_before_the_last_is_acknowledged(
    steps: list[tuple[str, int]], number: int
) -> None:
    plc = Handshake(seq=number, ack=number, limit_cycles=3)
    given_up: list[int] = []
    now = AT
    for what, value in steps:
        now += MILLISECOND
        if what == "pallet":
            given_up.append(value)
            plc.add(value, now)
        elif what == "ack":
            plc.acknowledge((plc.seq + value) % UINT32)
        elif what == "reraise":
            plc.reraise()
        else:
            for _ in range(value):
                was_open = plc.open
                raised = plc.cycle(now)
                assert raised is None or was_open is None
                assert plc.open is None or plc.block_cases == plc.open.cases
    while plc.outstanding:
        now += MILLISECOND
        plc.cycle(now)
        plc.acknowledge(plc.seq)
    assert [pallet.cases for pallet in plc.pallets] == given_up
    expected = [(number + 1 + place) % UINT32 for place in range(len(given_up))]
    assert [pallet.number for pallet in plc.pallets] == expected
    assert len({pallet.sscc for pallet in plc.pallets}) == len(given_up)
    assert all(pallet.acknowledgements >= 1 for pallet in plc.pallets)


def test_the_time_limit_is_counted_and_changes_nothing() -> None:
    plc = Handshake(seq=5, ack=5, limit_cycles=10)
    plc.add(3, AT)
    for _ in range(36):
        plc.cycle(AT)
    assert plc.open is not None
    assert (plc.open.number, plc.open.overruns, plc.outstanding) == (6, 3, 1)
    plc.acknowledge(6)
    plc.result = 4
    plc.cycle(AT)
    assert (plc.outstanding, plc.pallets[0].result) == (0, 4)


def test_a_late_acknowledgement_of_an_old_number_ends_no_new_one() -> None:
    plc = Handshake(seq=5, ack=5)
    plc.add(3, AT)
    plc.cycle(AT)
    plc.acknowledge(6)
    plc.cycle(AT)
    plc.add(2, AT)
    plc.cycle(AT)
    plc.acknowledge(6)
    plc.cycle(AT)
    assert plc.open is not None
    assert plc.open.number == 7
    assert plc.stray_acks == 1


def test_after_a_reraise_the_same_number_wants_its_acknowledgement_again() -> None:
    plc = Handshake(seq=5, ack=5)
    assert not plc.reraise()
    plc.add(3, AT)
    plc.cycle(AT)
    plc.acknowledge(6)
    plc.cycle(AT)
    assert plc.reraise()
    assert (plc.seq, plc.ack, plc.outstanding, plc.block_cases) == (6, 5, 1, 3)
    plc.acknowledge(6)
    plc.cycle(AT + MILLISECOND)
    pallet = plc.pallets[0]
    assert (pallet.acknowledgements, pallet.reraised, pallet.acknowledged) == (2, 1, AT)
    assert plc.outstanding == 0


def test_a_plc_that_forgets_counts_from_the_beginning_and_no_label_comes_twice() -> None:
    plc = Handshake(seq=7, ack=7)
    for cases in (3, 4, 5):
        plc.add(cases, AT)
    plc.cycle(AT)
    plc.acknowledge(8)
    plc.cycle(AT)
    plc.cycle(AT)
    assert [pallet.cases for pallet in plc.forget()] == [5], "what stood open had been shown"
    assert (plc.seq, plc.ack, plc.block_sscc, plc.open, plc.outstanding) == (0, 0, "", None, 0)
    plc.add(6, AT)
    plc.cycle(AT)
    assert (plc.seq, plc.block_cases) == (1, 6)
    assert len({pallet.sscc for pallet in plc.pallets}) == 3
