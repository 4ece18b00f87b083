"""Whatever the derivation remembers comes back as it was."""

from __future__ import annotations

import tempfile
from collections.abc import MutableMapping
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.model.measured import Window
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Instant, Quality, Scalar, TagRef
from edge_agent.model.state import State, TagState
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.outcomes import NOON, counter, opened, render

_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
_moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - zones apart
_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**66), 2**66),
    str: st.text(max_size=20) | st.sampled_from(["1", "1.5", "True", "null", "1E3", "Größe ☃"]),
    Decimal: st.decimals(-(10**18), 10**18, allow_nan=False, allow_infinity=False),
    datetime: _moments,
    date: st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=3660)),
    type(None): st.none(),
    TagRef: st.builds(TagRef, _names, _names),
    Instant: st.builds(Instant, _moments, st.integers(0, 2**62), st.text(max_size=8)),
}
_NEVER_EMPTY = {(Window, "recent")}


def anything(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type with every field varied, those with a default too: a new field is covered by itself."""
    if hint in _LEAVES:
        return _LEAVES[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if origin is UnionType:
        return st.one_of(*(anything(one) for one in inner))
    if origin is tuple and inner[-1] is Ellipsis:
        return st.lists(anything(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(anything(one) for one in inner))
    if origin is MutableMapping:
        return st.dictionaries(anything(inner[0]), anything(inner[1]), max_size=2)
    if issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    return _built(hint)


@st.composite
def _built(draw: st.DrawFn, hint: Any) -> Any:
    """By a function of its own, or the strategy's repr would be as large as all state."""
    drawn = {}
    for one in fields(hint):
        if one.init:
            values = anything(get_type_hints(hint)[one.name])
            drawn[one.name] = draw(values.filter(bool) if (hint, one.name) in _NEVER_EMPTY else values)
    return hint(**drawn)


@given(anything(State))
@settings(max_examples=60)
async def test_any_state_comes_back_as_it_was(state: State) -> None:
    with tempfile.TemporaryDirectory() as directory:
        database = await opened(Path(directory) / "edge-agent.db")
        try:
            await UnitOfWork(database).commit(Outcome(changed=state), render, NOON)
            loaded = await Checkpoint(database).load()
        finally:
            await database.close()
    assert loaded == state
    for tag, known in loaded.tags.items():  # 1, True and Decimal(1) are equal, and not the same
        assert type(known.value) is type(state.tags[tag].value)
    for name, rule in loaded.rules.items():
        assert type(rule.signal) is type(state.rules[name].signal)


async def test_an_epoch_tag_of_text_is_no_number_after_a_restart(tmp_path: Path) -> None:
    """It would differ from the same text read again: a sign of a reset that never was."""
    values: list[Scalar | None] = ["1", 1, Decimal(1), True, "True", "1.5", Decimal("1.50"), "1E3", "", None]
    state = State(tags={TagRef("plc", f"t{at}"): TagState(value, Quality.GOOD) for at, value in enumerate(values)})
    database = await opened(tmp_path / "edge-agent.db")
    try:
        await UnitOfWork(database).commit(Outcome(changed=state), render, NOON)
        loaded = [tag.value for tag in (await Checkpoint(database).load()).tags.values()]
    finally:
        await database.close()
    assert [repr(value) for value in loaded] == [repr(value) for value in values]


async def test_only_what_changed_is_written(tmp_path: Path) -> None:
    database = await opened(tmp_path / "edge-agent.db")
    try:
        unit_of_work = UnitOfWork(database)
        first, second = State(), State()
        for name in ("a", "b"):
            first.rules[name] = counter(1)
        second.rules["b"] = counter(2)
        for state in (first, second):
            await unit_of_work.commit(Outcome(changed=state), render, NOON)
        assert (await Checkpoint(database).load()).rules == {"a": counter(1), "b": counter(2)}
    finally:
        await database.close()
