from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import EntryFormatError
from meshtrail.model.entry import (
    ENTRY_BYTES_MAX,
    HEADER_BYTES,
    EntryFlags,
    EntryType,
    PayloadFormat,
    prefix_payload,
)
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources import derive as derive_module
from meshtrail.sources.derive import (
    CODED_COLUMNS,
    CODED_SCHEMA,
    derive_events,
    derive_payloads,
    read_headers,
)
from meshtrail.sources.streams import StreamFacts, Streams
from meshtrail.units import LeafIndex
from tests.als_records import (
    FRONTEND,
    PAYMENTS,
    STREAM,
    closed,
    derive,
    entry,
    http_bytes,
    inbound,
    no_blob,
    opened,
    tcp,
    tcp_bytes,
)


def test_one_row_comes_out_for_each_entry_in_the_order_of_the_log() -> None:
    kinds = [
        opened(),
        entry(http_bytes(inbound()), seq=1),
        entry(tcp_bytes(tcp()), PayloadFormat.ALS_TCP, seq=2),
        entry(b"\xff", seq=3),
        entry(http_bytes(inbound()), seq=4),
        entry(b"\x0a\xff", PayloadFormat.ALS_FRAME, seq=5),
        closed(seq=6),
    ]
    rows = derive(*kinds, start=1000)
    assert [row["kind"] for row in rows] == [
        "stream_opened",
        "request",
        "connection",
        "undecoded",
        "request",
        "undecoded",
        "stream_closed",
    ]
    assert [row["log_index"] for row in rows] == list(range(1000, 1007))
    assert [row["seq"] for row in rows] == list(range(7))
    assert {row["stream"] for row in rows} == {STREAM}


