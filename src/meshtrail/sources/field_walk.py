"""The fields of a protobuf message, one after the other, as the bytes that they are.

For taking messages apart where nothing may be written anew: each field keeps the tag and the length
that its sender gave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MORE: Final = 0x80
_VARINT_BYTES_MAX: Final = 10
_LENGTH_DELIMITED: Final = 2
_FIXED_BYTES: Final = {1: 8, 5: 4}
_FIELD_NUMBER_MAX: Final = 2**29 - 1


class WireField(NamedTuple):
    """Where a field of a message stands.

    Attributes:
        number: of the field.
        start: of its tag.
        body: of its value, behind the length if it has one.
        end: of its value.
        is_delimited: whether it has a length: a message, text or bytes.
    """

    number: int
    start: int
    body: int
    end: int
    is_delimited: bool


def iterate_fields(data: bytes, start: int, end: int) -> Iterator[WireField]:
    """The fields that stand between two places of ``data``.

    Raises:
        InputError: they are no fields, or are groups, which nobody sends here.
    """
    at = start
    while at < end:
        tag, body = read_varint(data, at, end)
        number, wire_type = tag >> 3, tag & 7
        if not 1 <= number <= _FIELD_NUMBER_MAX:
            raise InputError(f"a field numbered {number} at byte {at}")
        is_delimited = wire_type == _LENGTH_DELIMITED
        if is_delimited:
            length, body = read_varint(data, body, end)
            stop = body + length
        elif wire_type in _FIXED_BYTES:
            stop = body + _FIXED_BYTES[wire_type]
        elif wire_type == 0:
            stop = read_varint(data, body, end)[1]
        else:
            raise InputError(f"a field of wire type {wire_type} at byte {at}")
        if stop > end:
            raise InputError(f"the field at byte {at} ends at byte {stop}, behind the end {end}")
        yield WireField(number, at, body, stop, is_delimited)
        at = stop


def read_varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A varint, and where it ends.

    Raises:
        InputError: it takes more than 10 bytes, or does not end before ``end``.
    """
    value = 0
    for position in range(at, min(end, at + _VARINT_BYTES_MAX)):
        byte = data[position]
        value |= (byte & ~_MORE) << 7 * (position - at)
        if byte < _MORE:
            return value, position + 1
    raise InputError(f"the number at byte {at} does not end")
