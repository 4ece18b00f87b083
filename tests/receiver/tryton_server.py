"""A Tryton in this process, on SQLite in memory, with what the example needs; only where trytond is installed."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any


class Server:
    """The example's books in a company with one product and two locations."""

    def __init__(self, books: Any, model: Any) -> None:
        self.books = books
        self._model = model

    def stock(self) -> dict[str, float]:
        """What all done moves have left in each storage location."""
        sums = {place.id: 0.0 for place in self._model.get("stock.location").find([("type", "=", "storage")])}
        for move in self._model.get("stock.move").find([("state", "=", "done")]):
            for place, sign in ((move.from_location, -1), (move.to_location, 1)):
                if place.id in sums:
                    sums[place.id] += sign * move.quantity
        names = {place.id: place.code for place in self._model.get("stock.location").find([])}
        return {names[identity]: quantity for identity, quantity in sums.items()}


@contextmanager
def started(folder: Path, examples: Path) -> Iterator[Server]:
    """Activating the modules takes half a minute."""
    before = dict(os.environ)
    os.environ["TRYTOND_DATABASE_URI"] = "sqlite://"
    os.environ["DB_CACHE"] = str(folder)
    sys.path.insert(0, str(examples))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's code: not ours to mend
            yield _furnished()
    finally:
        sys.path.remove(str(examples))
        os.environ.clear()
        os.environ.update(before)


def _furnished() -> Server:
    import_module("trytond.tests.tools").activate_modules(["production"])
    import_module("trytond.modules.company.tests.tools").create_company()
    model = import_module("proteus").Model
    (kilogram,) = model.get("product.uom").find([("symbol", "=", "kg")])
    template = model.get("product.template")(name="PET", default_uom=kilogram, type="goods", list_price=Decimal(1))
    template.producible = True
    template.save()
    (product,) = template.products
    product.suffix_code, product.cost_price = "PET", Decimal(2)
    product.save()
    places = model.get("stock.location")
    (storage,) = places.find([("code", "=", "STO")])
    for code in ("silo", "hopper"):
        places(name=code, code=code, type="storage", parent=storage).save()
    return Server(import_module("receiver_tryton").Tryton(), model)
