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
    Tolerance,
    UnitName,
    Whole,
)
from edge_agent.config.quantities import PER
from edge_agent.config.section import Section
from edge_agent.config.signals import Direction, Resets
from edge_agent.config.tagmap import OnSpan, Split, Unproven
from edge_agent.config.yaml_nodes import Map

EVENTS = ("consumed", "produced", "moved", "returned", "received", "scrapped", "sampled", "adjusted")
SIGNALS = ("counter", "level", "flow", "handshake", "confirmation")
LOT_TAG, LOT_WORD = "<tag>", "<word>"
"""Tags of the union of ways to know a lot; no key of a map looks like this."""


class CrossCheckSection(Section):
    """A second meter of the same flow, in series."""

    tag: Ref = Field(description="The tag of the second meter.", examples=["meter.total"])
    tolerance: Tolerance = Field(
        description="What the two may differ by in a period: a share of what ran, or an amount.",
        examples=["4 %", "50 kg"],
    )
    every: Duration | None = Field(None, description="The period they are compared over; 1 h.", examples=["1 h"])


class AtChangeSection(Section):
    """What the PLC latches in the scan in which the order or lot changes."""

    count: Ref = Field(
        description="The tag it copies the counter to then; same unit and scale.", examples=["filler.count_at_change"]
    )
    changes: Ref = Field(description="The tag that it adds 1 to then.", examples=["filler.changes"])


class CounterSection(Section):
    """A totalizer."""

    tag: Ref = Field(description="The tag that counts.", examples=["filler.bottles_out"])
    wraps_at: Whole | None = Field(
        None,
        description="First raw value never shown: 65536 for a uint16; counting down -1.",
        examples=[65536, 4294967296],
    )
    wraps_to: Whole | None = Field(
        None, description="Raw value shown instead; 0 by default. Required counting down.", examples=[0, -32768]
    )
    saturates_at: Whole | None = Field(
        None, description="Raw value it stops at: from there on a gap is stated.", examples=[999999]
    )
    resolution: Amount | None = Field(
        None, description="The smallest step of a float counter that counts.", examples=["0.1 kg"]
    )
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
    final_tag: Ref | None = Field(
        None, description="A tag that keeps the total which a reset ended, in the counter's own unit."
    )
    cross_check: CrossCheckSection | None = None
    at_change: AtChangeSection | None = None
    resets_to: Whole | None = Field(None, description="Raw value shown after a reset; 0 by default.", examples=[0])
    direction: Annotated[Direction, MemberOf(Direction)] = Field(
        Direction.UP, description="Which way it counts; what an up-down counter runs back moves back."
    )


class LevelSection(Section):
    """A level or weight: falls by consumption, rises by refills, trembles."""

    tag: Ref = Field(description="The tag of the level.", examples=["tanks.syrup_level"])
    window: Duration | None = Field(None, description="Smoothing window; 30 s.", examples=["30 s"])
    hysteresis: Amount | None = Field(None, description="Less than this is trembling. Required.", examples=["5 L"])
    refill_min: Amount | None = Field(
        None, description="A rise of less is set against later falls. Required.", examples=["200 L"]
    )
    max_rate: Rate | None = Field(None, description="A faster fall goes to review.", examples=["3 L/s"])
    settle: Duration | None = Field(
        None, description="How long a level must stand after a rise; 1 min.", examples=["4 s"]
    )
    hold: Duration | None = Field(
        None,
        description="How long a fall faster than max_rate may last before it goes to review; settle.",
        examples=["5 min"],
    )
    strapping: list[list[Exact]] | None = Field(
        None, description="Pairs of reading and contents, rising.", examples=[[["0", "0"], ["10", "1250.5"]]]
    )
    contents: UnitName | None = Field(
        None, description="Unit of the strapping table's contents; by default the material's.", examples=["L"]
    )
    clips_at: Exact | None = Field(
        None, description="Reading at which the sensor ends; by default the top of the tag's range.", examples=["11950"]
    )
    after_flow: Duration | None = Field(
        None,
        description="Material still falls so long after a change of order; it belongs to the old one.",
        examples=["2 s"],
    )
    stable: Ref | None = Field(None, description="A bool: only while it is true the scale's reading is one.")
    tare: Ref | None = Field(None, description="The scale's tare: a change of it is no use.")
    printed: Ref | None = Field(None, description="A string that the scale prints; kept as evidence.")
    net: Flag = Field(default=False, description="There is unmeasured inflow: the quantity is a net one.")


class FlowSection(Section):
    """A rate of flow, integrated over time."""

    tag: Ref = Field(
        description="The tag of the flow; its unit is that of the quantity.", examples=["tanks.syrup_flow"]
    )
    per: Annotated[str, OneOf(*PER)] = Field(description="The unit of time of the flow.", examples=["min"])
    max_gap: Duration = Field(description="A longer gap is an exception, not a guess.", examples=["10 s"])
    max_rate: Rate | None = Field(None, description="More is a spike and no reading.", examples=["80 L/min"])
    low_cut: Rate | None = Field(None, description="Less is no flow.", examples=["0.2 L/min"])
    cross_check: CrossCheckSection | None = Field(None, description="A second flow meter in series.")


class HandshakeSection(Section):
    """A confirmation by the PLC, answered by the agent."""

    kind: Annotated[str, OneOf("transaction-counter", "bits", "ring", "event")] = Field(
        "transaction-counter", description="How the PLC and the agent agree."
    )
    trigger: Ref | None = Field(
        None,
        description="Incremented by the PLC once the block is written; with bits, its request; with events, the node.",
        examples=["filler.pal_seq"],
    )
    ack: Ref | None = Field(
        None, description="The agent echoes the number here; with bits, its answer.", examples=["filler.pal_ack"]
    )
    head: Ref | None = Field(
        None, description="Of a ring: the slot that the PLC writes next.", examples=["filler.head"]
    )
    tail: Ref | None = Field(
        None, description="Of a ring: the slot that the agent reads next.", examples=["filler.tail"]
    )
    result: Ref | None = Field(
        None, description="The agent writes the result code here.", examples=["filler.pal_result"]
    )
    number: Ref | None = Field(
        None, description="With bits or a ring: the PLC's own number of the block.", examples=["filler.pal_number"]
    )
    order: Ref | None = Field(
        None, description="The tag of the order in the block: it alone decides.", examples=["filler.pal_order"]
    )
    operator: Ref | None = Field(
        None, description="The tag of the operator in the block.", examples=["filler.pal_operator"]
    )
    resolution: Amount | None = Field(
        None, description="Of a float quantity: the smallest step that counts.", examples=["0.1 kg"]
    )
    within: Duration | None = Field(
        None, description="What waits longer, on either side, is shown; 30 s.", examples=["10 s"]
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
    container: Ref | None = Field(None, description="The tag of the container: a handshake's is read in its block.")
    operator: Ref | None = Field(None, description="The tag of who works there.", examples=["filler.operator"])
    lot: Ref | None = Field(None, description="With `lot_from: block`: the tag of the lot in the handshake's block.")
    into_lot: Ref | None = Field(
        None, description="The tag of the lot that is made of what is consumed.", examples=["filler.batch"]
    )
    split: Annotated[Split, MemberOf(Split)] | None = Field(
        None, description="Where a delta goes that straddles a change of order, lot or condition."
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
        None,
        description="What runs otherwise is excluded, and counted.",
        examples=['filler.order_no != ""', "filler.state == packml.Execute"],
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
