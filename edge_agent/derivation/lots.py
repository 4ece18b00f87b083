"""Which lot a quantity is of where no tag tells: by its container, or by what lies there (derivation.md, Context).

A location's lots of a material are followed if some rule takes them `fifo` (the oldest first) or as a `blend` (a share
of each, as in a tank that mixes). They are filled by what is brought there and emptied by what leaves. What nobody
brought has no known lot. Pure: writes to the branch of the state it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction

from edge_agent.config.tagmap import LotWay, Rule, TagMap
from edge_agent.derivation.amounts import plain, total
from edge_agent.model.movement import Flag, Key, Line
from edge_agent.model.state import ContainerLots, State, StockLots

CONTAINERS = 1_000
"""Containers remembered of a material; the oldest are forgotten, and their lots are not known then."""
_FINEST = Decimal("1e-9")
Share = tuple[str | None, Decimal]
"""A lot, and how much of it."""


def place(location: str, material: str) -> str:
    """The name of a stock whose lots are followed."""
    return f"{location}|{material}"


def stock(state: State, location: str, material: str) -> tuple[Share, ...]:
    """The lots there, the oldest first; in the material's unit."""
    return state.lots.get(place(location, material), StockLots(())).lots


def assigned(state: State, rule: Rule, line: Line) -> tuple[Line, ...]:
    """The line with its lot, as the rule knows it; parted at exact quantities where it spans lots `fifo`.

    A blend stays open: its shares are known once nothing more is added to the line (`blended`).
    """
    if rule.lot_from is LotWay.CONTAINER:
        return (replace(line, key=replace(line.key, lot=line.key.lot or lot_in(state, line.key))),)
    if rule.lot_from is not LotWay.FIFO or rule.from_ is None or line.key.lot is not None:
        return (line,)
    return parted(line, oldest(stock(state, rule.from_, rule.material.number), line.quantity))


def blended(state: State, rule: Rule, line: Line) -> tuple[Line, ...]:
    """A share of each lot in the tank, in multiples of the material's precision; they add up to the line exactly."""
    if rule.lot_from is not LotWay.BLEND or rule.from_ is None or line.key.lot is not None:
        return (line,)
    lots = stock(state, rule.from_, rule.material.number)
    return parted(line, proportional(lots, line.quantity, rule.material.precision or _FINEST))


def oldest(lots: Sequence[Share], quantity: Decimal) -> list[Share]:
    """`quantity` of the oldest lots; what is beyond them has none."""
    shares: list[Share] = []
    for lot, there in lots:
        taken = min(there, quantity)
        if taken > 0:
            shares.append((lot, taken))
            quantity = plain(quantity - taken)
    return [*shares, (None, quantity)] if quantity > 0 else shares


def proportional(lots: Sequence[Share], quantity: Decimal, grain: Decimal) -> list[Share]:
    """`quantity` of all lots by their shares, in multiples of `grain`; the largest takes what is left over."""
    full = sum((there for _, there in lots), Decimal(0))
    if full <= 0:
        return [(None, quantity)]
    beyond = max(quantity - full, Decimal(0))
    blend = quantity - beyond
    shares = [(lot, _multiple(Fraction(blend) * Fraction(there) / Fraction(full), grain)) for lot, there in lots]
    largest = max(range(len(shares)), key=lambda n: lots[n][1])
    rest = blend - sum((share for _, share in shares), Decimal(0))
    shares[largest] = (shares[largest][0], shares[largest][1] + rest)
    return [(lot, plain(share)) for lot, share in (*shares, (None, beyond)) if share > 0]


def _multiple(amount: Fraction, grain: Decimal) -> Decimal:
    return int(amount / Fraction(grain)) * grain


