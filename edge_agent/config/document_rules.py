"""The shape of movement rules and their signals (interfaces.md, Tag map; derivation.md)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from edge_agent.config.leaves import (
    Amount,
    Condition,
    Duration,
    Exact,
    Flag,
    Identifier,
    Lag,
    MemberOf,
    Name,
    OneOf,
    Rate,
    Ref,
    Whole,
)
from edge_agent.config.quantities import PER
from edge_agent.config.section import Section
from edge_agent.config.signals import Resets
from edge_agent.config.tagmap import OnSpan, Split, Unproven
from edge_agent.config.yaml_nodes import Map

EVENTS = ("consumed", "produced", "moved", "returned", "received", "scrapped", "sampled", "adjusted")
SIGNALS = ("counter", "level", "flow", "handshake", "confirmation")
LOT_TAG, LOT_WORD = "<tag>", "<word>"
"""Tags of the union of ways to know a lot; no key of a map looks like this."""


class CounterSection(Section):
    """A totalizer."""

    tag: Ref = Field(description="The tag that counts.", examples=["filler.bottles_out"])
    wraps_at: Whole | None = Field(
        None, description="First raw value never shown: 65536 for a uint16.", examples=[65536, 4294967296]
    )
    wraps_to: Whole | None = Field(None, description="Raw value shown instead; 0 by default.", examples=[0, -32768])
    saturates_at: Whole | None = Field(None, description="Raw value it stops at.", examples=[999999])
    max_rate: Rate | None = Field(
        None, description="More than this never runs. Required with wraps_at.", examples=["25 pcs/s", "1500 pcs/min"]
    )
    burst: Amount | None = Field(
        None, description="What may come at once; by default two sampling periods at max_rate.", examples=["48 pcs"]
    )
    step: Amount | None = Field(None, description="The largest normal jump.", examples=["24 pcs"])
    settle: Duration | None = Field(None, description="How long a doubtful value must stand; 2 s.", examples=["2 s"])
    resets: list[Annotated[Resets, MemberOf(Resets)]] | None = Field(
        None, description="What may reset it; [restart] by default.", examples=[["restart"]]
    )
    review_over: Amount | None = Field(
        None, description="More than this over an outage goes to review.", examples=["5000 pcs"]
    )
    epoch_tag: Ref | None = Field(None, description="A tag that changes when the counter is reset.")
    final_tag: Ref | None = Field(None, description="A tag that keeps the total before the reset.")
    direction: Annotated[str, OneOf("up", "down", "up-down")] = Field("up", description="Which way it counts.")


class LevelSection(Section):
    """A level or weight: falls by consumption, rises by refills, trembles."""

    tag: Ref = Field(description="The tag of the level.", examples=["tanks.syrup_level"])
    window: Duration | None = Field(None, description="Smoothing window.", examples=["30 s"])
    hysteresis: Amount | None = Field(None, description="Less than this is trembling.", examples=["5 L"])
    refill_min: Amount | None = Field(None, description="Less than this is no refill.", examples=["200 L"])
    max_rate: Rate | None = Field(None, description="A faster fall goes to review.", examples=["3 L/s"])
    settle: Duration | None = Field(None, description="How long a value must stand.", examples=["4 s"])
    strapping: list[list[Exact]] | None = Field(
        None, description="Pairs of reading and contents, rising.", examples=[[["0", "0"], ["10", "1250.5"]]]
    )
    net: Flag = Field(default=False, description="There is unmeasured inflow: the quantity is a net one.")


class FlowSection(Section):
    """A rate of flow, integrated over time."""

    tag: Ref = Field(
        description="The tag of the flow; its unit is that of the quantity.", examples=["tanks.syrup_flow"]
    )
    per: Annotated[str, OneOf(*PER)] = Field(description="The unit of time of the flow.", examples=["min"])
    max_gap: Duration = Field(description="A longer gap is an exception, not a guess.", examples=["10 s"])
    max_rate: Rate | None = Field(None, description="More is a spike and no reading.", examples=["80 L/min"])


class HandshakeSection(Section):
    """A confirmation by the PLC, answered by the agent."""

    kind: Annotated[str, OneOf("transaction-counter", "bits", "ring", "event")] = Field(
        "transaction-counter", description="How the PLC and the agent agree."
    )
    trigger: Ref = Field(description="Incremented by the PLC once the block is written.", examples=["filler.pal_seq"])
    ack: Ref = Field(description="The agent echoes the number here.", examples=["filler.pal_ack"])
    result: Ref | None = Field(
        None, description="The agent writes the result code here.", examples=["filler.pal_result"]
    )


class ConfirmationSection(Section):
    """Confirmations by message (`cmd/confirm`), each answered by the agent."""

    source: Identifier = Field(description="The source that says mqtt: commands.", examples=["scada"])


class LotTagSection(Section):
    """The lot is read from a tag."""

    tag: Ref = Field(description="The tag of the lot.", examples=["filler.syrup_lot"])


def _lot_way(value: Any) -> str:
    return LOT_TAG if isinstance(value, Map) else LOT_WORD


LotFrom = Annotated[
    Annotated[LotTagSection, Tag(LOT_TAG)]
    | Annotated[Annotated[str, OneOf("container", "block", "fifo", "blend")], Tag(LOT_WORD)],
    Discriminator(_lot_way),
]


class PauseSection(Section):
    """While the condition holds nothing is booked."""

    when: Condition = Field(description="The condition.", examples=["tanks.refill_on"])
    on_resume: Annotated[str, OneOf("rebase", "book")] = Field(
        description="Afterwards: take a new baseline (refill) or book the difference (agitator)."
    )


class OncePerSection(Section):
    """A movement that may come again and counts once."""

    key: Annotated[str, OneOf("container")] = Field(description="What is compared.")
    within: Duration = Field(description="For how long.", examples=["12 h"])
    else_: Annotated[str, OneOf("review", "exclude")] = Field(alias="else", description="What happens to the second.")


class RuleSection(Section):
    """A movement of material and the one signal that proves it."""

    event: Annotated[str, OneOf(*EVENTS)] = Field(description="What happens to the material.", examples=["consumed"])
    material: Name = Field(description="The material's number, quoted.", examples=["300017"])
    from_: Name | None = Field(None, alias="from", description="Storage location it leaves.", examples=["L3-HOPPER"])
    to: Name | None = Field(None, description="Storage location it reaches.", examples=["L3-OUT"])
    order: Ref | None = Field(None, description="The tag of the order that runs.", examples=["filler.order_no"])
    cadence: Name | None = Field(None, description="A cadence other than its class's.", examples=["produced"])
    counter: CounterSection | None = None
    level: LevelSection | None = None
    flow: FlowSection | None = None
    handshake: HandshakeSection | None = None
    confirmation: ConfirmationSection | None = None
    quantity: Ref | None = Field(None, description="With a handshake: the tag of the quantity.")
    container: Ref | None = Field(None, description="With a handshake: the tag of the container.")
    split: Annotated[Split, MemberOf(Split)] | None = Field(
        None, description="Where a delta goes that straddles a change of order."
    )
    on_span: Annotated[OnSpan, MemberOf(OnSpan)] = Field(
        OnSpan.END, description="Where a line goes that straddles the start of a posting day."
    )
    unproven: Annotated[Unproven, MemberOf(Unproven)] | None = Field(
        None, description="Overrides the cadence's: what happens to a delta whose continuity nothing proves."
    )
    was: Identifier | None = Field(None, description="The rule's former name: its state goes on.")
    lag: Lag | None = Field(None, description="Material still in the pipe.", examples=["45 s", "320 pcs"])
    lot_from: LotFrom | None = Field(None, description="Where the lot is known from.", examples=["fifo"])
    only_while: Condition | None = Field(
        None, description="What runs otherwise is excluded, and counted.", examples=['filler.order_no != ""']
    )
    pause_while: PauseSection | None = None
    once_per: OncePerSection | None = None
    phase: Annotated[str, OneOf("departed", "arrived")] | None = Field(
        None, description="Which step of a transport it confirms; both together are one movement."
    )
    pairs_with: Identifier | None = Field(
        None, description="Of an arrival: the rule of the departure.", examples=["pallet_left"]
    )
    arrives_within: Duration | None = Field(
        None, description="Of an arrival: after that, what has not arrived is an exception.", examples=["4 h"]
    )
