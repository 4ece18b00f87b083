"""The plant's clock: posting days, shifts, and when a cadence cuts next (derivation.md, Time and Cadence). Pure.

Local times are the plant's, instants are UTC. Where daylight saving skips a local time, the instant that it would have
had before the change stands for it; where it repeats one, the first counts for days and shifts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from edge_agent.config.tagmap import Cadence, Calendar, CutAt
from edge_agent.model.value import value

_DAY = timedelta(days=1)


@value
class Day:
    """A posting day of the plant: from `starts` on, up to `ends`, which is no part of it."""

    date: date
    starts: datetime
    ends: datetime


def day_of(calendar: Calendar, moment: datetime) -> Day:
    """The posting day that `moment` lies in: it begins at `day_starts` local time."""
    zone, begins = calendar.time_zone, calendar.day_starts
    day = moment.astimezone(zone).date()
    while moment < _instant(zone, day, begins):
        day -= _DAY
    return Day(day, _instant(zone, day, begins), _instant(zone, day + _DAY, begins))


def posting_day(calendar: Calendar, moment: datetime) -> date:
    """The date of the posting day that `moment` lies in."""
    return day_of(calendar, moment).date


def latest_of(calendar: Calendar, times: Iterable[time], now: datetime) -> datetime:
    """The last instant up to `now` at one of the local times (of which there is one at least)."""
    local, shown = now.astimezone(calendar.time_zone).date(), tuple(times)
    days = (local - _DAY, local, local + _DAY)
    return max(at for day in days for each in shown if (at := _instant(calendar.time_zone, day, each)) <= now)


def next_cut(cadence: Cadence, calendar: Calendar, now: datetime) -> datetime:
    """When what is pending from `now` on is cut: by the cadence's own times, but never across a posting day's start.

    Nothing is ever due at `now` itself. A cadence that sends at once has no times of its own.
    """
    due = [_next_at(calendar.time_zone, (calendar.day_starts,), now)]
    if CutAt.SHIFT_END in cadence.or_at:
        due.append(_next_at(calendar.time_zone, calendar.shifts.values(), now))
    if cadence.cron is not None:
        due.append(next(CronSim(cadence.cron, now.astimezone(calendar.time_zone))).astimezone(UTC))
    elif cadence.every is not None:
        due.append(_aligned(cadence.every, calendar.time_zone, now) if cadence.aligned else now + cadence.every)
    return min(due)


def _next_at(zone: ZoneInfo, times: Iterable[time], now: datetime) -> datetime:
    """The first instant after `now` at one of the local times."""
    today = now.astimezone(zone).date()
    days = (today - _DAY, today, today + _DAY, today + 2 * _DAY)
    return min(at for day in days for each in times if (at := _instant(zone, day, each)) > now)


def _aligned(every: timedelta, zone: ZoneInfo, now: datetime) -> datetime:
    """The first instant after `now` whose local time of day is a multiple of `every`, which divides a day.

    In an hour that daylight saving repeats there are two such instants.
    """
    local = now.astimezone(zone)
    midnight = datetime.combine(local.date(), time())
    since = local.replace(tzinfo=None) - midnight
    step = (since // every + 1) * every
    straight = now + (step - since)
    there = straight.astimezone(zone).replace(tzinfo=None)
    found = [straight] if (there - datetime.combine(there.date(), time())) % every == timedelta(0) else []
    for fold in (0, 1):
        shown = (midnight + step).replace(tzinfo=zone, fold=fold).astimezone(UTC)
        found += [shown] if shown > now else []
    return min(found)


def _instant(zone: ZoneInfo, day: date, at: time) -> datetime:
    return datetime.combine(day, at, zone).astimezone(UTC)
