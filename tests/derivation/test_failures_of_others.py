"""What other programs booked from such readings, each from its public description, beside what this one books.

Each rule of others is written here as its project describes it and must be wrong on the readings, or the test says
nothing. `made` is what truly ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from edge_agent.config.devices import ModbusAddress, Tag, TagType
from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import Flag
from edge_agent.sources.modbus_plan import plan
from tests.derivation.plant import COUNT, EPOCH, Bench, counter


def polled(rule: Rule, shown: Sequence[int | Decimal], seconds: float) -> Bench:
    """A bench that has polled these values."""
    bench = Bench(rule)
    for value in shown:
        bench.after(seconds).read(value, continuous=False, source_time=None)
    return bench.rest(3)


def energy(**about: Any) -> Rule:
    """A meter that shows Wh as kWh with three decimals; at most 11 kW, settling in a minute."""
    about = {"max_rate": Decimal(4), "burst": Decimal(100), "wraps_at": None, **about}
    return counter("energy", grain=Decimal("0.001"), rounded=True, factor=Fraction(1, 1000), **about)


# home-assistant: statistics of state class total_increasing (developers.home-assistant.io, blog 2021-08-16; core#55153)


def total_increasing(shown: Sequence[int]) -> int:
    """Below 90 % of the value before a new meter cycle begins: the whole new value counts."""
    return sum(new if new < 0.9 * old else new - old for old, new in pairwise(shown))


@pytest.mark.parametrize(
    ("shown", "made", "booked", "doubts"),
    [
        pytest.param([12_000, 0, 12_004], 4, 4, [], id="a zero for one reading"),
        pytest.param([65_530, 4], 10, 10, [], id="a wrap"),
        pytest.param([20_000, 15_000, 15_004], 4, 4, [("fell", [0, 15_000, 60_536])], id="restored from a backup"),
        pytest.param([20_000, 300, 20_003], 3, 3, [], id="a torn value"),
    ],
)
def test_home_assistant_counts_the_whole_value_below_90_percent(
    shown: list[int], made: int, booked: int, doubts: list[tuple[str, list[int]]]
) -> None:
    assert total_increasing(shown) != made

    bench = Bench(counter()).read(shown[0])
    for value in shown[1:]:
        bench.after(1).read(value)
        bench.rest(3 if doubts else 0)
    assert (bench.rest(3).booked, bench.doubts()) == (booked, doubts)


# evcc: "Metrics: ignore meter rollback" (evcc-io/evcc#30267) and "ignore spurious backward meter totals" (#30592)


def rebased_on_any_value(shown: Sequence[Decimal]) -> Decimal:
    """A negative difference is skipped, and its value remembered all the same."""
    return sum((max(new - old, Decimal(0)) for old, new in pairwise(shown)), Decimal(0))


def never_rebased_backwards(shown: Sequence[Decimal]) -> Decimal:
    """What became of it: a value below the last good one is ignored, for ever."""
    total, last = Decimal(0), shown[0]
    for value in shown[1:]:
        total, last = (total + value - last, value) if value >= last else (total, last)
    return total


def test_evcc_books_the_lifetime_total_when_a_zero_returns() -> None:
    shown = [Decimal(text) for text in ("25567.546", "0", "25567.548", "25567.550")]
    assert rebased_on_any_value(shown) == Decimal("25567.550")

    bench = polled(energy(), shown, 1)
    assert (bench.booked, bench.doubts(), bench.holes()) == (Decimal("0.004"), [], [])
    assert Flag.GLITCH in bench.journal.flags()


def test_evcc_ignores_a_meter_that_was_reset_until_it_has_climbed_back() -> None:
    shown = [Decimal(text) for text in ("13423.700", "0.001", "0.004", "0.008")]
    assert never_rebased_backwards(shown) == 0  # 7 Wh ran since, and whatever runs in the next years

    bench = polled(energy(), shown, 1)
    assert bench.doubts() == [("fell", [0, 0])]  # nothing, or its 8 Wh; quantities are shown as whole ones
    bench.after(1).read(Decimal("0.012"), continuous=False)
    assert bench.booked == Decimal("0.004")

    signed = Bench(energy(epoch_tag=EPOCH)).read(1, EPOCH).read(shown[0]).after(1).read(2, EPOCH)
    signed.read(shown[1]).after(1).read(shown[2]).rest(3)
    assert (signed.booked, signed.doubts()) == (Decimal("0.004"), [])


# esphome: "bl0942: energy counter randomly jumps steps of about 3MWh" (esphome/esphome#15280, #15286, #15650)

TURN = 1 << 24


def every_fall_is_an_overflow(shown: Sequence[int]) -> int:
    return sum(new - old + (TURN if new < old else 0) for old, new in pairwise(shown))


def a_fall_from_the_upper_half_is_an_overflow(shown: Sequence[int]) -> int:
    """The first remedy (#15286): any other fall is a chip reset."""
    return sum(
        (new - old) if new >= old else (new - old + TURN if old > TURN // 2 else new) for old, new in pairwise(shown)
    )


def pulses(**about: Any) -> Rule:
    """The chip's 24 bits, at most 25 pulses a second."""
    return counter("pulses", wraps_at=TURN, **about)


def test_esphome_takes_a_chip_reset_for_an_overflow() -> None:
    shown = [2636, 0, 3]
    assert every_fall_is_an_overflow(shown) == TURN - 2633

    bench = polled(pulses(), shown, 1)
    assert bench.booked == 0
    assert bench.doubts() == [("fell", [3, TURN - 2633])]
    bench.after(1).read(8, continuous=False)
    assert bench.booked == 5  # and is not stuck


def test_esphome_takes_a_chip_reset_in_the_upper_half_for_an_overflow() -> None:
    shown = [9_437_184, 0, 3]
    assert a_fall_from_the_upper_half_is_an_overflow(shown) > 7_000_000

    bench = polled(pulses(), shown, 1)
    assert (bench.booked, [cause for cause, _ in bench.doubts()]) == (0, ["fell"])


def test_a_true_overflow_is_one() -> None:
    bench = polled(pulses(), [TURN - 6, 4], 1)
    assert (bench.booked, bench.doubts(), bench.journal.flags()) == (10, [], {Flag.WRAPPED})


# Growatt_ModbusTCP: word pairs torn or shifted (0xAHA/Growatt_ModbusTCP#446: HIGH=637 LOW=0, one sample or a few)


def differences(shown: Sequence[int]) -> int:
    return sum(max(new - old, 0) for old, new in pairwise(shown))


def published_after_three_polls(shown: Sequence[int]) -> int:
    """The remedy there: a suspicious pair is withheld, and published as genuine at the third poll in a row."""
    believed, run = [shown[0]], 0
    for value in shown[1:]:
        run = run + 1 if value >> 16 and not value & 0xFFFF else 0
        if run in {0, 3}:
            believed.append(value)
    return differences(believed)


@dataclass(frozen=True)
class Torn:
    """Readings of a 32-bit total whose words come from two samples, or from one register further on."""

    name: str
    shown: list[int]
    made: int


TORN = [
    Torn("the low word in the high one's place", [637, 637 << 16, 641], 4),
    Torn("the same for four polls", [637, 637 << 16, 637 << 16, 637 << 16, 637 << 16, 650], 13),
    Torn("65535 to 65536: new high word, old low word", [65_535, 131_071, 65_537], 2),
    Torn("65535 to 65536: old high word, new low word", [65_535, 0, 65_537], 2),
    Torn("a low word of nothing", [70_000, 1 << 16, 70_004], 4),
]


@pytest.mark.parametrize("torn", TORN, ids=lambda torn: torn.name)
def test_growatt_publishes_torn_word_pairs(torn: Torn) -> None:
    assert differences(torn.shown) != torn.made or published_after_three_polls(torn.shown) != torn.made

    bench = polled(counter("u32"), torn.shown, 0.45)
    assert (bench.booked, bench.doubts(), bench.holes()) == (torn.made, [], [])


def test_growatts_remedy_publishes_what_is_torn_for_three_polls() -> None:
    assert published_after_three_polls(TORN[1].shown) > 40_000_000


def test_a_pair_of_words_is_read_in_one_request() -> None:
    tags = [Tag(COUNT, TagType.UINT32, ModbusAddress("hr", offset)) for offset in range(0, 400, 2)]
    for block in plan(tags, "ABCD"):
        for tag in block.tags:
            assert isinstance(tag.address, ModbusAddress)
            assert block.start <= tag.address.offset < tag.address.offset + 1 < block.start + block.count


# AI-on-the-edge-device#4103: a guard stuck for ever ("Rate too high - Read: 205.6619 - Pre: 204.6609", its #2936)


def refused_against_the_last_accepted(shown: Sequence[Decimal], most: Decimal) -> Iterator[Decimal]:
    """A difference above `most` is refused, and what comes next is compared with the same old value again."""
    last = shown[0]
    for value in shown[1:]:
        if 0 <= value - last <= most:
            yield value - last
            last = value


def test_ai_on_the_edge_refuses_every_later_reading() -> None:
    shown = [Decimal("204.6609"), *(Decimal("205.6619") + Decimal(n) / 1000 for n in range(200))]
    accepted = list(refused_against_the_last_accepted(shown, Decimal("0.05")))
    assert accepted == []  # of 200 readings none, though each is plausible after the one before

    water = counter(
        "water",
        grain=Decimal("0.0001"),
        rounded=True,
        factor=Fraction(1, 10_000),
        wraps_at=None,
        max_rate=Decimal(100),
        burst=Decimal(50),
    )
    bench = polled(water, shown, 1)
    (doubt,) = bench.journal.reviews.values()
    assert doubt.cause == "rose-too-fast"
    doubted = max(way.quantity for way in doubt.candidates)
    assert bench.booked + doubted == shown[-1] - shown[0]
    assert doubted < Decimal("1.01")  # the jump, and what ran until it had settled


def test_a_guard_that_refused_a_fall_follows_the_counter_from_there() -> None:
    shown = [Decimal("149.4858"), *(Decimal("149.4857") + Decimal(n) / 1000 for n in range(-300, 0))]
    assert list(refused_against_the_last_accepted(shown, Decimal("0.05"))) == []

    rule = counter("water", grain=Decimal("0.0001"), rounded=True, factor=Fraction(1, 10_000), wraps_at=None)
    bench = polled(rule, shown, 1)
    assert [str(review.cause) for review in bench.journal.reviews.values()] == ["fell"]
    assert bench.booked >= Decimal("0.29")
