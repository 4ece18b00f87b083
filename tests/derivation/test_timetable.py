"""When a cadence cuts: against a clock that is walked minute by minute, through both changes of daylight saving."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.config.tagmap import Cadence, Calendar, CutAt
from edge_agent.derivation.timetable import next_cut, posting_day

BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}
MINUTE = timedelta(minutes=1)
FAR = timedelta(days=366)


def calendar(day_starts: time = time(6), zone: ZoneInfo = BERLIN) -> Calendar:
    return Calendar(zone, day_starts, SHIFTS)


def walked(now: datetime, zone: ZoneInfo, is_there: Callable[[datetime], bool]) -> datetime:
    """The first whole minute after `now` whose local wall clock `is_there` likes."""
    at = now.replace(second=0, microsecond=0) + MINUTE
    while not is_there(at.astimezone(zone)):
        at += MINUTE
    return at


SPRING, AUTUMN = datetime(2026, 3, 27, tzinfo=UTC), datetime(2026, 10, 23, tzinfo=UTC)
MOMENTS = st.builds(
    lambda begin, seconds: begin + timedelta(seconds=seconds),
    st.sampled_from([SPRING, AUTUMN]),
    st.integers(0, 4 * 86_400),
)
PERIODS = st.sampled_from([timedelta(minutes=minutes) for minutes in (1, 5, 15, 20, 30, 60)])


@given(MOMENTS, PERIODS, st.sampled_from([BERLIN, KOLKATA]))
@example(AUTUMN + timedelta(days=2, minutes=45), timedelta(minutes=15), BERLIN)
@example(AUTUMN + timedelta(days=2, hours=1, minutes=59, seconds=59), timedelta(minutes=60), BERLIN)
@example(SPRING + timedelta(days=2, minutes=59, seconds=59), timedelta(minutes=60), BERLIN)
def test_an_aligned_cadence_cuts_whenever_the_plants_clock_shows_a_multiple(
    now: datetime, every: timedelta, zone: ZoneInfo
) -> None:
    minutes = every // MINUTE
    expected = walked(now, zone, lambda local: (local.hour * 60 + local.minute) % minutes == 0)
    assert next_cut(Cadence("c", every, "bulk", aligned=True), calendar(zone=zone), now) == expected


@given(MOMENTS)
def test_a_shift_end_cuts_when_the_next_shift_begins(now: datetime) -> None:
    starts = {(start.hour, start.minute) for start in SHIFTS.values()}
    expected = walked(now, BERLIN, lambda local: (local.hour, local.minute) in starts)
    cadence = Cadence("c", FAR, "routine", or_at=frozenset({CutAt.SHIFT_END}))
    assert next_cut(cadence, calendar(), now) == expected


@given(MOMENTS)
def test_no_cadence_reaches_across_the_start_of_a_posting_day(now: datetime) -> None:
    due = next_cut(Cadence("c", FAR, "routine"), calendar(), now)
    assert due == walked(now, BERLIN, lambda local: (local.hour, local.minute) == (6, 0))
    assert posting_day(calendar(), due) == posting_day(calendar(), due - timedelta(microseconds=1)) + timedelta(days=1)


@pytest.mark.parametrize(
    ("cron", "now", "due"),
    [
        ("30 6 * * 1-5", "2026-03-27T05:30:00", "2026-03-30T04:30:00"),  # Friday's has been; Monday is summer time
        ("30 2 * * *", "2026-03-28T12:00:00", "2026-03-29T01:00:00"),  # 02:30 is skipped: at once when the hour is over
        ("30 2 * * *", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),  # 02:30 comes twice: the first counts
        ("*/15 * * * *", "2026-10-25T00:45:00", "2026-10-25T01:00:00"),
        ("0 0 1 * *", "2026-01-31T23:30:00", "2026-02-28T23:00:00"),
    ],
)
def test_cron_is_in_the_plants_time(cron: str, now: str, due: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    plant = calendar(time(12))
    found = next_cut(Cadence("c", None, "bulk", cron=cron), plant, at)
    while found.astimezone(BERLIN).time() == plant.day_starts:  # a posting day begins: another reason to cut
        found = next_cut(Cadence("c", None, "bulk", cron=cron), plant, found)
    assert found.isoformat() == f"{due}+00:00"


@given(MOMENTS, st.times().map(lambda at: at.replace(second=0, microsecond=0)))
def test_a_posting_day_never_goes_back_and_none_is_left_out(now: datetime, day_starts: time) -> None:
    days = [posting_day(calendar(day_starts), now + timedelta(minutes=7 * at)) for at in range(400)]
    assert all(timedelta(0) <= later - day <= timedelta(days=1) for day, later in pairwise(days))


def test_a_free_cadence_counts_from_what_is_pending_first() -> None:
    now = datetime(2026, 3, 2, 11, 0, 30, tzinfo=UTC)
    assert next_cut(Cadence("c", timedelta(minutes=5), "routine"), calendar(), now) == now + timedelta(minutes=5)
