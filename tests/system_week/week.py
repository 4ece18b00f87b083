"""The week: seven days in which everything happens that may happen, several times (Monday 06:00 to Monday 06:00)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from edge_agent_receiver.answers import PERSON_CODES, RETRYABLE_CODES
from edge_agent_simulators.erp_faults import Fault
from tests.system_week.plant import BOTTLES, CAPS, PREFORMS
from tests.system_week.script import MONDAY, Scenario, local
from tests.system_week.world import Action

CODES = sorted(RETRYABLE_CODES) + sorted(PERSON_CODES)
LAST_ORDER = 4_732


def the_week(folder: Path, seed: int = 2026) -> Scenario:
    """Everything that is to happen, on the agenda of a new world."""
    week = Scenario(folder, seed, list(_orders()))
    for plan in (_wire, _rejections, _manners, _receivers, _agent, _poison, _plant, _entries, _the_end):
        plan(week)
    return week


def _orders() -> Iterator[tuple[datetime, str]]:
    """Four orders a day, from Monday to Saturday."""
    number = 4_711
    yield MONDAY, str(number)
    for day in range(1, 7):
        for clock in ("09:00", "12:50", "17:30", "21:20"):
            number += 1
            if number <= LAST_ORDER:
                yield local(day, clock), str(number)


def _at(week: Scenario, day: int, clock: str, *actions: Action) -> None:
    week.world.at(local(day, clock), *actions)


def _daily(week: Scenario, clock: str, *actions: Action, days: range = range(1, 7)) -> None:
    for day in days:
        _at(week, day, clock, *actions)


def _wire(week: Scenario) -> None:
    """Mishaps at all times, but for the hours around a restore of the agent; twice there is no broker for hours."""
    _at(week, 1, "06:20", week.noise)
    _at(week, 1, "13:25", week.quiet)
    _at(week, 1, "16:00", week.noise)
    for day in (3, 6):
        _at(week, day, "13:00", week.quiet)
        _at(week, day, "18:00", week.noise)
    _at(week, 2, "19:10", week.broker(up=False))
    _at(week, 2, "22:40", week.broker(up=True))
    _at(week, 5, "19:10", week.broker(up=False))
    _at(week, 5, "21:00", week.broker(up=True))
    _at(week, 4, "13:00", lambda: week.bus.forget("wms"))


def _rejections(week: Scenario) -> None:
    """Every code of the contract, three a day; some of them again at the MES, whose answers are cumulative."""
    materials = ("300017", "300021", "900001")
    for place, code in enumerate(CODES):
        day, hour = 1 + place // 3, (8, 11, 16)[place % 3]
        material = materials[place % 3]
        stubborn = "stubborn" if place % 5 == 0 else code
        fault = Fault("reject", code, f"simulated: {code}", material=material, times=1 + place % 2 if place % 5 else 1)
        _at(week, day, f"{hour:02}:25", week.fault(week.erp, stubborn, fault))
    for day, code in ((1, "unknown_lot"), (2, "unit_mismatch"), (4, "lot_blocked"), (5, "malformed")):
        _at(week, day, "14:35", week.fault(week.mes, code, Fault("reject", code, material="300017", times=1)))
    _at(week, 4, "08:40", week.fault(week.erp, "order", Fault("reject", "order_not_running", order="4723", times=3)))
    _at(week, 4, "20:05", week.fault(week.erp, "lot", Fault("reject", "unknown_lot", lot="L26-084")))
    _at(week, 5, "08:40", week.fault(week.erp, "nth", Fault("reject", "lot_expired", nth=4, times=1)))


def _manners(week: Scenario) -> None:
    """Busy, late, twice, out of order, and never for hours, which becomes overdue."""
    for day in (1, 2, 4, 5):
        busy = Fault("busy", material="300017", retry_after=120, times=10)
        _at(week, day, "07:30", week.fault(week.erp, "busy", busy))
    _at(week, 2, "10:10", week.fault(week.mes, "busy", Fault("busy", times=25)))
    for clock, manner, seconds in (
        *(("10:00", "late", 2_400), ("11:10", "prompt", 0), ("15:00", "twice", 0), ("16:10", "out of order", 1_500)),
        *(("17:00", "prompt", 0), ("22:40", "never", 0)),
    ):
        for receiver, days in ((week.erp, (1, 4)), (week.mes, (2, 5))):
            for day in days:
                _at(week, day, clock, week.voice(receiver, manner, seconds))
    for receiver, days in ((week.erp, (2, 5)), (week.mes, (3, 6))):
        for day in days:
            _at(week, day, "01:10", week.voice(receiver, "prompt"))


def _receivers(week: Scenario) -> None:
    """Restarts, crashes after posting, and what comes back from yesterday's backup."""
    for receiver, days in ((week.erp, (1, 3, 5)), (week.mes, (2, 4, 6)), (week.wms, (2, 5))):
        for day in days:
            _at(week, day, "13:20", week.restart(receiver))
    for day in (1, 2, 4, 5):
        _at(week, day, "18:50", week.fault(week.erp, "crash", Fault("crash", times=2)))
    _at(week, 4, "06:50", week.fault(week.mes, "crash", Fault("crash", times=1)))
    for day in range(2, 8):
        _at(week, day, "02:10", week.back_up_receivers)
    _at(week, 3, "09:40", week.restore(week.erp, inbox=True, books=False))
    _at(week, 3, "11:40", week.restore(week.mes, inbox=True, books=True))
    _at(week, 5, "09:40", week.restore(week.erp, inbox=True, books=True))
    _at(week, 5, "11:40", week.restore(week.mes, inbox=True, books=False))
    _at(week, 6, "09:40", week.restore(week.erp, inbox=False, books=True))


