"""What MES, SCADA and LIMS tell an agent: context, movements, the status of lots (derivation.md). Pure.

edge_agent/inbound/ reads these with models of its own, which are no looser than these.
"""

from typing import Annotated, Any, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypeAliasType, TypedDict

from edge_agent.publishing.contract import Closed, Identifier
from edge_agent.publishing.contract_commands import Expires, Moment, Nonce, Outcome, Token, examples

_NONCE = "9f1c2d3e-0001"
_EXPIRES = "2026-03-04T12:05:00Z"
_NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"

Plain = TypeAliasType("Plain", Annotated[str, Field(min_length=1, max_length=256, pattern=_NO_CONTROL)])
Name = TypeAliasType("Name", Annotated[str, Field(min_length=1, max_length=200)])
Value = Annotated[
    Annotated[str, Field(max_length=256)] | int | bool,
    Field(description="As the tag's type says; a number with fractions is a string."),
]


@with_config(
    examples(
        {
            "source": "mes",
            "nonce": _NONCE,
            "expires": _EXPIRES,
            "time": "2026-03-04T12:00:00Z",
            "values": {"order_no": "4712", "lot": "L7"},
        }
    )
)
class Context(Closed):
    """Values of tags that messages set, from now on or since `time`: all of them are taken, or none."""

    source: Annotated[Name, Field(description="A source of the tag map that says `mqtt: commands`.")]
    nonce: Nonce
    expires: Expires
    time: NotRequired[Annotated[Moment, Field(description="Since when they hold; not in the future.")]]
    values: Annotated[dict[str, Value], Field(min_length=1, max_length=100, description="By the tag's name.")]


@with_config(examples({"nonce": _NONCE, "source": "mes", "taken": 2, "repeated": False, "reason": None}))
class ContextReply(Closed):
    """What became of it; sent after the commit."""

    nonce: NotRequired[Nonce]
    source: NotRequired[Name]
    taken: NotRequired[Annotated[int, Field(ge=0, le=100)]]
    repeated: NotRequired[Annotated[bool, Field(description="It was taken before.")]]
    reason: Outcome


_TRIMMED = r"^[^\x00-\x20\x7f]([^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?$"


class Lot(Closed):
    """The whole of what is said of a lot: what is left out is not so."""

    material: Annotated[Name, Field(description="Of the tag map, with `lot_status`.")]
    lot: Annotated[str, Field(min_length=1, max_length=256, pattern=_TRIMMED)]
    status: Annotated[
        str, Field(min_length=1, max_length=64, pattern=_TRIMMED, description="A word of the plant's own.")
    ]
    until: NotRequired[Annotated[Moment, Field(description="When its shelf life ends; left out: never.")]]


@with_config(
    examples(
        {
            "source": "lims",
            "nonce": _NONCE,
            "expires": _EXPIRES,
            "time": "2026-03-04T12:00:00Z",
            "lots": [
                {"material": "300017", "lot": "L7", "status": "QA-HOLD"},
                {"material": "300017", "lot": "L8", "status": "RELEASED", "until": "2026-09-01T00:00:00Z"},
            ],
        }
    )
)
class LotStatus(Closed):
    """The statuses of lots, from now on or since `time`: all of them are taken, or none. No lot twice."""

    source: Annotated[Name, Field(description="The source that the tag map names in the materials' `lot_status`.")]
    nonce: Nonce
    expires: Expires
    time: NotRequired[Annotated[Moment, Field(description="Since when they hold; not in the future.")]]
    lots: Annotated[list[Lot], Field(min_length=1, max_length=100)]


@with_config(examples({"nonce": _NONCE, "source": "lims", "taken": 2, "repeated": False, "reason": None}))
class LotStatusReply(Closed):
    """What became of it; sent after the commit."""

    nonce: NotRequired[Nonce]
    source: NotRequired[Name]
    taken: NotRequired[Annotated[int, Field(ge=0, le=100)]]
    repeated: NotRequired[Annotated[bool, Field(description="It was taken before.")]]
    reason: Outcome


_From = TypedDict(
    "_From", {"from": NotRequired[Annotated[Plain, Field(description="Where the tag map leaves it open.")]]}
)


@with_config(
    examples(
        {
            "rule": "pallet_out",
            "id": "AGV2-000417",
            "nonce": _NONCE,
            "expires": _EXPIRES,
            "time": "2026-03-04T11:59:55Z",
            "quantity": "40",
            "unit": "case",
            "container": "340123450000000017",
        }
    )
)
class Confirm(_From, Closed):
    """A physical movement happened. Send it until a result comes."""

    rule: Annotated[Name, Field(description="Of the tag map, with a `confirmation`.")]
    id: Annotated[Token, Field(description="Of this movement alone, for ever; the same one again has it again.")]
    nonce: Nonce
    expires: Expires
    time: Annotated[Moment, Field(description="When it happened, not when it was sent.")]
    quantity: Annotated[str, Field(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$", description="An exact decimal.")]
    unit: NotRequired[
        Annotated[str, Field(min_length=1, max_length=64, description="Of the tag map, by name or UN/ECE code.")]
    ]
    container: NotRequired[Plain]
    lot: NotRequired[Plain]
    order: NotRequired[Plain]
    to: NotRequired[Annotated[Plain, Field(description="Where the tag map leaves it open.")]]


@with_config(
    examples(
        {
            "nonce": _NONCE,
            "rule": "pallet_out",
            "id": "AGV2-000417",
            "result": 0,
            "repeated": False,
            "review": None,
            "reason": None,
        }
    )
)
class ConfirmReply(Closed):
    """What became of it; sent after the commit, and the same for ever. Only 3 and null call for sending it again."""

    nonce: NotRequired[Nonce]
    rule: NotRequired[Name]
    id: NotRequired[Token]
    result: NotRequired[
        Annotated[
            Annotated[int, Field(ge=0, le=4)] | None,
            Field(description="0 done, 1 failed a check, 2 conflict, 3 busy, 4 in review; null: it was not taken."),
        ]
    ]
    repeated: NotRequired[Annotated[bool, Field(description="It was answered before.")]]
    review: NotRequired[Annotated[Identifier | None, Field(description="The review that a person decides.")]]
    reason: Outcome


PLANT_COMMANDS: dict[str, tuple[Any, Any]] = {
    "context": (Context, ContextReply),
    "confirm": (Confirm, ConfirmReply),
    "lot-status": (LotStatus, LotStatusReply),
}
"""The types of each command and of its reply."""
