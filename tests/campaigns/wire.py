"""Protobuf wire bytes as a tree that can be bent into what no serialiser would write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
RAW = -1
"""Not a wire type: the value is written as it is, without a tag."""

Value: TypeAlias = "int | bytes | list[Field]"


@dataclass(slots=True)
class Field:
    """One field: its number, its wire type and what it holds; a list is a sub-message."""

    number: int
    wire_type: int
    value: Value

    def copy(self) -> Field:
        """A copy that can be bent on its own."""
        value = self.value
        if isinstance(value, list):
            value = [field.copy() for field in value]
        return Field(self.number, self.wire_type, value)


def encode_varint(value: int, *, length_min: int = 1) -> bytes:
    """A varint, in a longer form than needed if ``length_min`` says so."""
    out = bytearray()
    while value > 0x7F or len(out) + 1 < length_min:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_fields(fields: list[Field]) -> bytes:
    """The bytes of a message."""
    return b"".join([_encode_field(field) for field in fields])


def decode_fields(data: bytes, descriptor: Descriptor) -> list[Field]:
    """The tree of well-formed bytes; sub-messages are those of ``descriptor``."""
    fields = []
    position = 0
    while position < len(data):
        tag, position = _decode_varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        value: Value
        if wire_type == VARINT:
            value, position = _decode_varint(data, position)
        elif wire_type == LENGTH:
            length, position = _decode_varint(data, position)
            value = data[position : position + length]
            position += length
            known = descriptor.fields_by_number.get(number)
            if known is not None and known.message_type is not None:
                value = decode_fields(value, known.message_type)
        else:
            width = 8 if wire_type == FIXED64 else 4
            value = data[position : position + width]
            position += width
        fields.append(Field(number, wire_type, value))
    return fields


def list_messages(fields: list[Field]) -> list[list[Field]]:
    """The message itself and every sub-message in it."""
    found = [fields]
    for field in fields:
        if isinstance(field.value, list):
            found += list_messages(field.value)
    return found


def _encode_field(field: Field) -> bytes:
    value = encode_fields(field.value) if isinstance(field.value, list) else field.value
    if field.wire_type == RAW:
        assert isinstance(value, bytes)
        return value
    tag = encode_varint(field.number << 3 | field.wire_type)
    if field.wire_type == VARINT:
        number = value if isinstance(value, int) else int.from_bytes(value[:8], "little")
        return tag + encode_varint(number)
    data = value if isinstance(value, bytes) else encode_varint(value)
    if field.wire_type == LENGTH:
        return tag + encode_varint(len(data)) + data
    if field.wire_type == START_GROUP:
        return tag + data + encode_varint(field.number << 3 | END_GROUP)
    width = {FIXED64: 8, FIXED32: 4}.get(field.wire_type, 0)
    return tag + data[:width].ljust(width, b"\0")


def _decode_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte <= 0x7F:
            return value, position