def _agent(week: Scenario) -> None:
    """Stopped every night for its backup; twice its disk is lost, and the backup of the night before last is restored.

    Once it is one of an hour ago, in the same order: then statements decide nearly all. Each time the broker is away
    before: what was stored meanwhile is lost with the disk.
    """
    _at(week, 1, "13:00", week.back_up_agent)
    _at(week, 1, "14:10", week.broker(up=False))
    _at(week, 1, "14:20", week.lose_agent)
    _at(week, 1, "14:28", week.broker(up=True), week.restore_agent(-1))
    for day in range(2, 8):
        _at(week, day, "02:00", week.back_up_agent)
    for day in (3, 6):
        _at(week, day, "14:40", week.broker(up=False))
        _at(week, day, "15:00", week.lose_agent)
        _at(week, day, "15:20", week.broker(up=True), week.restore_agent(-2))


def _poison(week: Scenario) -> None:
    """Events that the broker does not take: sent after all, or corrected."""
    _at(week, 1, "09:30", week.poison("retry", "pallet_out"))
    _at(week, 2, "15:20", week.poison("correct", "preforms_used"))
    _at(week, 4, "10:30", week.poison("retry", "bottles_made"))
    _at(week, 5, "06:40", week.poison("correct", "pallet_out"))
    _at(week, 5, "14:10", week.poison("correct", "preforms_used"), week.miscount("preforms_used", PREFORMS, 9))


def _plant(week: Scenario) -> None:
    """Miscounts to be corrected, restarts of the PLC, presets, lost links, labels that cannot be read."""
    _at(week, 1, "10:40", week.miscount("preforms_used", PREFORMS, 13))
    _at(week, 1, "23:20", week.miscount("bottles_made", BOTTLES, 5))
    _at(week, 2, "08:20", week.miscount("caps_used", CAPS, 21))
    _at(week, 2, "16:26", week.miscount("bottles_made", BOTTLES, 17))
    _at(week, 4, "16:40", week.miscount("preforms_used", PREFORMS, 4))
    _at(week, 6, "08:00", week.miscount("bottles_made", BOTTLES, 30))
    for day, zero in ((1, ()), (4, (BOTTLES, CAPS)), (5, (PREFORMS,))):
        _at(week, day, "19:40", week.hold(held=True))
        _at(week, day, "19:42", week.link(up=False))
        _at(week, day, "19:48", week.restart_plc(*zero), week.link(up=True))
        _at(week, day, "19:50", week.hold(held=False))
    _at(week, 2, "07:02", week.link(up=False))
    _at(week, 2, "07:04", week.restart_plc(BOTTLES), week.link(up=True))
    _at(week, 4, "14:10", lambda: week.plant.preset(PREFORMS, 12))
    _at(week, 5, "15:40", lambda: week.plant.preset(BOTTLES, 1_000))
    _at(week, 4, "22:10", week.link(up=False))
    _at(week, 5, "03:20", week.link(up=True))
    _at(week, 1, "20:40", week.unreadable_label)
    _at(week, 4, "18:20", week.unreadable_label)
    _at(week, 5, "17:00", week.relabelled_pallet)


def _entries(week: Scenario) -> None:
    """By hand: consumption, return, scrap, sample; forms sent twice; some of them wrong."""
    enter = week.people.enter
    out, store = "L3-OUT", "L3-STORE"
    _daily(week, "07:15", lambda: enter("consumed", "300017", "120", order=week.plant.order, from_=store, times=2))
    _daily(week, "12:10", lambda: enter("sampled", "900001", "6", lot="L26-083", from_=out))
    _daily(week, "13:40", lambda: enter("scrapped", "900001", "12", lot="L26-084", from_=out), days=range(1, 6))
    _daily(
        week, "16:50", lambda: enter("scrapped", "900001", "5", order=week.plant.order, process=True), days=range(4, 6)
    )
    _daily(week, "20:15", lambda: enter("returned", "300030", "2.375", order=week.plant.order, to=store))
    _at(week, 1, "15:30", lambda: enter("consumed", "300017", "40", typed="400", order="4713", from_=store))
    _at(week, 2, "11:50", lambda: enter("returned", "300021", "30", mistake=True, order="4716", to=store))
    _at(week, 4, "11:30", lambda: enter("sampled", "300030", "0.25", typed="0.5", from_=store, times=2))
    _at(week, 4, "21:40", lambda: enter("scrapped", "900001", "8", typed="80", lot="L26-084", from_=out))


def _the_end(week: Scenario) -> None:
    """Saturday night nobody looks any more: one event of each kind is left waiting, to be seen as such."""
    _at(week, 6, "21:05", lambda: setattr(week.people, "off_duty", True))
    _at(week, 6, "21:06", week.fault(week.erp, "leave", Fault("reject", "closed_period", material="300021", times=1)))
    _at(week, 6, "21:10", week.poison("leave", "preforms_used"))
    _at(week, 6, "21:50", lambda: week.plant.preset(BOTTLES, 7))
    _at(week, 7, "12:00", week.quiet)


END = local(8, "05:40")
SNAPSHOT = END - timedelta(hours=2)
