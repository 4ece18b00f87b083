"""A checked tag map in one piece, and made anew of it: in a tenth of the memory that reading it has strewn it over."""

from __future__ import annotations

import io
import pickle
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.tagmap import TagMap
from edge_agent.model.reading import TagRef

_SHARED = frozenset({str, int, Decimal, Fraction, timedelta, frozenset, TagRef})
"""Types whose text says all of a value."""


class _Packer(pickle.Pickler):
    """Writes once what many rules say alike: rates, spans, the tag of their order."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._known: dict[tuple[type, str], object] = {}

    def persistent_id(self, value: object) -> object:
        """The value that stands for all that are like this one: the pickler remembers objects, not values."""
        kind = type(value)
        return self._known.setdefault((kind, str(value)), value) if kind in _SHARED else None


class _Unpacker(pickle.Unpickler):
    def persistent_load(self, value: object) -> object:
        """What was written for the value is the value."""
        return value


def packed(tag_map: TagMap) -> bytes:
    """The map in one piece."""
    file = io.BytesIO()
    _Packer(file).dump(tag_map)
    return file.getvalue()


def unpacked(data: bytes) -> TagMap:
    """The map of `packed`; only for what this process has just packed itself."""
    tag_map: TagMap = _Unpacker(io.BytesIO(data)).load()
    return tag_map
