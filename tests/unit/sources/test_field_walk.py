from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.field_walk import iterate_fields, read_varint
from meshtrail.sources.wire_fields import encode_field, encode_varint


def test_fields_of_every_wire_type_are_found_where_they_stand() -> None:
    data = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1a\x02ab" + b"\x25" + bytes(4)
    found = [(field.number, data[field.body : field.end]) for field in iterate_fields(data, 0, 16)]
    assert found == [(1, b"\x96\x01"), (2, bytes(8)), (3, b"ab")]
    fields = list(iterate_fields(data, 0, len(data)))
    assert [field.is_delimited for field in fields] == [False, False, True, False]
    assert [field.start for field in fields] == [0, 3, 12, 16]
    assert fields[-1].end == len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"\x0b",
        b"\x0e\x01",
        b"\x0a\x05abc",
        b"\x09" + bytes(7),
        b"\x08",
        b"\x08" + b"\xff" * 10 + b"\x01",
        encode_varint((2**29) << 3) + b"\x01",
        b"\x80",
    ],
)
def test_what_is_no_field_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        list(iterate_fields(data, 0, len(data)))


def test_fields_end_where_the_message_does_and_not_the_bytes() -> None:
    data = encode_field(1, b"abc") + b"\xff"
    assert len(list(iterate_fields(data, 0, len(data) - 1))) == 1
    with pytest.raises(InputError):
        list(iterate_fields(data, 0, len(data) - 2))


@given(st.integers(0, 2**64 - 1))
def test_numbers_are_read_as_they_were_written(value: int) -> None:
    encoded = encode_varint(value)
    assert read_varint(encoded + b"\xff", 0, len(encoded)) == (value, len(encoded))
