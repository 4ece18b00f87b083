"""MQTT 5 properties of what the agent publishes, packed at once."""

from __future__ import annotations

from functools import lru_cache

from paho.mqtt.properties import Properties

from edge_agent.broker import Message

_LONGEST_TEXT = 65_535
_CONTENT_TYPE, _EXPIRY, _USER_PROPERTY = b"\x03", b"\x02", b"\x26"


class Packed(Properties):
    """The properties of a PUBLISH or a will as bytes (MQTT 5, 2.2.2): paho's own cost more than all the rest of it.

    Raises ValueError where a text is unfit.
    """

    def __init__(self, message: Message) -> None:
        packed = b"" if message.content_type is None else _CONTENT_TYPE + _known(message.content_type)
        if message.expiry is not None:
            packed += _EXPIRY + message.expiry.to_bytes(4, "big")
        packed += b"".join([_USER_PROPERTY + _known(name) + _text(value) for name, value in message.properties])
        object.__setattr__(self, "_packed", _length(len(packed)) + packed)

    def pack(self) -> bytes:
        """What paho puts into the packet."""
        packed: bytes = object.__getattribute__(self, "_packed")
        return packed


def _text(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > _LONGEST_TEXT:
        raise ValueError(f"a property has {len(encoded)} bytes, more than {_LONGEST_TEXT}")
    return len(encoded).to_bytes(2, "big") + encoded


_known = lru_cache(maxsize=64)(_text)
"""For the few texts that every message has."""


def _length(value: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
