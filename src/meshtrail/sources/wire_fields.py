"""The wire format of protobuf, as far as framing needs it: fields with a length, one by one.

What is read here is in the one shortest form that every serialiser writes; whatever is not is left
to protobuf itself.
"""

from __future__ import annotations

from typing import Final

ELEMENTS_COUNT_MAX: Final = 1_024
"""Elements that are walked over in a row; of more, protobuf itself takes less time."""

VARINT_MORE: Final = 0x80
"""Set in each byte of a varint but the last."""

_LENGTH_SHIFTS: Final = (0, 7, 14, 21)
"""A length takes at most four bytes here: 256 MiB, and no message is near that."""

_BEYOND: Final = 1 << 62
_TWO_BYTE_STEPS: Final = [
    _BEYOND,
    *(3 + (high << 7) - VARINT_MORE for high in range(1, VARINT_MORE)),
]
"""By the second byte of a length: how far the next element is, less the first byte. Where the
second is 0 the first would do: not the shortest form, so it leads beyond any message."""


def tag_of(number: int) -> int:
    """The byte before a field with a length; ``number`` is 1 to 15."""
    return number << 3 | 2


def encode_varint(value: int) -> bytes:
    """A number in the shortest form."""
    encoded = bytearray()
    while value >= VARINT_MORE:
        encoded.append(value & ~VARINT_MORE & 0xFF | VARINT_MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_field(number: int, content: bytes | None) -> bytes:
    """A field with a length: its tag, its length, its content; nothing for None."""
    if content is None:
        return b""
    return bytes([tag_of(number)]) + encode_varint(len(content)) + content


def span_of(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the field at ``at`` begins and ends; the end may lie beyond the data.

    Raises:
        IndexError: its length is not in the shortest form or takes over four bytes, or the data
            ends before.
    """
    length = 0
    for shift in _LENGTH_SHIFTS:
        at += 1
        byte = data[at]
        length |= (byte & ~VARINT_MORE) << shift
        if byte < VARINT_MORE:
            if not byte and shift:
                break
            return at + 1, at + 1 + length
    raise IndexError(at)


def walk_elements(data: bytes, start: int, end: int, tag: int) -> tuple[int, int]:
    """Step over the elements of a repeated field that stand one behind the other.

    Args:
        data: at least ``end`` bytes.
        start: where the first may be; before ``end``.
        end: where the message that holds them ends.
        tag: before each of them.

    Returns:
        How many there are, ``ELEMENTS_COUNT_MAX`` at most, and where the last ends: beyond ``end``
        where its length is none. Lengths of three bytes and more are such, too.

    Raises:
        IndexError: a length leads beyond the data.
    """
    for count in range(ELEMENTS_COUNT_MAX):
        if data[start] != tag:
            return count, start
        low = data[start + 1]
        if low < VARINT_MORE:
            start += 2 + low
        else:
            start += low + _TWO_BYTE_STEPS[data[start + 2]]
        if start >= end:
            return count + 1, start
    return ELEMENTS_COUNT_MAX, start
