# ruff: noqa: N815 - keys are named as on the wire
"""What receiving systems send to an agent, what it answers, and what they publish themselves (events.md, States). Pure.

edge_agent/inbound/ reads commands with models of its own, which are no looser than these.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypeAliasType, TypedDict

from edge_agent.model.ack import Code
from edge_agent.model.event import Figure
from edge_agent.publishing.contract import Closed, Count, Date, EventId, Identifier, Sequence, SourceUrn, Text

_SOURCE = "urn:edgeagent:l3-edge:0b7d2f4e-7f0c-4a0a-9a38-6f3f0a1b2c3d:routine"
_EVENT = "0d7d2f4e-7f0c-5a0a-9a38-6f3f0a1b2c3d"
_NONCE = "9f1c2d3e-0001"
_EXPIRES = "2026-03-04T12:05:00Z"

System = TypeAliasType(
    "System",
    Annotated[
        str,
        Field(
            max_length=64,
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="The receiving system, as `accepted_by` in the tag map names it.",
            examples=["erp"],
        ),
    ],
)
Nonce = TypeAliasType(
    "Nonce",
    Annotated[
        str,
        Field(
            min_length=8,
            max_length=64,
            pattern=r"^[\x21-\x7e]+$",
            description="Unique per message. The same message again changes nothing and is answered alike.",
            examples=[_NONCE],
        ),
    ],
)
Moment = TypeAliasType(
    "Moment",
    Annotated[
        str,
        Field(
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$",
            description="RFC 3339 with a zone.",
            examples=[_EXPIRES],
        ),
    ],
)
Token = TypeAliasType("Token", Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$")])
Expires = Annotated[Moment, Field(description="In the future, at most 24 h ahead: so long a nonce is remembered.")]
Number = Annotated[int, Field(ge=1, le=10**18)]
Outcome = Annotated[str | None, Field(description="null: all done. `refused: …`: nothing was.")]

_Range = TypedDict("_Range", {"from": Number, "to": Number})
_RangeSaid = TypedDict("_RangeSaid", {"from": NotRequired[Number], "to": NotRequired[Number]})


def examples(*shown: dict[str, Any], **more: Any) -> ConfigDict:
    """An object without further keys, and what it looks like."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(shown), **more})


@with_config(examples({"source": _SOURCE, "from": 17, "to": 19}))
class Replay(_Range, Closed):
    """Send the stored bytes of these events again, on their own topics."""

    source: SourceUrn
    id: NotRequired[
        Annotated[
            str, Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$", description="Unique per message.")
        ]
    ]
    expires: NotRequired[Annotated[Moment, Field(description="In the future.")]]


@with_config(
    examples({"source": _SOURCE, "from": 17, "to": 19, "sent": 3, "unavailable": [], "reason": None}),
)
class ReplayReply(_RangeSaid, Closed):
    """What became of a replay; what could be read of it is repeated."""

    source: NotRequired[SourceUrn]
    id: NotRequired[Token]
    sent: NotRequired[Count]
    unavailable: NotRequired[
        Annotated[
            list[Annotated[list[Number], Field(min_length=2, max_length=2)]],
            Field(description="First and last of what is not there (any more, or yet), or is voided."),
        ]
    ]
    reason: Annotated[str | None, Field(description="null: all was sent. Else why not; `refused: …`: nothing was.")]


class _Answer(Closed):
    """To one event, by its sequence and its id."""

    sequence: Number
    id: EventId


class Accepted(_Answer):
    """Posted."""

    status: Literal["accepted"]
    document: NotRequired[Annotated[str, Field(min_length=1, max_length=500, description="The receiver's own number.")]]
    duplicate: NotRequired[Annotated[bool, Field(description="It was posted before.")]]
    postedOn: NotRequired[Date]


class Rejected(_Answer):
    """Not posted. Of codes for a person nothing comes again by itself."""

    status: Literal["rejected"]
    code: Code
    text: NotRequired[Annotated[str, Field(min_length=1, max_length=500)]]


class Busy(_Answer):
    """Not now: the event is sent again, unchanged."""

    status: Literal["busy"]
    retryAfter: NotRequired[Annotated[int, Field(ge=1, le=86_400, description="In seconds.")]]


_SAYS_SOMETHING = [{"required": ["upTo"]}, {"required": ["answers"], "properties": {"answers": {"minItems": 1}}}]
_ASKED = {"system": "erp", "nonce": _NONCE, "expires": _EXPIRES}


@with_config(
    examples(
        {**_ASKED, "source": _SOURCE, "upTo": 41},
        {
            **_ASKED,
            "source": _SOURCE,
            "answers": [
                {
                    "sequence": 42,
                    "id": _EVENT,
                    "status": "accepted",
                    "document": "4900012345",
                    "postedOn": "2026-03-04",
                },
                {"sequence": 43, "id": _EVENT, "status": "rejected", "code": "closed_period", "text": "02/2026"},
                {"sequence": 44, "id": _EVENT, "status": "busy", "retryAfter": 60},
            ],
        },
        anyOf=_SAYS_SOMETHING,
    )
)
class Ack(Closed):
    """What a system answers to events of one source: up to one of them, or one by one, or both."""

    system: System
    nonce: Nonce
    expires: Expires
    source: SourceUrn
    upTo: NotRequired[
        Annotated[Number, Field(description="Everything up to there is accepted, except what was answered singly.")]
    ]
    answers: NotRequired[
        Annotated[list[Accepted | Rejected | Busy], Field(max_length=200, description="Each event once.")]
    ]


