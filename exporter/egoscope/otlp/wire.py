"""Protocol Buffers on the wire: the few primitives that OTLP needs, after protobuf.dev's "Encoding" page.

Building Python message objects is the cost of OTLP in Python, not serialising them; so bytes are joined here, and a
property test parses every byte back with opentelemetry-proto.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

_FIXED64 = Struct("<Q").pack
_DOUBLE = Struct("<d").pack


def varint(value: int) -> bytes:
    """Encode an unsigned integer of up to 64 bits: seven bits a byte, the lowest first."""
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x20_0000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    if value < 0x1000_0000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 & 0x7F | 0x80, value >> 21))
    return bytes((value & 0x7F | 0x80,)) + varint(value >> 7)


_ONE_BYTE = tuple(bytes((value,)) for value in range(0x80))


def tag(field: int, wire_type: int) -> bytes:
    """Encode a field's key. Wire types: 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32."""
    return varint(field << 3 | wire_type)


def message(field: int, content: bytes) -> bytes:
    """Encode a length-delimited field: a message, string or bytes."""
    return tag(field, 2) + varint(len(content)) + content


def string(field: int, text: str) -> bytes:
    """Encode a string field; text that is no valid Unicode has been replaced."""
    return message(field, text.encode("utf-8", "replace"))


def fixed64(field: int, value: int) -> bytes:
    """Encode a fixed64 field."""
    return tag(field, 1) + _FIXED64(value)


@lru_cache(maxsize=8192, typed=True)
def attribute(field: int, key: str, value: str | bool | float) -> bytes:  # noqa: FBT001 (a value, not a flag)
    """Encode one KeyValue into the repeated field `field` of its parent. Kept, for most values come again.

    Zeros are equal, so which sign a zero has is not kept.
    """
    if isinstance(value, str):
        any_value = string(1, value)
    elif isinstance(value, bool):
        any_value = tag(2, 0) + varint(value)
    elif isinstance(value, int):
        any_value = tag(3, 0) + varint(value & 0xFFFF_FFFF_FFFF_FFFF)  # int64: two's complement
    else:
        any_value = tag(4, 1) + _DOUBLE(value)
    return message(field, string(1, key) + message(2, any_value))


class IntAttribute:
    """Encodes an unsigned integer attribute whose value is another one each time."""

    def __init__(self, field: int, key: str) -> None:
        name = string(1, key)
        self._heads = tuple(
            tag(field, 2) + varint(len(name) + 3 + length) + name + b"\x12" + varint(1 + length) + b"\x18"
            for length in range(11)
        )

    def encode(self, value: int) -> bytes:
        """Encode the KeyValue."""
        number = varint(value)
        return self._heads[len(number)] + number
