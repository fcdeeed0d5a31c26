from __future__ import annotations

import pytest
from envoy.service.accesslog.v3 import als_pb2
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_frame import (
    RECORD_BYTES_MIN,
    RECORDS_COUNT_MAX,
    SMALL_RECORDS_MAX,
    FrameShape,
    frame_descriptor,
    inspect_frame,
    slice_frame,
)
from tests.als_messages import (
    INVALID_UTF8,
    als_message,
    http_record,
    identifier,
    length_delimited,
    tcp_record,
    varint,
)

HTTP = [http_record("/a"), b"", http_record("/b"), INVALID_UTF8]
TCP = [tcp_record(1), tcp_record(2)]


def test_message_as_envoy_sends_it_is_plain_and_sliced_into_its_own_bytes() -> None:
    message = als_pb2.StreamAccessLogsMessage()
    message.identifier.node.id = "n"
    for path in ("/a", "/b"):
        message.http_logs.log_entry.add().request.path = path
    frame = message.SerializeToString()
    claims = message.identifier.SerializeToString()
    assert inspect_frame(frame) == FrameShape(2, 0, claims, is_plain=True)
    want = [entry.SerializeToString() for entry in message.http_logs.log_entry]
    assert slice_frame(frame, PayloadFormat.ALS_HTTP) == want
    assert slice_frame(frame, PayloadFormat.ALS_TCP) == []


def test_records_are_sliced_as_they_are_whatever_is_in_them() -> None:
    assert inspect_frame(als_message(http=HTTP)) == FrameShape(4, 0, None, is_plain=True)
    assert slice_frame(als_message(http=HTTP), PayloadFormat.ALS_HTTP) == HTTP
    assert inspect_frame(als_message(tcp=TCP)) == FrameShape(0, 2, None, is_plain=True)
    assert slice_frame(als_message(tcp=TCP), PayloadFormat.ALS_TCP) == TCP


def test_both_kinds_in_one_message_are_kept_although_the_schema_allows_one() -> None:
    both = als_message(http=HTTP, tcp=TCP)
    assert inspect_frame(both) == FrameShape(4, 2, None, is_plain=False)
    assert slice_frame(both, PayloadFormat.ALS_HTTP) == HTTP
    assert slice_frame(both, PayloadFormat.ALS_TCP) == TCP


@pytest.mark.parametrize("frame", [b"", b"\x12\x00", b"\x1a\x00"])
def test_message_without_records_is_plain(frame: bytes) -> None:
    assert inspect_frame(frame) == FrameShape(0, 0, None, is_plain=True)


@pytest.mark.parametrize(
    "frame",
    [
        als_message(http=HTTP) + length_delimited(9, b"unknown"),
        length_delimited(2, length_delimited(1, HTTP[0]) + length_delimited(7, b"unknown inside")),
        als_message(http=HTTP) + varint(5 << 3) + varint(1),
        als_message(http=HTTP[:2]) + als_message(http=HTTP[2:]),
        als_message(claims=identifier("a")) + als_message(http=HTTP, claims=identifier("b")),
        als_message(claims=b"", http=HTTP),
        # The length of a record in two bytes where one is enough.
        length_delimited(2, b"\x0a\x81\x00x"),
        # A field number of the schema with another wire type.
        als_message(http=HTTP) + varint(2 << 3) + varint(1),
    ],
)
def test_message_with_bytes_that_its_records_do_not_account_for_is_not_plain(frame: bytes) -> None:
    shape = inspect_frame(frame)
    assert not shape.is_plain
    assert shape.http_count == len(slice_frame(frame, PayloadFormat.ALS_HTTP)) >= 1


@pytest.mark.parametrize(
    "frame",
    [
        b"\x12",
        b"\x12\x05abc",
        b"\x00",
        b"\x0f",
        INVALID_UTF8,
        varint(2 << 3 | 2) + b"\xff" * 11,
        # A group that is never closed.
        b"\x7b",
        als_message(http=HTTP)[:-1],
        # Deeper groups than any parser follows.
        b"\x7b" * 200 + b"\x7c" * 200,
    ],
)
def test_what_protobuf_cannot_parse_is_an_input_error(frame: bytes) -> None:
    with pytest.raises(InputError, match="not an access log message"):
        inspect_frame(frame)


def test_message_of_more_records_than_are_sent_in_earnest_is_not_sliced() -> None:
    record = bytes(RECORD_BYTES_MIN)
    most = als_message(http=[record] * RECORDS_COUNT_MAX)
    assert inspect_frame(most).http_count == RECORDS_COUNT_MAX
    with pytest.raises(InputError, match="65537 records: at most 65536 are sliced"):
        inspect_frame(als_message(http=[record] * (RECORDS_COUNT_MAX - 1), tcp=[record, record]))


def test_message_of_many_records_too_small_to_say_anything_is_not_sliced() -> None:
    few = als_message(http=[b""] * SMALL_RECORDS_MAX)
    assert inspect_frame(few).http_count == SMALL_RECORDS_MAX
    with pytest.raises(InputError, match="at most 1024 of less than 32 bytes"):
        inspect_frame(als_message(http=[b""] * (SMALL_RECORDS_MAX + 1)))


def test_frame_descriptor_is_one_and_the_same_each_time() -> None:
    assert frame_descriptor() is frame_descriptor()


@given(
    http=st.lists(st.binary(max_size=200), max_size=8),
    tcp=st.lists(st.binary(max_size=200), max_size=3),
    claims=st.none() | st.binary(min_size=1, max_size=30),
)
def test_every_message_of_records_gives_back_exactly_its_records(
    http: list[bytes], tcp: list[bytes], claims: bytes | None
) -> None:
    frame = als_message(http=http, tcp=tcp, claims=claims)
    shape = inspect_frame(frame)
    assert shape == FrameShape(len(http), len(tcp), claims, is_plain=not (http and tcp))
    assert slice_frame(frame, PayloadFormat.ALS_HTTP) == http
    assert slice_frame(frame, PayloadFormat.ALS_TCP) == tcp