class NotTaken(Closed):
    """An answer that was not taken, and why; null is `upTo`."""

    sequence: int | None
    reason: str


@with_config(
    examples(
        {
            "nonce": _NONCE,
            "system": "erp",
            "source": _SOURCE,
            "upTo": 41,
            "taken": 2,
            "repeated": 0,
            "refused": [{"sequence": 43, "reason": "it was accepted before"}],
            "reason": None,
        }
    )
)
class AckReply(Closed):
    """What became of answers; what could be read of them is repeated."""

    nonce: NotRequired[Nonce]
    system: NotRequired[System]
    source: NotRequired[SourceUrn]
    upTo: NotRequired[
        Annotated[Count, Field(description="Up to where this system has accepted everything, as the agent knows.")]
    ]
    taken: NotRequired[Count]
    repeated: NotRequired[Count]
    refused: NotRequired[list[NotTaken]]
    reason: Outcome


class Position(Closed):
    """The highest `toPosition` of a rule's epoch that a receiver holds, in raw units."""

    rule: Annotated[str, Field(min_length=1, max_length=200)]
    epoch: Annotated[int, Field(ge=0, le=2**63 - 1)]
    position: Annotated[int, Field(ge=1 - 10**19, le=10**19 - 1)]


@with_config(
    examples(
        {**_ASKED, "agent": "l3-edge", "positions": [{"rule": "preforms_used", "epoch": 1, "position": 117}]},
    )
)
class Positions(Closed):
    """What a system holds of an agent, all its stores together: sent when it sees a store it does not know yet."""

    system: System
    nonce: Nonce
    expires: Expires
    agent: Annotated[str, Field(min_length=1, max_length=200)]
    positions: Annotated[list[Position], Field(max_length=500, description="Each rule and epoch once.")]


@with_config(
    examples({"nonce": _NONCE, "system": "erp", "agent": "l3-edge", "decided": ["preforms_used/1/3"], "reason": None})
)
class PositionsReply(Closed):
    """Which reviews the statement has decided."""

    nonce: NotRequired[Nonce]
    system: NotRequired[System]
    agent: NotRequired[str]
    decided: NotRequired[list[Identifier]]
    reason: Outcome


class CommandEnvelope(TypedDict):
    """A CloudEvent round a command; its data alone is a command too."""

    specversion: Literal["1.0"]
    id: Token
    source: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$", examples=["urn:erp"])]
    type: Annotated[str, Field(examples=["io.edgeagent.cmd.ack.v1"])]
    data: dict[str, Any]


_FIGURES = [f"{figure}{suffix}" for figure in Figure for suffix in ("", "Reversed")]


class DiscrepancyKey(Closed):
    """Which figure of which stock; without location it is the process's."""

    location: NotRequired[Identifier]
    material: Identifier
    lot: NotRequired[Identifier]
    unit: Identifier
    figure: Annotated[str, Field(json_schema_extra={"enum": _FIGURES}, description="Of cumulative or its reversals.")]


Total = Annotated[str, Field(pattern=r"^-?[0-9]{1,40}(\.[0-9]{1,9})?$", examples=["5100"])]


@with_config(
    examples(
        {
            "system": "erp",
            "agent": "l3-edge",
            "cause": "lost",
            "message": "events 17 to 19 are missing, and the agent has them no longer",
            "key": {"location": "L3-HOPPER", "material": "300017", "unit": "H87", "figure": "consumed"},
            "expected": "5100",
            "found": "5049",
            "source": _SOURCE,
            "sequence": 20,
            "opened": "2026-03-04T12:00:00Z",
        }
    )
)
class StockDiscrepancy(Closed):
    """A receiver's books differ from the agent's, and why. Only the stock's system of record may correct it."""

    system: System
    agent: Identifier
    cause: Literal["lost", "changed", "doubled", "pruned", "restored", "overlap", "unexplained"]
    message: Text
    owner: NotRequired[Annotated[Identifier, Field(description="The system of record of that stock.")]]
    key: NotRequired[DiscrepancyKey]
    expected: NotRequired[Annotated[Total, Field(description="As the agent says.")]]
    found: NotRequired[Annotated[Total, Field(description="As the receiver has it.")]]
    source: NotRequired[SourceUrn]
    sequence: NotRequired[Sequence]
    opened: Moment
    closed: NotRequired[Annotated[Moment, Field(description="It agrees again.")]]


class DiscrepancyEnvelope(TypedDict):
    """CloudEvents 1.0, JSON, structured mode, of a receiver. Said again when it changes, and when it is closed."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(pattern=r"^urn:edgeagent-receiver:", examples=["urn:edgeagent-receiver:erp"])]
    type: Literal["io.edgeagent.stock.discrepancy.v1"]
    data: StockDiscrepancy


COMMANDS: dict[str, tuple[Any, Any]] = {
    "replay": (Replay, ReplayReply),
    "ack": (Ack, AckReply),
    "positions": (Positions, PositionsReply),
}
"""The types of each command and of its reply."""
