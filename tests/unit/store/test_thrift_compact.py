from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.store.thrift_compact import (
    BINARY,
    BOOL,
    DEPTH_MAX,
    DOUBLE,
    I8,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    Fields,
    decode_struct,
    encode_struct,
)

# Written down by hand from the specification, byte for byte.
GOLDEN: list[tuple[Fields, str]] = [
    ({}, "00"),
    ({1: (BOOL, True), 2: (BOOL, False)}, "11 12 00"),
    ({1: (I8, -1), 2: (I8, 127)}, "13 ff 13 7f 00"),
    ({1: (I16, 0), 2: (I16, -1), 3: (I16, 1)}, "14 00 14 01 14 02 00"),
    ({1: (I32, 63), 2: (I32, 64), 3: (I32, -65)}, "15 7e 15 80 01 15 81 01 00"),
    ({1: (I64, 2**63 - 1)}, "16 fe ff ff ff ff ff ff ff ff 01 00"),
    ({1: (I64, -(2**63))}, "16 ff ff ff ff ff ff ff ff ff 01 00"),
    ({1: (DOUBLE, struct.pack("<d", 1.0))}, "17 00 00 00 00 00 00 f0 3f 00"),
    ({1: (BINARY, b""), 2: (BINARY, b"ab")}, "18 00 18 02 61 62 00"),
    ({15: (I8, 0)}, "f3 00 00"),
    ({16: (I8, 0)}, "03 20 00 00"),
    ({3: (I8, 0), 2: (I8, 0)}, "33 00 03 04 00 00"),
    ({1: (LIST, (I32, []))}, "19 05 00"),
    ({1: (LIST, (BOOL, [True, False]))}, "19 21 01 02 00"),
    ({1: (LIST, (I8, [7] * 14))}, "19 e3" + " 07" * 14 + " 00"),
    ({1: (LIST, (I8, [7] * 15))}, "19 f3 0f" + " 07" * 15 + " 00"),
    ({1: (LIST, (I8, [7] * 200))}, "19 f3 c8 01" + " 07" * 200 + " 00"),
    ({1: (STRUCT, {1: (I8, 5)}), 2: (I8, 6)}, "1c 13 05 00 13 06 00"),
    ({1: (LIST, (STRUCT, [{}, {2: (BOOL, True)}]))}, "19 2c 00 21 00 00"),
]

REFUSED = {
    "no stop": "",
    "field without a value": "15",
    "a number that never ends": "15 80",
    "a number of two bytes that fits one": "15 80 00 00",
    "a number of more than 64 bits": "16 ff ff ff ff ff ff ff ff ff 02 00",
    "a number of eleven bytes": "16" + " 80" * 10 + " 01 00",
    "text longer than the bytes": "18 05 61 62 00",
    "text of 2^60 bytes": "18 80 80 80 80 80 80 80 80 10 00",
    "a double of five bytes": "17 00 00 00 00 00",
    "a list of 2^60 structs": "19 fc 80 80 80 80 80 80 80 80 10 00",
    "a long list header for 14 elements": "19 f3 0e" + " 07" * 14 + " 00",
    "a bool that is neither": "19 11 03 00",
    "a long field number where a short one fits": "03 02 00 00",
    "a field that stands twice": "13 00 03 02 00 00",
    "type 0": "10 00",
    "a set": "1a 13 00 00",
    "a map": "1b 00 00",
    "type 13": "1d 00",
    "structs without end": "1c" * 100,
    "lists without end": "19" * 100,
}

SCALARS: dict[int, st.SearchStrategy[Any]] = {
    BOOL: st.booleans(),
    I8: st.integers(-(2**7), 2**7 - 1),
    I16: st.integers(-(2**15), 2**15 - 1),
    I32: st.integers(-(2**31), 2**31 - 1),
    I64: st.integers(-(2**63), 2**63 - 1),
    DOUBLE: st.binary(min_size=8, max_size=8),
    BINARY: st.binary(max_size=20),
}


def of_kinds(values: dict[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Fields]:
    pairs = [st.tuples(st.just(kind), value) for kind, value in values.items()]
    return st.dictionaries(st.integers(-(2**15), 2**15 - 1), st.one_of(pairs), max_size=5)


def nested(inner: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    kinds = {**SCALARS, STRUCT: inner}
    lists = [
        st.tuples(st.just(kind), st.lists(value, max_size=17)) for kind, value in kinds.items()
    ]
    return of_kinds({**kinds, LIST: st.one_of(lists)})


STRUCTS = st.recursive(of_kinds(SCALARS), nested, max_leaves=6)


@pytest.mark.parametrize(("fields", "text"), GOLDEN, ids=[text[:20] for _, text in GOLDEN])
def test_struct_is_encoded_and_decoded_as_specified(fields: Fields, text: str) -> None:
    data = bytes.fromhex(text)
    assert encode_struct(fields) == data
    assert decode_struct(data) == (fields, len(data))


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_bytes_that_are_no_canonical_struct_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="compact protocol"):
        decode_struct(bytes.fromhex(text))


@given(fields=STRUCTS, before=st.binary(max_size=3), after=st.binary(max_size=3))
def test_any_struct_reads_back_from_within_other_bytes(
    fields: Fields, before: bytes, after: bytes
) -> None:
    data = encode_struct(fields)
    got, end = decode_struct(before + data + after, len(before))
    assert (got, end) == (fields, len(before) + len(data))
    assert list(got) == list(fields)


@given(fields=STRUCTS)
def test_truncated_struct_is_refused_at_every_byte(fields: Fields) -> None:
    data = encode_struct(fields)
    for end in range(len(data)):
        with pytest.raises(InputError):
            decode_struct(data[:end])


@given(data=st.binary(max_size=60))
@example(data=b"\x19\xfc\xff\xff\xff\xff\x0f" + b"\x00" * 40)
def test_garbage_is_refused_or_canonical(data: bytes) -> None:
    check_refused_or_canonical(data)


@given(fields=STRUCTS, at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_struct_with_a_changed_byte_is_refused_or_canonical(
    fields: Fields, at: int, byte: int
) -> None:
    data = bytearray(encode_struct(fields))
    data[at % len(data)] = byte
    check_refused_or_canonical(bytes(data))


def test_encoded_struct_may_stand_in_place_of_its_fields() -> None:
    inner: Fields = {1: (I64, 300), 20: (BINARY, b"x")}
    got = encode_struct({1: (STRUCT, encode_struct(inner)), 2: (LIST, (STRUCT, [inner, b"\0"]))})
    assert got == encode_struct({1: (STRUCT, inner), 2: (LIST, (STRUCT, [inner, {}]))})


@pytest.mark.parametrize("depth", [DEPTH_MAX, DEPTH_MAX + 1])
def test_depth_is_bounded(depth: int) -> None:
    fields: Fields = {}
    for _ in range(depth):
        fields = {1: (STRUCT, fields)}
    data = encode_struct(fields)
    if depth <= DEPTH_MAX:
        assert decode_struct(data) == (fields, len(data))
    else:
        with pytest.raises(InputError, match="within each other"):
            decode_struct(data)


def test_double_keeps_its_bits() -> None:
    data = bytes.fromhex("17 01 00 00 00 00 00 f4 7f 00")
    (_, value), *_ = decode_struct(data)[0].values()
    assert math.isnan(struct.unpack("<d", value)[0])
    assert encode_struct({1: (DOUBLE, value)}) == data


def check_refused_or_canonical(data: bytes) -> None:
    try:
        fields, end = decode_struct(data)
    except InputError:
        return
    assert encode_struct(fields) == data[:end]
