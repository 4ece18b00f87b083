"""The derivation's memory as rows: one per rule, context tag, condition, source and so on; each with its hash."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import aiosqlite
from pydantic import TypeAdapter

from edge_agent.model.measured import FlowState, LevelState
from edge_agent.model.reading import Scalar, TagRef
from edge_agent.model.signal_state import ConfirmationState, CounterState, HandshakeState, SignalState
from edge_agent.model.state import (
    RESTORES,
    CadenceState,
    ConditionState,
    ContainerLots,
    ContextState,
    LotStatuses,
    RuleState,
    SeenState,
    SentLines,
    SourceState,
    State,
    StockLots,
    TagState,
)
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.database import Database
from edge_agent.store.rows import checked, row_hash

_UPSERT = "INSERT OR REPLACE INTO checkpoint (kind, name, body, hash) VALUES (?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class _StoredRule:
    """A rule's state with its signal told apart by name: JSON alone does not say which kind it is."""

    rule: RuleState
    counter: CounterState | None = None
    handshake: HandshakeState | None = None
    level: LevelState | None = None
    flow: FlowState | None = None
    confirmation: ConfirmationState | None = None

    @property
    def signal(self) -> SignalState | None:
        """Whichever it is."""
        return self.counter or self.handshake or self.level or self.flow or self.confirmation


@dataclass(frozen=True, slots=True)
class _StoredTag:
    """A tag's state with its value told apart by type: the text "1.5" is not the number 1.5, nor true the number 1."""

    tag: TagState
    type: str | None = None
    text: str = ""


_CODECS: dict[str, TypeAdapter[Any]] = {
    "rule": TypeAdapter(_StoredRule),
    "context": TypeAdapter(ContextState),
    "condition": TypeAdapter(ConditionState),
    "source": TypeAdapter(SourceState),
    "cadence": TypeAdapter(CadenceState),
    "tag": TypeAdapter(_StoredTag),
    "operand": TypeAdapter(_StoredTag),
    "lots": TypeAdapter(StockLots),
    "containers": TypeAdapter(ContainerLots),
    "sent": TypeAdapter(SentLines),
    "seen": TypeAdapter(SeenState),
    "statuses": TypeAdapter(LotStatuses),
}
_SCALARS: dict[str, Callable[[str], Scalar]] = {
    "bool": lambda text: text == "True",
    "int": int,
    "Decimal": Decimal,
    "str": str,
}


class Checkpoint:
    """Reads the state back; the unit of work writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> State:
        """Everything remembered.

        Raises:
            StoreCorrupt: a row does not match its hash or cannot be read.
        """
        return await self._database.transaction(_load)


def rows(state: State) -> Iterator[tuple[str, str, str, bytes]]:
    """The rows that hold `state`."""
    yield from _encoded("rule", ((name, _stored_rule(rule)) for name, rule in state.rules.items()))
    yield from _encoded("context", state.contexts.items())
    yield from _encoded("condition", state.conditions.items())
    yield from _encoded("source", state.sources.items())
    yield from _encoded("cadence", state.cadences.items())
    yield from _encoded("tag", ((name, _stored_tag(tag)) for name, tag in state.tags.items()))
    yield from _encoded("operand", ((name, _stored_tag(tag)) for name, tag in state.operands.items()))
    yield from _encoded("lots", state.lots.items())
    yield from _encoded("containers", state.containers.items())
    yield from _encoded("sent", state.sent.items())
    yield from _encoded("seen", state.seen.items())
    yield from _encoded("statuses", state.statuses.items())


def decoded(kind: str, body: str) -> Any:
    """What a row's body says: the state of a thing of that kind."""
    stored = _CODECS[kind].validate_json(body)
    match stored:
        case _StoredRule():
            return replace(stored.rule, signal=stored.signal)
        case _StoredTag(type=str() as type_):
            return replace(stored.tag, value=_SCALARS[type_](stored.text))
        case _StoredTag():
            return stored.tag
    return stored


def statement(state: State) -> Statement:
    """Stores the rows of `state`, which are only those that changed."""
    return _UPSERT, list(rows(state))


async def write(connection: Connection, state: State) -> None:
    """Store the rows of `state` by themselves."""
    await connection.run_all([statement(state)])


async def mark_restored(connection: Connection) -> None:
    """Mark every rule: what ran between the restored baseline and now is not booked by itself (invariant 13).

    Nor is it known which lots the lost store took: what lies at a location has none from now on.
    What messages have said is forgotten: they may have said something else to the lost store, and nobody can ask them.
    """
    state = await _load(connection)
    state.rules.setdefault(RESTORES, RuleState(ConfirmationState(0)))
    for name, rule in state.rules.items():
        if rule.signal is not None:
            state.rules[name] = replace(rule, signal=replace(rule.signal, restored=True))
    unknown = {
        name: StockLots(((None, sum((there for _, there in one.lots), Decimal(0))),))
        for name, one in state.lots.items()
    }
    await write(connection, State(rules=state.rules, lots=unknown))
    said = [str(tag) for kind in (state.contexts, state.operands, state.tags) for tag in kind if _told(state, tag)]
    forget = "DELETE FROM checkpoint WHERE kind IN ('context', 'operand', 'tag') AND name = ?"
    statuses = "DELETE FROM checkpoint WHERE kind = 'statuses'"
    await connection.run_all([(forget, [(name,) for name in said]), (statuses, [()])])


def _told(state: State, tag: TagRef) -> bool:
    return tag.source in state.sources and state.sources[tag.source].told


async def _load(connection: aiosqlite.Connection) -> State:
    found: dict[str, dict[str, Any]] = {kind: {} for kind in _CODECS}
    async with connection.execute("SELECT kind, name, body, hash FROM checkpoint") as cursor:
        async for kind, name, body, digest in cursor:
            checked(f"checkpoint of {kind} {name}", (kind, name, body), digest)
            found[kind][name] = decoded(kind, body)
    return State(
        rules=found["rule"],
        contexts={_tag(name): value for name, value in found["context"].items()},
        conditions=found["condition"],
        sources=found["source"],
        cadences=found["cadence"],
        tags={_tag(name): value for name, value in found["tag"].items()},
        operands={_tag(name): value for name, value in found["operand"].items()},
        lots=found["lots"],
        containers=found["containers"],
        sent=found["sent"],
        seen=found["seen"],
        statuses=found["statuses"],
    )


def _stored_rule(rule: RuleState) -> _StoredRule:
    bare = replace(rule, signal=None)
    match rule.signal:
        case CounterState():
            return _StoredRule(bare, counter=rule.signal)
        case HandshakeState():
            return _StoredRule(bare, handshake=rule.signal)
        case LevelState():
            return _StoredRule(bare, level=rule.signal)
        case FlowState():
            return _StoredRule(bare, flow=rule.signal)
        case ConfirmationState():
            return _StoredRule(bare, confirmation=rule.signal)
        case None:
            return _StoredRule(bare)


def _stored_tag(tag: TagState) -> _StoredTag:
    if tag.value is None:
        return _StoredTag(tag)
    return _StoredTag(replace(tag, value=None), type(tag.value).__name__, str(tag.value))


def _encoded(kind: str, items: Iterable[tuple[Any, Any]]) -> Iterator[tuple[str, str, str, bytes]]:
    dump = _CODECS[kind].serializer.to_json
    for key, value in items:
        name, body = str(key), dump(value).decode()
        yield kind, name, body, row_hash(kind, name, body)


def _tag(name: str) -> TagRef:
    source, _, tag = name.partition(".")
    return TagRef(source, tag)
