from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect.als import AlsFramer
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.journal import Framing
from meshtrail.model.entry import PAYLOAD_BYTES_MAX, EntryType, PayloadFormat
from meshtrail.sources.als_frame import slice_frame
from meshtrail.units import UnixNanos
from tests.als_messages import (
    INVALID_UTF8,
    als_message,
    http_record,
    identifier,
    length_delimited,
    tcp_record,
)
from tests.collect_rig import decode_json

if TYPE_CHECKING:
    from meshtrail.journal import Frame

NOW = UnixNanos(1_700_000_000_000_000_000)
FACTS = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))
HTTP = [http_record("/a"), http_record("/b")]
TCP = [tcp_record()]


def new_framer(blobs: KnownBlobs | None = None, peer: Peer | None = None) -> AlsFramer:
    door = StreamDoor(listener="127.0.0.1:1", collector=FACTS, blobs=blobs or KnownBlobs())
    return AlsFramer(door, Stream(), peer or Peer(address="10.0.0.7:1"))


def kinds(frames: list[Frame]) -> list[tuple[object, ...]]:
    """What each frame is, in short."""
    return [
        (frame.framing.name, frame.payload_format.name, frame.first_seq, frame.records_count)
        for frame in frames
    ]


BLOB = ("BLOB", "ALS_FRAME", 0, 0)
OPENED = ("WHOLE", "MESHTRAIL_JSON", 0, 1)


def test_first_message_becomes_a_blob_the_opening_and_its_records() -> None:
    claims = identifier("node-1")
    message = als_message(claims=claims, http=HTTP)
    frames = new_framer().frame_message(message, received_ns=NOW)
    assert kinds(frames) == [BLOB, OPENED, ("ALS", "ALS_HTTP", 1, 2)]
    blob, opened, als = frames
    assert blob.data == claims
    assert als.data is message
    assert opened.entry_type is EntryType.STREAM_OPENED
    assert {frame.received_ns for frame in frames} == {NOW}
    said = decode_json(opened.data)
    assert said["transport"] == "grpc"
    assert said["service"] == "envoy.service.accesslog.v3.AccessLogService"
    assert said["listener"] == "127.0.0.1:1"
    assert said["peer"] == "10.0.0.7:1"
    assert said["claimed"]["node_id"] == "node-1"
    assert said["identifier_sha256"] == hashlib.sha256(claims).hexdigest()
    assert said["identifier_bytes"] == len(claims)
    assert said["detail"] is None


def test_later_messages_go_on_with_the_numbers() -> None:
    framer = new_framer()
    framer.frame_message(als_message(claims=identifier(), http=HTTP), received_ns=NOW)
    assert kinds(framer.frame_message(als_message(http=HTTP), received_ns=NOW)) == [
        ("ALS", "ALS_HTTP", 3, 2)
    ]
    assert kinds(framer.frame_message(als_message(tcp=TCP), received_ns=NOW)) == [
        ("ALS", "ALS_TCP", 5, 1)
    ]


def test_identifier_is_journaled_once_for_all_streams_that_begin_with_it() -> None:
    blobs = KnownBlobs()
    message = als_message(claims=identifier(), http=HTTP)
    first = new_framer(blobs).frame_message(message, received_ns=NOW)
    second = new_framer(blobs).frame_message(message, received_ns=NOW)
    other = als_message(claims=identifier("other"), http=HTTP)
    third = new_framer(blobs).frame_message(other, received_ns=NOW)
    assert [kinds(frames)[0] for frames in (first, second, third)] == [BLOB, OPENED, BLOB]
    assert decode_json(second[0].data)["claimed"] == decode_json(first[1].data)["claimed"]


def test_known_blobs_forget_the_oldest() -> None:
    blobs = KnownBlobs()
    assert blobs.add(b"kept")
    for number in range(4_096):
        assert blobs.add(b"%d" % number)
        assert not blobs.add(b"kept")
    assert blobs.add(b"0")


def test_stream_without_an_identifier_is_opened_with_nothing_claimed() -> None:
    frames = new_framer().frame_message(als_message(http=HTTP), received_ns=NOW)
    assert kinds(frames) == [OPENED, ("ALS", "ALS_HTTP", 1, 2)]
    said = decode_json(frames[0].data)
    assert said["claimed"] is None
    assert said["identifier_sha256"] is None
    assert said["identifier_bytes"] is None
    assert said["detail"] == "the first message carries no identifier"


