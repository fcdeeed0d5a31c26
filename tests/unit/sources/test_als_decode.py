from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_decode import http_decoder, tcp_decoder
from tests.als_records import FRONTEND, derive, entry, http_bytes, inbound, tcp, tcp_bytes
from tests.campaigns.wire import encode_varint

START, END = b"\x0b", b"\x0c"
PATH = b"\x1a\x03\x2a\x01/"
"""An HTTP record whose request has the path ``/``."""


def verdict(record: bytes) -> str | None:
    """Why a record among good ones is bad; the good ones must stay good."""
    good = http_bytes(inbound())
    decoded, bad = http_decoder().decode(pa.array([good, record, good], pa.binary()))
    assert decoded.num_rows == 3
    assert set(bad) <= {1}
    return bad.get(1)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(b"\xff", id="a varint that does not end"),
        pytest.param(b"\x0a\x05abc", id="a length beyond the end"),
        pytest.param(
            b"\x0a" + b"\xff" * 9 + b"\x01", id="a length near 2^64, on which ptars panics"
        ),
        pytest.param(b"\x0a" + encode_varint(2**31), id="a length of 2 GiB"),
        pytest.param(b"\x0a" + encode_varint(0, length_min=6), id="a length of 6 bytes"),
        pytest.param(encode_varint(10, length_min=6) + b"\x00", id="a tag of 6 bytes"),
        pytest.param(encode_varint(2**29 << 3) + b"\x00", id="a field number above 2^29-1"),
        pytest.param(
            encode_varint(2**35 + 0x1A) + PATH[1:], id="a field number that wraps to one we read"
        ),
        pytest.param(b"\x00\x00", id="field number 0"),
        pytest.param(b"\x0e\x00", id="wire type 6"),
        pytest.param(END, id="a group that was not begun"),
        pytest.param(START, id="a group that does not end"),
        pytest.param(START + b"\x14", id="a group that ends as another field"),
        pytest.param(START * 101 + END * 101, id="groups nested 101 deep"),
    ],
)
def test_what_protobuf_does_not_take_is_not_a_message(record: bytes) -> None:
    assert verdict(record) == "not a protobuf message"


@pytest.mark.parametrize(
    "text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82"]
)
def test_a_string_that_is_no_utf8_makes_a_record_bad(text: bytes) -> None:
    request = b"\x2a" + encode_varint(len(text)) + text
    assert verdict(b"\x1a" + encode_varint(len(request)) + request) == "invalid UTF-8 in a string"


@pytest.mark.parametrize(
    "strange",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(START * 100 + END * 100, id="groups nested 100 deep"),
        pytest.param(
            START + b"\x00\x00" + END, id="field number 0 in a group, which ptars refuses"
        ),
        pytest.param(
            b"\x98\x06" + b"\xff" * 9 + b"\x7f", id="an unknown varint of more than 64 bits"
        ),
        pytest.param(b"\x10" + encode_varint(2, length_min=10), id="a value in 10 bytes"),
        pytest.param(b"\x10" + encode_varint(2**64 - 1), id="a negative enum"),
        pytest.param(b"\x0d1234", id="a known field of another wire type"),
        pytest.param(b"\x9a\x06\x02\xff\xff", id="an unknown field that is no text"),
    ],
)
def test_what_protobuf_takes_is_read(strange: bytes) -> None:
    assert verdict(PATH + strange) is None
    assert verdict(strange + PATH) is None
    (row,) = derive(entry(strange + PATH))
    assert row["url_path"] == "/"


@pytest.mark.parametrize("count", [1, 31, 33, 200])
def test_bad_records_anywhere_leave_the_others_as_they_are(count: int) -> None:
    good = http_bytes(inbound())
    wanted = {0, count // 2, count - 1}
    records = pa.array([b"\xff" if at in wanted else good for at in range(count)], pa.binary())
    decoded, bad = http_decoder().decode(records)
    assert set(bad) == wanted
    paths = [row and row["path"] for row in decoded.column("request").to_pylist()]
    assert paths == [None if at in wanted else "/api/pay?x=1&y=?" for at in range(count)]


def test_a_record_that_ptars_refuses_and_upb_takes_keeps_its_values_and_its_neighbours() -> None:
    strange = START + b"\x00\x00" + END
    rows = derive(
        entry(http_bytes(inbound()) + strange),
        entry(http_bytes(inbound()), seq=2),
        entry(b"\xff", seq=3),
        entry(tcp_bytes(tcp()) + strange, PayloadFormat.ALS_TCP, seq=4),
    )
    assert [row["kind"] for row in rows] == ["request", "request", "undecoded", "connection"]
    assert rows[0]["src_spiffe_id"] == rows[1]["src_spiffe_id"] == FRONTEND
    assert rows[3]["bytes_received"] == 900


def test_groups_as_deep_as_a_message_can_be_long_end_no_process() -> None:
    deep = pa.array([START * 2_000_000, START * 1_000_000 + END * 1_000_000], pa.binary())
    found = []
    # A thread: its stack is at most as large as the main thread's.
    thread = threading.Thread(target=lambda: found.append(tcp_decoder().decode(deep)[1]))
    thread.start()
    thread.join()
    assert found == [dict.fromkeys((0, 1), "not a protobuf message")]


@pytest.mark.parametrize("count", [511, 512, 513, 1025])
def test_bad_records_are_found_among_any_number_that_upb_is_asked_about_at_once(count: int) -> None:
    good = http_bytes(inbound())
    bad = {0, count // 2, count - 1}
    records = pa.array([b"\xff" if row in bad else good for row in range(count)], pa.binary())
    batch, found = http_decoder().decode(records)
    assert set(found) == bad
    assert batch.num_rows == count


def test_a_record_that_ends_in_the_next_one_is_bad_by_itself() -> None:
    """Put behind one another, a length that reaches into the next record must not become good."""
    cut = http_bytes(inbound())[:-10]
    _, found = http_decoder().decode(pa.array([cut, http_bytes(inbound())], pa.binary()))
    assert set(found) == {0}
