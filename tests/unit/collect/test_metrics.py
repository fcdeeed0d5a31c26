from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from meshtrail.collect.metrics import METRICS_SERVICE, MetricsFramer
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.model.entry import EntryFlags, EntryType
from meshtrail.sources.counters import cut_envoy_metrics
from meshtrail.units import UnixNanos
from tests.als_messages import identifier
from tests.collect_rig import decode_json
from tests.counter_pushes import envoy_message, family

if TYPE_CHECKING:
    from meshtrail.journal import Frame

NOW = UnixNanos(1_700_000_000_000_000_000)
FACTS = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))
CLAIMS = identifier("node-1", log_name="")
FAMILIES = (family("http.inbound.downstream_rq_total", 3.0), family("runtime.num_keys"))
FIRST = envoy_message(*FAMILIES, claims=CLAIMS)
LATER = envoy_message(*FAMILIES)

BLOB = ("RECORD", "ALS_FRAME", 0)
OPENED = ("STREAM_OPENED", "MESHTRAIL_JSON", 0)


def new_framer(stream: Stream | None = None, blobs: KnownBlobs | None = None) -> MetricsFramer:
    door = StreamDoor(listener="127.0.0.1:1", collector=FACTS, blobs=blobs or KnownBlobs())
    return MetricsFramer(door, stream or Stream(), Peer(address="10.0.0.7:1", detail="odd"))


def kinds(frames: list[Frame]) -> list[tuple[object, ...]]:
    return [(frame.entry_type.name, frame.payload_format.name, frame.first_seq) for frame in frames]


def counters(seq: int) -> tuple[object, ...]:
    return ("COUNTER", "ENVOY_METRICS", seq)


def whole(seq: int) -> tuple[object, ...]:
    return ("RECORD", "ENVOY_METRICS_FRAME", seq)


def test_first_push_becomes_a_blob_the_opening_and_the_counters_that_are_kept() -> None:
    framer = new_framer()
    was_open = framer.is_open
    frames = framer.frame_message(FIRST, received_ns=NOW)
    assert (was_open, framer.is_open) == (False, True)
    assert kinds(frames) == [BLOB, OPENED, counters(1)]
    blob, opened, pushed = frames
    assert blob.data == CLAIMS
    assert pushed.data == cut_envoy_metrics(LATER).payload
    assert pushed.flags == EntryFlags.FILTERED
    assert {frame.received_ns for frame in frames} == {NOW}
    said = decode_json(opened.data)
    assert (said["service"], said["transport"]) == (METRICS_SERVICE, "grpc")
    assert said["claimed"]["node_id"] == "node-1"
    assert said["claimed"]["log_name"] is None
    assert said["identifier_sha256"] == hashlib.sha256(CLAIMS).hexdigest()
    assert said["detail"] == "odd"


def test_later_pushes_go_on_with_the_numbers() -> None:
    framer = new_framer()
    framer.frame_message(FIRST, received_ns=NOW)
    assert kinds(framer.frame_message(LATER, received_ns=NOW)) == [counters(2)]
    assert kinds(framer.frame_message(LATER, received_ns=NOW)) == [counters(3)]


def test_push_that_says_again_who_sent_it_is_kept_whole_besides() -> None:
    framer = new_framer()
    framer.frame_message(FIRST, received_ns=NOW)
    frames = framer.frame_message(FIRST, received_ns=NOW)
    assert kinds(frames) == [whole(2), counters(3)]
    assert frames[0].data == FIRST


def test_message_that_cannot_be_cut_is_kept_whole_and_the_opening_says_why() -> None:
    framer = new_framer()
    frames = framer.frame_message(b"\x1a\x00", received_ns=NOW)
    assert kinds(frames) == [OPENED, whole(1)]
    assert "field 3" in decode_json(frames[0].data)["detail"]
    assert frames[1].data == b"\x1a\x00"
    assert frames[1].flags == EntryFlags(0)
    assert kinds(framer.frame_message(b"\xff", received_ns=NOW)) == [whole(2)]


def test_message_without_families_opens_the_stream_and_becomes_no_entry() -> None:
    framer = new_framer()
    assert kinds(framer.frame_message(b"", received_ns=NOW)) == [OPENED]
    assert framer.frame_message(b"", received_ns=NOW) == []


def test_push_of_which_nothing_is_kept_is_an_entry_all_the_same() -> None:
    framer = new_framer()
    frames = framer.frame_message(envoy_message(FAMILIES[1]), received_ns=NOW)
    assert kinds(frames) == [OPENED, counters(1)]
    assert len(frames[1].data) == 40


def test_refused_first_message_opens_the_stream_and_a_later_one_nothing() -> None:
    framer = new_framer()
    assert kinds(framer.frame_refusal("too large", received_ns=NOW)) == [OPENED]
    assert framer.frame_refusal("too large", received_ns=NOW) == []


def test_identifier_is_journaled_once_for_logs_and_counters_alike() -> None:
    blobs = KnownBlobs()
    assert kinds(new_framer(blobs=blobs).frame_message(FIRST, received_ns=NOW))[0] == BLOB
    assert kinds(new_framer(blobs=blobs).frame_message(FIRST, received_ns=NOW))[0] == OPENED


def test_counters_are_numbered_and_are_not_among_the_records_of_the_stream() -> None:
    stream = Stream()
    framer = new_framer(stream)
    frames = framer.frame_message(FIRST, received_ns=NOW)
    assert frames[-1].entry_type is EntryType.COUNTER
    assert (stream.last_seq, stream.records_count, stream.frames_count) == (1, 0, 0)
