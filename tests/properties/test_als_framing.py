"""The shape of a message is what protobuf makes of it that parses it and writes it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import message_factory
from google.protobuf.message import DecodeError
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources import als_frame
from meshtrail.sources.als_frame import (
    RECORD_BYTES_MIN,
    RECORDS_COUNT_MAX,
    SMALL_RECORDS_MAX,
    FrameShape,
    frame_descriptor,
    inspect_frame,
)
from tests.als_messages import als_message, length_delimited, varint

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_CLASS: Any = message_factory.GetMessageClass(frame_descriptor())

Fields = st.SearchStrategy[bytes]

USUAL = [
    als_message(http=[b"ab", b"", b"x" * 130, b"\x0a\x00"]),
    als_message(tcp=[b"\x0a" * 12]),
]
BYTE_LENGTHS = [0, 1, 2, 126, 127, 128, 129, 130, 16_382, 16_383, 16_384, 16_385, 2_097_151]


def shape_by_protobuf(frame: bytes) -> FrameShape | None:
    """The shape of a message whose every byte protobuf writes again; None where it is refused."""
    try:
        message = FRAME_CLASS.FromString(frame)
    except DecodeError:
        return None
    counts = (len(message.http_logs.log_entry), len(message.tcp_logs.log_entry))
    is_padding = sum(counts) > SMALL_RECORDS_MAX and len(frame) < RECORD_BYTES_MIN * sum(counts)
    if is_padding or sum(counts) > RECORDS_COUNT_MAX:
        return None
    message.DiscardUnknownFields()
    is_plain = len(message.SerializeToString()) == len(frame) and not all(counts)
    return FrameShape(*counts, message.identifier or None, is_plain)


def shape(frame: bytes) -> FrameShape | None:
    try:
        return inspect_frame(frame)
    except InputError:
        return None


def spelled(value: int, more_bytes: int) -> bytes:
    """A varint with so many bytes more than it needs."""
    shortest = varint(value)
    if not more_bytes:
        return shortest
    return shortest[:-1] + bytes([shortest[-1] | 0x80]) + b"\x80" * (more_bytes - 1) + b"\x00"


def fields(numbers: st.SearchStrategy[int], data: st.SearchStrategy[bytes]) -> Fields:
    """Fields of any wire type, and of any spelling; mostly as an Envoy would write them."""
    more_bytes = st.sampled_from([0] * 12 + [1, 2, 5])
    heads = {
        wire_type: st.builds(
            lambda number, more, wire_type=wire_type: spelled(number << 3 | wire_type, more),
            numbers,
            more_bytes,
        )
        for wire_type in range(6)
    }
    lengths = st.builds(lambda item, more: spelled(len(item), more) + item, data, more_bytes)
    delimited = st.builds(bytes.__add__, heads[2], lengths)
    others = st.one_of(
        st.builds(
            bytes.__add__, heads[0], st.builds(spelled, st.integers(0, 2**64 - 1), more_bytes)
        ),
        st.builds(bytes.__add__, heads[1], st.binary(min_size=8, max_size=8)),
        st.builds(bytes.__add__, heads[5], st.binary(min_size=4, max_size=4)),
        # Groups: closed by their own number or by another, empty, and not closed.
        st.builds(lambda *parts: b"".join(parts), heads[3], delimited, heads[4]),
        numbers.map(lambda number: varint(number << 3 | 3) + varint(number << 3 | 4)),
        heads[3],
    )
    return st.integers(0, 19).flatmap(lambda chance: delimited if chance else others)


records = st.one_of(st.binary(max_size=4), st.sampled_from([bytes(n) for n in (127, 128, 300)]))
logs = st.lists(fields(st.sampled_from([1] * 20 + [2, 3, 17]), records), max_size=5).map(b"".join)
frames = st.lists(
    fields(st.sampled_from([2, 2, 2, 2, 2, 3, 3, 1, 4, 100]), logs), min_size=1, max_size=2
).map(b"".join)


@settings(max_examples=1_000)
@given(frame=frames)
@example(frame=b"")
@example(frame=als_message(http=[b""], tcp=[b""], claims=b"id"))
# A byte more than it takes: in the length of a record and of all of them, and in their tags.
@example(frame=length_delimited(2, b"\x0a\x81\x00x"))
@example(frame=b"\x12\x83\x00\x0a\x01x")
@example(frame=length_delimited(2, b"\x8a\x00\x01x"))
@example(frame=b"\x92\x00\x03\x0a\x01x")
def test_shape_of_any_fields_is_that_of_protobuf(frame: bytes) -> None:
    assert shape(frame) == shape_by_protobuf(frame)


@pytest.mark.parametrize("usual", USUAL)
def test_shape_of_a_usual_message_with_any_byte_changed_is_that_of_protobuf(usual: bytes) -> None:
    plain_count = 0
    for at in range(len(usual)):
        for byte in range(256):
            frame = usual[:at] + bytes([byte]) + usual[at + 1 :]
            found = shape(frame)
            assert found == shape_by_protobuf(frame), (at, byte)
            plain_count += found is not None and found.is_plain
    assert 0 < plain_count < 256 * len(usual)


@pytest.mark.parametrize("usual", USUAL)
def test_shape_of_a_usual_message_cut_or_grown_anywhere_is_that_of_protobuf(usual: bytes) -> None:
    for at in range(len(usual) + 1):
        for frame in (usual[:at], usual[at:], *(insert(usual, at, byte) for byte in range(256))):
            assert shape(frame) == shape_by_protobuf(frame), (at, frame)


def insert(frame: bytes, at: int, byte: int) -> bytes:
    return frame[:at] + bytes([byte]) + frame[at:]


@pytest.mark.parametrize("data_bytes", BYTE_LENGTHS)
@pytest.mark.parametrize(
    "change", [lambda frame: frame, lambda frame: frame[:-1], lambda f: f + b"\x00"]
)
def test_shape_at_lengths_where_a_varint_grows_is_that_of_protobuf(
    data_bytes: int, change: Callable[[bytes], bytes]
) -> None:
    of_one_record = als_message(http=[bytes(data_bytes)])
    filled = als_message(tcp=[bytes(200)] * (data_bytes // 203) + [bytes(data_bytes % 203)])
    for frame in map(change, (of_one_record, filled)):
        assert shape(frame) == shape_by_protobuf(frame)


def test_usual_message_is_not_parsed_by_protobuf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(als_frame, "_parse", None)
    for record_bytes in (0, 1, 127, 128, 650, 16_383):
        for count in (1, 2, 26, SMALL_RECORDS_MAX):
            found = [bytes(record_bytes)] * count
            assert inspect_frame(als_message(http=found)) == (count, 0, None, True)
            assert inspect_frame(als_message(tcp=found)) == (0, count, None, True)