@given(st.lists(st.sampled_from("hto?"), min_size=1, max_size=12))
def test_rows_joined_by_runs_are_those_that_are_taken_one_by_one(kinds: list[str]) -> None:
    makers = {
        "h": lambda seq: entry(http_bytes(inbound()), seq=seq),
        "t": lambda seq: entry(tcp_bytes(tcp()), PayloadFormat.ALS_TCP, seq=seq),
        "o": lambda seq: opened(stream=seq + 1),
        "?": lambda seq: entry(b"\xff", seq=seq),
    }
    entries = [makers[kind](seq) for seq, kind in enumerate(kinds)]
    found = []
    for run_rows_min in (0, 1_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(derive_module, "_RUN_ROWS_MIN", run_rows_min)
            found.append(derive(*entries))
    assert found[0] == found[1]
    assert [row["log_index"] for row in found[0]] == list(range(len(kinds)))


def test_what_has_few_values_is_written_down_once() -> None:
    entries = pa.array([opened(), *[entry(http_bytes(inbound()))] * 9], pa.binary())
    coded = derive_payloads(
        read_headers(entries),
        pc.binary_slice(entries, HEADER_BYTES, ENTRY_BYTES_MAX),
        log="o",
        start=LeafIndex(0),
        streams=Streams(),
        read_blob=no_blob,
    )
    assert coded.schema.equals(CODED_SCHEMA, check_metadata=True)
    for name in CODED_COLUMNS:
        (chunk,) = coded.column(name).chunks
        assert chunk.dictionary.null_count == 0
        assert len(chunk.dictionary.unique()) == len(chunk.dictionary), name
    assert coded.cast(EVENT_SCHEMA).to_pylist() == coded.to_pylist()


def test_no_entries_give_an_empty_table_of_the_schema() -> None:
    table = derive_events(
        pa.array([], pa.binary()),
        log="o",
        start=LeafIndex(0),
        streams=Streams(),
        read_blob=no_blob,
    )
    assert table.num_rows == 0
    assert table.schema.equals(EVENT_SCHEMA, check_metadata=True)


def test_the_schema_is_the_same_whatever_the_entries_are() -> None:
    for entries in ([opened()], [entry(http_bytes(inbound()))], [opened(), entry(b"\xff")]):
        table = derive_events(
            pa.array(entries, pa.binary()),
            log="o",
            start=LeafIndex(0),
            streams=Streams(),
            read_blob=no_blob,
        )
        assert table.schema.equals(EVENT_SCHEMA, check_metadata=True)
        table.validate(full=True)


def test_a_slice_of_a_column_of_entries_derives_like_its_own_column() -> None:
    entries = [opened(), *(entry(http_bytes(inbound()), seq=seq) for seq in range(1, 6))]
    whole = pa.array([b"junk" * 20, *entries, b"junk" * 20], pa.binary())
    sliced = derive_events(
        whole.slice(1, len(entries)),
        log="mesh/c/12345678",
        start=LeafIndex(0),
        streams=Streams(),
        read_blob=no_blob,
    )
    rows = [{k: v for k, v in row.items() if v is not None} for row in sliced.to_pylist()]
    assert rows == derive(*entries)


def test_a_record_knows_the_sender_of_its_stream_opened_in_the_same_batch_or_before() -> None:
    record = entry(http_bytes(inbound()))
    (_, in_batch) = derive(opened(), record)
    streams = Streams({STREAM: StreamFacts("n", "c", PAYMENTS, "mtls", "in")})
    (before,) = derive(record, streams=streams)
    assert in_batch["reporter_spiffe_id"] == before["reporter_spiffe_id"] == PAYMENTS
    assert before["reporter_id"] == "n"
    (unknown,) = derive(record)
    assert "reporter_auth" not in unknown
    assert unknown["src_spiffe_id_trust"] == "reported"


def test_streams_are_forgotten_when_they_close_and_kept_while_open() -> None:
    streams = Streams()
    derive(opened(stream=1), opened(stream=2), closed(stream=1), streams=streams)
    assert list(streams) == [2]
    assert streams.get(2).spiffe_id == PAYMENTS


def test_an_undecodable_record_says_why_and_nothing_else_of_the_record() -> None:
    good = http_bytes(inbound())
    (_, row, utf8) = derive(
        entry(good), entry(good[:-1]), entry(b"\x1a\x04\x2a\x02\xff\xfe", seq=2)
    )
    assert row["decode_error"] == "not a protobuf message"
    assert utf8["decode_error"] == "invalid UTF-8 in a string"
    assert set(row) == {
        "log",
        "log_index",
        "kind",
        "received_time",
        "source",
        "stream",
        "seq",
        "payload_format",
        "mapper_version",
        "decode_error",
        "is_duplicate",
    }


@pytest.mark.parametrize("count", [1, 31, 33, 200])
def test_bad_records_anywhere_in_a_batch_leave_the_others_as_they_are(count: int) -> None:
    good = http_bytes(inbound())
    bad = {0, count // 2, count - 1}
    rows = derive(*(entry(b"\xff" if at in bad else good, seq=at) for at in range(count)))
    assert [row["seq"] for row in rows if row["kind"] == "undecoded"] == sorted(bad)
    assert all(row["src_spiffe_id"] == FRONTEND for row in rows if row["kind"] == "request")


def test_an_entry_with_the_prefix_flag_is_derived_from_the_whole_record() -> None:
    record = inbound()
    record["request"]["path"] = "/" + "a" * 70_000
    whole = http_bytes(record)
    blobs = {hashlib.sha256(whole).digest(): whole}
    large = entry(prefix_payload(whole), flags=EntryFlags.PREFIX)
    (small, row) = derive(entry(http_bytes(inbound())), large, read_blob=blobs.__getitem__)
    assert row["url_path"] == record["request"]["path"]
    assert small["url_path"] == "/api/pay"


def test_a_salted_record_is_read_behind_its_salt() -> None:
    payload = bytes(range(16)) + http_bytes(inbound())
    (row,) = derive(entry(payload, flags=EntryFlags.SALTED))
    assert row["url_path"] == "/api/pay"


def test_an_opening_that_is_not_json_leaves_the_sender_unknown() -> None:
    broken = entry(b"[1", PayloadFormat.MESHTRAIL_JSON, entry_type=EntryType.STREAM_OPENED, seq=0)
    (row, record) = derive(broken, entry(http_bytes(inbound())))
    assert row["kind"] == "stream_opened"
    assert "reporter_auth" not in record


def test_bytes_shorter_than_a_header_are_refused() -> None:
    with pytest.raises(EntryFormatError, match="shorter"):
        derive(b"\x01" * 31)
