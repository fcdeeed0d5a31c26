from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.wire_fields import (
    ELEMENTS_COUNT_MAX,
    encode_field,
    encode_varint,
    span_of,
    tag_of,
    walk_elements,
)
from tests.als_messages import length_delimited, varint

LENGTHS = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152]


@given(st.integers(0, 2**64 - 1))
def test_varint_has_the_shortest_spelling(value: int) -> None:
    assert encode_varint(value) == varint(value)


@pytest.mark.parametrize("length", LENGTHS)
def test_span_of_a_field_is_its_content(length: int) -> None:
    data = b"before" + encode_field(3, bytes(length)) + b"after"
    assert encode_field(3, bytes(length)) == length_delimited(3, bytes(length))
    assert data[6] == tag_of(3)
    start, end = span_of(data, 6)
    assert (end - start, data[end:]) == (length, b"after")


def test_field_that_is_absent_takes_nothing() -> None:
    assert encode_field(1, None) == b""
    assert encode_field(1, b"") == b"\x0a\x00"


@pytest.mark.parametrize(
    "data",
    [b"\x0a", b"\x0a\x80", b"\x0a\x81\x00x", b"\x0a\x80\x80\x00", b"\x0a\x80\x80\x80\x80\x01"],
)
def test_length_that_is_cut_or_not_the_shortest_has_no_span(data: bytes) -> None:
    with pytest.raises(IndexError):
        span_of(data, 0)


def test_span_may_end_beyond_the_data_which_the_caller_sees() -> None:
    assert span_of(b"\x0a\x05ab", 0) == (2, 7)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=9), st.binary(max_size=3))
def test_walk_ends_behind_the_last_element(lengths: list[int], behind: bytes) -> None:
    elements = b"".join(length_delimited(2, bytes(length)) for length in lengths)
    data = b"x" + elements + b"\x1a" + behind
    wanted = (len(lengths), 1 + len(elements))
    assert walk_elements(data, 1, len(data), tag_of(2)) == wanted
    assert walk_elements(data, 1, wanted[1], tag_of(2)) == wanted


@pytest.mark.parametrize("record", [b"\x12\x81\x00x", b"\x12\x7f"])
def test_walk_over_an_element_with_a_wrong_length_ends_beyond_everything(record: bytes) -> None:
    count, reached = walk_elements(record, 0, len(record), tag_of(2))
    assert count == 1
    assert reached > len(record)


def test_walk_steps_over_a_bounded_number_of_elements() -> None:
    data = b"\x12\x00" * (ELEMENTS_COUNT_MAX + 1)
    assert walk_elements(data, 0, len(data), tag_of(2)) == (
        ELEMENTS_COUNT_MAX,
        2 * ELEMENTS_COUNT_MAX,
    )
    assert walk_elements(data, 0, len(data), tag_of(1)) == (0, 0)
