"""One long day, for what must be found in little time: a bit of everything, the agent's restore included."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from edge_agent_simulators.erp_faults import Fault
from edge_agent_simulators.erp_system import Erp
from tests.system_week.plant import BOTTLES, PREFORMS
from tests.system_week.script import MONDAY, Scenario, local
from tests.system_week.verdict import Allowed, wrong


def short_day(folder: Path, seed: int = 11, *, erp: type[Erp] = Erp) -> Scenario:
    """From Monday's early shift to the next."""
    orders = [(MONDAY, "4711"), (local(1, "10:30"), "4712"), (local(1, "21:30"), "4713")]
    day = Scenario(folder, seed, orders, erp=erp)
    world, people = day.world, day.people

    def at(clock: str, *actions: object) -> None:
        world.at(local(1, clock), *actions)  # type: ignore[arg-type]  # written out below

    at("06:30", day.noise)
    at("07:10", lambda: people.enter("consumed", "300017", "120", order="4711", from_="L3-STORE", times=2))
    at("07:20", lambda: people.enter("sampled", "900001", "6", lot="L26-083", from_="L3-OUT"))
    at("07:40", lambda: people.enter("returned", "300017", "30", typed="300", order="4711", to="L3-STORE"))
    at("08:00", day.fault(day.erp, "caps", Fault("reject", "unknown_product", material="300021")))
    at("08:40", day.fault(day.mes, "stubborn", Fault("reject", "unknown_lot", material="300017", times=1)))
    at("09:30", day.miscount("preforms_used", PREFORMS, 7))
    at("10:50", day.poison("correct", "preforms_used"))
    at("11:30", day.poison("retry", "pallet_out"))
    at("12:00", day.back_up_agent)
    at("12:10", day.back_up_receivers)
    at("12:40", day.fault(day.erp, "crash", Fault("crash", times=2)))
    at("13:00", day.restart(day.mes))
    at("13:30", day.fault(day.erp, "unit", Fault("reject", "unit_mismatch", kind="produced", times=1)))
    at("13:32", day.miscount("bottles_made", BOTTLES, 11))
    at("14:10", lambda: people.enter("scrapped", "900001", "12", from_="L3-OUT"))
    at("14:20", lambda: people.enter("scrapped", "900001", "5", order="4712", process=True))
    at("15:30", day.quiet)
    at("16:40", day.broker(up=False))
    at("17:00", day.lose_agent)
    at("17:20", day.broker(up=True), day.restore_agent(-1))
    at("19:30", day.noise)
    at("20:10", lambda: people.enter("consumed", "300017", "40", order="4712", from_="L3-STORE"))
    at("23:30", day.quiet)
    return day


MIDNIGHT = local(2, "00:30")


async def run_short_day(day: Scenario, until: datetime = MIDNIGHT) -> list[str]:
    """Run it, let it come to rest after `until`; everything that does not add up."""
    await day.world.start()
    try:
        await day.world.run(until)
        day.quiet()
        day.plant.held = True
        await day.world.run(until + timedelta(hours=3, minutes=30))
        await day.world.agent.ask("snapshot")
        compared = {name: one.erp.inbox.counts["snapshots compared"] for name, one in day.world.receivers.items()}
        await day.world.run(until + timedelta(hours=5))
        found = wrong(day.world, day.people, Allowed())
        for name, one in day.world.receivers.items():
            if one.erp.inbox.counts["snapshots compared"] <= compared[name]:
                found.append(f"{name} has not compared the last snapshot")
        return found
    finally:
        await day.world.stop()