def parted(line: Line, shares: Sequence[Share]) -> tuple[Line, ...]:
    """The line as one of each lot: quantities exact, positions in proportion, each at least one raw unit wide.

    Where there are fewer raw units than lots, the smallest share joins the largest, flagged.
    """
    shares, width = list(shares), line.evidence.to_position - line.evidence.from_position
    flags: tuple[Flag, ...] = ()
    while len(shares) > max(width, 1):
        small = min(range(len(shares)), key=lambda n: shares[n][1])
        _, joins = shares.pop(small)
        large = max(range(len(shares)), key=lambda n: shares[n][1])
        shares[large] = (shares[large][0], total(shares[large][1], joins))
        flags = (Flag.STRADDLED_LOT,)
    found, start, left = [], line.evidence.from_position, len(shares)
    ran = Decimal(0)
    for lot, quantity in shares:
        ran, left = ran + quantity, left - 1
        last = left == 0
        end = line.evidence.from_position + int(Fraction(ran) / Fraction(line.quantity) * width) if width else start
        end = line.evidence.to_position if last else min(max(end, start + 1), line.evidence.to_position - left)
        found.append(_part(line, lot, quantity, (start, end), flags))
        start = end
    return tuple(found)


def _part(line: Line, lot: str | None, quantity: Decimal, span: tuple[int, int], flags: tuple[Flag, ...]) -> Line:
    proof = line.evidence
    flags = tuple(dict.fromkeys((*proof.flags, *flags)))
    source = line.source_quantity
    if quantity != line.quantity:
        source = plain((source * quantity / line.quantity).quantize(_FINEST, ROUND_DOWN))
    return replace(
        line,
        key=replace(line.key, lot=lot),
        quantity=quantity,
        source_quantity=source,
        evidence=replace(proof, from_position=span[0], to_position=span[1], flags=flags),
    )


def moved(tag_map: TagMap, state: State, key: Key, quantity: Decimal, *, exact: bool = False) -> None:
    """Take `quantity` from where the movement begins, bring it where it ends; remember the lot of its container.

    It is taken from the key's lot; where that is not known, by the way of the location, unless it is `exact`.
    """
    for location, brings in ((key.from_, False), (key.to, True)):
        way = None if location is None else tag_map.lot_places.get((location, key.material))
        if location is None or way is None:
            continue
        lots = stock(state, location, key.material)
        after = _brought(lots, key.lot, quantity) if brings else _taken(lots, key.lot, quantity, None if exact else way)
        state.lots[place(location, key.material)] = StockLots(after)
    if key.container is not None and key.lot is not None and key.material in tag_map.lots_by_container:
        known = state.containers.get(key.material, ContainerLots(())).lots
        if (key.container, key.lot) not in known:
            others = tuple(pair for pair in known if pair[0] != key.container)
            state.containers[key.material] = ContainerLots((*others, (key.container, key.lot))[-CONTAINERS:])


def _brought(lots: Sequence[Share], lot: str | None, quantity: Decimal) -> tuple[Share, ...]:
    if lots and lots[-1][0] == lot:
        return (*lots[:-1], (lot, total(lots[-1][1], quantity)))
    return (*lots, (lot, quantity))


def _taken(lots: Sequence[Share], lot: str | None, quantity: Decimal, way: LotWay | None) -> tuple[Share, ...]:
    """What is left: of the lot that was taken, else of the oldest, or of all by their shares."""
    taken: list[Share] = [(lot, quantity)]
    if lot is None and way is LotWay.FIFO:
        taken = oldest(lots, quantity)
    elif lot is None and way is LotWay.BLEND:
        taken = proportional(lots, quantity, _FINEST)
    left: dict[str | None, Decimal] = dict.fromkeys((share[0] for share in taken), Decimal(0))
    for one, share in taken:
        left[one] += share
    kept: list[Share] = []
    for one, there in lots:
        gone = min(there, left.get(one, Decimal(0)))
        if gone:
            left[one] -= gone
        if there > gone:
            kept.append((one, plain(there - gone)))
    return tuple(kept)


def lot_in(state: State, key: Key) -> str | None:
    """The lot that the container was last seen with; None where it was not."""
    known = state.containers.get(key.material)
    if key.container is None or known is None:
        return None
    return next((lot for container, lot in reversed(known.lots) if container == key.container), None)


def current(state: State, rule: Rule) -> str | None:
    """The lot that a `fifo` rule takes now."""
    if rule.from_ is None:
        return None
    return next((lot for lot, there in stock(state, rule.from_, rule.material.number) if there > 0), None)
