"""Posts to Tryton: `python receiver_tryton.py mqtt://127.0.0.1:1883 https://user:password@host/database/`.

Needs `pip install proteus` of the server's version and its modules stock and production. Materials are product codes,
storage locations are location codes. What an order takes or gives becomes a production document with inputs or outputs,
what moves between locations an internal shipment. Their `reference` is the event's id: a document that is there already
is only finished, so the same event any number of times makes it once.

What Tryton refuses raises here and is offered again; a plant maps its own refusals to codes where it knows them.
"""

import logging
import sys
from decimal import Decimal
from typing import Any

from proteus import Model, config

from edge_agent_receiver import Accepted, Event, Line, Receiver, Rejected

UNITS = {"KGM": "kg", "GRM": "g", "LTR": "L", "H87": "u", "C62": "u"}
"""Symbols of Tryton's units by UN/ECE code."""


class Refused(Exception):
    """Why an event is not posted: a code and a text."""


class Tryton:
    """The books. Everything an event needs is looked up before anything is made."""

    def __init__(self) -> None:
        self.production, self.shipment = Model.get("production"), Model.get("stock.shipment.internal")
        self.product, self.location, self.unit = map(Model.get, ("product.product", "stock.location", "product.uom"))

    def post(self, event: Event) -> Accepted | Rejected:
        """All documents of the event, each made once."""
        original = event.reverses or event
        try:
            if original.name in {"material.consumed", "material.returned", "material.produced"}:
                made = self._of_the_order(event, original.name)
            elif original.name == "material.moved":
                made = self._moved(event)
            else:
                raise Refused("malformed", f"nobody has said yet how {original.name} is posted")  # noqa: TRY301 - one way out
        except Refused as why:
            return Rejected(*why.args)
        return Accepted(document=", ".join(made) or None)

    def _of_the_order(self, event: Event, name: str) -> list[str]:
        """Inputs are taken out of a location, outputs put into one; a reversal does the opposite."""
        lines = [(line, *self._needs(line, line.location)) for line in event.lines if line.location]
        if not lines:
            return []  # from the order to the order: no stock has moved
        document = self._known(self.production, event.id)
        if document is None:
            document = self.production(reference=event.id)
            document.effective_date = document.effective_start_date = event.posting_date
            inputs = (name == "material.consumed") != (event.reverses is not None)
            for line, product, unit, place in lines:
                move = (document.inputs if inputs else document.outputs).new(product=product, unit=unit)
                move.quantity = float(line.quantity)  # Tryton's quantities are floats
                move.from_location = place if inputs else document.location
                move.to_location = document.location if inputs else place
                if not inputs:
                    move.unit_price, move.currency = Decimal(0), document.company.currency
            document.save()  # all lines or none
        return [self._finish(document, ("draft", "wait"), ("assigned", "run"), ("running", "do"))]

    def _moved(self, event: Event) -> list[str]:
        """A shipment per pair of lines."""
        pairs: dict[str, dict[str, Line]] = {}
        for line in event.lines:
            pairs.setdefault(line.pair or line.id, {})[line.use] = line
        plans = [(pair, *self._pair(event, lines)) for pair, lines in sorted(pairs.items())]
        made = []
        for pair, line, product, unit, start, end in plans:
            reference = f"{event.id}/{pair}"
            document = self._known(self.shipment, reference)
            if document is None:
                document = self.shipment(reference=reference, from_location=start, to_location=end)
                document.effective_date = document.effective_start_date = event.posting_date
                move = document.moves.new(product=product, unit=unit, from_location=start, to_location=end)
                move.quantity = float(line.quantity)
                document.save()
            made.append(self._finish(document, ("draft", "wait"), ("assigned", "do")))
        return made

    def _pair(self, event: Event, lines: dict[str, Line]) -> tuple[Any, ...]:
        if lines.keys() != {"Consumed", "Produced"}:
            raise Refused("malformed", "a move is a pair of Consumed and Produced")
        taken, put = lines["Consumed"], lines["Produced"]
        product, unit, start = self._needs(taken, taken.location)
        *_, end = self._needs(put, put.location)
        return (taken, product, unit, end, start) if event.reverses else (taken, product, unit, start, end)

    def _needs(self, line: Line, location: str | None) -> tuple[Any, Any, Any]:
        """Product, unit and location of a line."""
        if line.lot is not None:
            raise Refused("unknown_lot", "lots need the module stock_lot")
        found = [
            self.product.find([("code", "=", line.material)]),
            self.unit.find([("symbol", "=", UNITS.get(line.unit, line.unit))]),
            self.location.find([("code", "=", location)]),
        ]
        for code, name, those in zip(
            ("unknown_product", "unknown_unit", "unknown_location"),
            (line.material, line.unit, location),
            found,
            strict=True,
        ):
            if len(those) != 1:
                raise Refused(code, f"{name}: {len(those)} of them in Tryton")
        product, unit, place = (those[0] for those in found)
        if line.quantity % Decimal(str(unit.rounding)):
            raise Refused("quantity_precision", f"{line.quantity} {unit.symbol} is finer than {unit.rounding}")
        return product, unit, place

    @staticmethod
    def _known(model: Any, reference: str) -> Any:
        return next(iter(model.find([("reference", "=", reference), ("state", "!=", "cancelled")])), None)

    @staticmethod
    def _finish(document: Any, *steps: tuple[str, str]) -> str:
        """Take it through its states, from wherever it is. Raises Refused where the stock is not there."""
        for state, button in steps:
            if document.state == "waiting":
                document.click("assign_try")
                document.reload()
                if document.state == "waiting":
                    document.click("cancel")
                    raise Refused("insufficient_stock", f"Tryton has not enough for {document.number or document.id}")
            if document.state == state:
                document.click(button)
                document.reload()
        return str(document.number or document.id)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    broker, server = sys.argv[1:3]
    config.set_xmlrpc(server)
    Receiver(system="tryton", broker=broker, store="tryton.inbox.db", post=Tryton().post).run()
