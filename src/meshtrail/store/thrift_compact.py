"""Thrift's compact protocol, without an interface description: the bytes of a struct and back.

What Parquet writes its footer and page index in. A struct is its fields by number, in the order in
which they stand; what a number means is the caller's business. Only canonical bytes are decoded:
``encode_struct`` gives the same bytes again. Sets and maps, which Parquet has none of, are refused.

Source: thrift-compact-protocol.md of Apache Thrift.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from meshtrail.errors import InputError

BOOL: Final = 1
I8: Final = 3
I16: Final = 4
I32: Final = 5
I64: Final = 6
DOUBLE: Final = 7
BINARY: Final = 8
LIST: Final = 9
STRUCT: Final = 12

Fields: TypeAlias = dict[int, tuple[int, Any]]
"""A struct: field number to (kind, value), where the value is

- a bool or an int; bytes for a binary or a string; 8 bytes, little-endian, for a double
- a pair (kind of the elements, list of their values) for a list
- ``Fields`` for a struct; to be encoded, the bytes of an encoded struct may stand in its place
"""

DEPTH_MAX: Final = 16
"""Structs and lists within each other; the footer of Parquet has eight."""

_FALSE: Final = 2
_INTS: Final = frozenset({I16, I32, I64})
_LONG_LIST: Final = 15
_LONG_DELTA: Final = 16
_MORE: Final = 0x80
_SHIFTS: Final = range(0, 70, 7)
_VARINT_MAX: Final = (1 << 64) - 1
_DOUBLE_BYTES: Final = 8


def decode_struct(data: bytes, start: int = 0) -> tuple[Fields, int]:
    """Decode the struct that begins at ``start``.

    Returns:
        Its fields, and where it ends.

    Raises:
        InputError: the bytes are no such struct, not canonical, or end within it.

    Cost: no step without an input byte, whatever lengths it claims.
    """
    try:
        return _decode_struct(data, start, DEPTH_MAX)
    except IndexError:
        raise _refusal("the bytes end within it", len(data)) from None


def encode_struct(fields: Fields) -> bytes:
    """The bytes of a struct, its fields in the order of the mapping."""
    out = bytearray()
    _encode_struct(out, fields)
    return bytes(out)


def _refusal(why: str, at: int) -> InputError:
    return InputError(f"not a struct of Thrift's compact protocol: {why}, at byte {at}", at=at)


def _decode_struct(data: bytes, at: int, depth: int) -> tuple[Fields, int]:
    fields: Fields = {}
    number = 0
    while head := data[at]:
        at += 1
        kind, delta = head & 15, head >> 4
        before = number
        if delta:
            number += delta
        else:
            number, at = _decode_int(data, at)
        if number in fields or (not delta and 0 < number - before < _LONG_DELTA):
            raise _refusal(f"field {number} stands twice or is written long", at)
        if kind in (BOOL, _FALSE):
            fields[number] = BOOL, kind == BOOL
        else:
            value, at = _decode_value(data, at, kind, depth)
            fields[number] = kind, value
    return fields, at + 1


def _decode_value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in _INTS:
        return _decode_int(data, at)
    if kind in (BINARY, DOUBLE):
        # If fewer bytes are there, so is none behind them, and every value has one: of the next
        # field, or the one that ends its struct.
        length, at = _decode_varint(data, at) if kind == BINARY else (_DOUBLE_BYTES, at)
        return data[at : at + length], at + length
    if kind in (STRUCT, LIST):
        if not depth:
            raise _refusal(f"more than {DEPTH_MAX} structs and lists within each other", at)
        return (_decode_struct if kind == STRUCT else _decode_list)(data, at, depth - 1)
    if kind == I8:
        return (data[at] ^ 0x80) - 0x80, at + 1
    raise _refusal(f"a value of type {kind}", at)


def _decode_list(data: bytes, at: int, depth: int) -> tuple[tuple[int, list[Any]], int]:
    length, kind = data[at] >> 4, data[at] & 15
    at += 1
    if length == _LONG_LIST:
        length, at = _decode_varint(data, at)
        if length < _LONG_LIST:
            raise _refusal(f"the length {length} of a list is written long", at)
    values: list[Any] = []
    for _ in range(length):
        if kind == BOOL:
            if data[at] not in (BOOL, _FALSE):
                raise _refusal(f"bool {data[at]}", at)
            value, at = data[at] == BOOL, at + 1
        else:
            value, at = _decode_value(data, at, kind, depth)
        values.append(value)
    return (kind, values), at


def _decode_int(data: bytes, at: int) -> tuple[int, int]:
    """A signed integer in zigzag: 0, -1, 1, -2 and so on."""
    value = data[at]
    if value < _MORE:  # Most are: a call less for each.
        at += 1
    else:
        value, at = _decode_varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first."""
    value = 0
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < _MORE:
            if value > _VARINT_MAX or (shift and not byte):
                break
            return value, at
    raise _refusal("a number longer than it has to be, or than 64 bits", at)


def _encode_struct(out: bytearray, fields: Fields) -> None:
    before = 0
    for number, (kind, value) in fields.items():
        head = _FALSE if kind == BOOL and not value else kind
        if 0 < number - before < _LONG_DELTA:
            out.append((number - before) << 4 | head)
        else:
            out.append(head)
            _encode_int(out, number)
        before = number
        if kind != BOOL:
            _encode_value(out, kind, value)
    out.append(0)


def _encode_value(out: bytearray, kind: int, value: Any) -> None:  # noqa: ANN401 - see Fields
    if kind in _INTS:
        _encode_int(out, value)
    elif kind == BINARY:
        _encode_varint(out, len(value))
        out += value
    elif kind == LIST:
        _encode_list(out, *value)
    elif kind == I8:
        out.append(value & 0xFF)
    elif kind == BOOL:
        out.append(BOOL if value else _FALSE)
    elif isinstance(value, bytes):
        out += value
    else:
        _encode_struct(out, value)


def _encode_list(out: bytearray, kind: int, values: list[Any]) -> None:
    if len(values) < _LONG_LIST:
        out.append(len(values) << 4 | kind)
    else:
        out.append(_LONG_LIST << 4 | kind)
        _encode_varint(out, len(values))
    for value in values:
        _encode_value(out, kind, value)


def _encode_int(out: bytearray, value: int) -> None:
    _encode_varint(out, (value << 1) ^ (value >> 63))


def _encode_varint(out: bytearray, value: int) -> None:
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