def test_identifier_that_cannot_be_decoded_is_kept_and_claims_nothing() -> None:
    claims = length_delimited(2, INVALID_UTF8)
    frames = new_framer().frame_message(als_message(claims=claims, http=HTTP), received_ns=NOW)
    assert kinds(frames) == [BLOB, OPENED, ("ALS", "ALS_HTTP", 1, 2)]
    assert frames[0].data == claims
    said = decode_json(frames[1].data)
    assert said["claimed"] is None
    assert said["identifier_sha256"] == hashlib.sha256(claims).hexdigest()
    assert "identifier of 4 bytes" in said["detail"]


def test_message_that_cannot_be_sliced_is_kept_whole() -> None:
    torn = als_message(claims=identifier(), http=HTTP)[:-1]
    framer = new_framer()
    frames = framer.frame_message(torn, received_ns=NOW)
    assert kinds(frames) == [OPENED, ("WHOLE", "ALS_FRAME", 1, 1)]
    assert frames[1].data == torn
    assert "not an access log message" in decode_json(frames[0].data)["detail"]
    later = framer.frame_message(b"\xff", received_ns=NOW)
    assert kinds(later) == [("WHOLE", "ALS_FRAME", 2, 1)]


def test_message_that_holds_more_than_its_records_is_kept_whole_besides() -> None:
    framer = new_framer()
    framer.frame_message(als_message(claims=identifier()), received_ns=NOW)
    unknown = als_message(http=HTTP) + length_delimited(9, b"unknown")
    assert kinds(framer.frame_message(unknown, received_ns=NOW)) == [
        ("WHOLE", "ALS_FRAME", 1, 1),
        ("ALS", "ALS_HTTP", 2, 2),
    ]
    again = als_message(claims=identifier("someone else"), http=HTTP)
    assert kinds(framer.frame_message(again, received_ns=NOW)) == [
        ("WHOLE", "ALS_FRAME", 4, 1),
        ("ALS", "ALS_HTTP", 5, 2),
    ]


def test_message_of_both_kinds_is_kept_whole_and_as_records_of_each_kind() -> None:
    both = als_message(claims=identifier(), http=HTTP, tcp=TCP)
    frames = new_framer().frame_message(both, received_ns=NOW)
    assert kinds(frames) == [
        BLOB,
        OPENED,
        ("WHOLE", "ALS_FRAME", 1, 1),
        ("ALS", "ALS_HTTP", 2, 2),
        ("ALS", "ALS_TCP", 4, 1),
    ]


def test_message_without_records_opens_a_stream_and_then_leaves_nothing() -> None:
    framer = new_framer()
    assert kinds(framer.frame_message(b"", received_ns=NOW)) == [OPENED]
    assert framer.frame_message(b"", received_ns=NOW) == []


def test_refusal_of_a_first_message_opens_the_stream_and_says_why() -> None:
    framer = new_framer(peer=Peer(address="p", auth="mtls", detail="no URI SAN"))
    assert framer.is_open is False
    (opened,) = framer.frame_refusal("too large", received_ns=NOW)
    assert decode_json(opened.data)["detail"] == "no URI SAN; too large"
    assert framer.frame_refusal("too large", received_ns=NOW) == []


def test_opening_fits_an_entry_whatever_a_sender_claims() -> None:
    claims = identifier("\x01" * 10**6, log_name="\U0001f600" * 10**6)
    frames = new_framer().frame_message(als_message(claims=claims), received_ns=NOW)
    assert len(frames[1].data) < PAYLOAD_BYTES_MAX


MESSAGES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        als_message,
        http=st.lists(st.binary(max_size=20), max_size=3),
        tcp=st.lists(st.binary(max_size=20), max_size=2),
        claims=st.none() | st.binary(max_size=20) | st.just(identifier()),
    ),
)


@given(st.lists(MESSAGES, max_size=6))
def test_seq_has_no_holes_and_every_record_is_accounted_for_whatever_is_sent(
    messages: list[bytes],
) -> None:
    framer = new_framer()
    next_seq = 0
    for message in messages:
        for frame in framer.frame_message(message, received_ns=NOW):
            if frame.framing is Framing.BLOB:
                continue
            assert frame.first_seq == next_seq
            assert frame.records_count > 0
            next_seq += frame.records_count
            if frame.framing is Framing.ALS:
                found = slice_frame(frame.data, PayloadFormat(frame.payload_format))
                assert len(found) == frame.records_count
