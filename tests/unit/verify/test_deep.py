"""The deep audit compares every column, samples with a second decoder, and follows streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from meshtrail.errors import TamperError
from meshtrail.model.entry import EntryType
from meshtrail.model.event import EVENT_SCHEMA, SEGMENT_SCHEMA
from meshtrail.sources.derive import derive_events
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.streams import Streams
from meshtrail.store.durable import Disk, DurableWriter
from meshtrail.store.segment import read_segment, write_segment
from meshtrail.units import LeafIndex
from meshtrail.verify import KeySource, TrustedKey, audit
from meshtrail.verify import deep as deep_module
from meshtrail.verify import leaves as leaves_module
from meshtrail.verify.deep import DeepTask, Sample, choose_sample, compare_events, derive_piece
from meshtrail.verify.findings import PieceFindings
from meshtrail.verify.leaves import Piece
from tests.als_records import FRONTEND, http_bytes, inbound
from tests.clock_statements import opened_by, stated
from tests.faults.tamper.scene import report_of
from tests.log_builder import (
    ORIGIN,
    EntryWriter,
    LogBuilder,
    build_small_log,
    http_record,
    make_signer,
)

if TYPE_CHECKING:
    from pathlib import Path

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)


def derive(count: int) -> pa.Table:
    writer = EntryWriter()
    entries = [writer.opened(5), *(writer.record(5, http_record(n)) for n in range(count - 1))]
    return derive_events(
        pa.array(entries, pa.binary()),
        log=ORIGIN,
        start=LeafIndex(70),
        streams=Streams(),
        read_blob=lambda _: b"",
    )


def other_value(kind: pa.DataType, value: object) -> object:
    """A value of a type that is not this one."""
    if pa.types.is_string(kind):
        return f"{value}!"
    if pa.types.is_fixed_size_binary(kind):
        return bytes(kind.byte_width) if value != bytes(kind.byte_width) else None
    if pa.types.is_boolean(kind):
        return not value
    return 1 if value != 1 else 2


@pytest.mark.parametrize("name", EVENT_SCHEMA.names)
def test_every_column_of_every_row_is_compared(name: str) -> None:
    derived = derive(6)
    field = EVENT_SCHEMA.field(name)
    for row in (0, 5):
        values = derived.column(name).to_pylist()
        values[row] = other_value(field.type, values[row])
        at = EVENT_SCHEMA.get_field_index(name)
        stored = derived.set_column(at, field, pa.array(values, field.type))
        found = PieceFindings()
        compare_events(stored, derived, 70, found)
        assert [(one.subject, one.facts["column"]) for one in found.kept] == [
            (f"entry {70 + row}", name)
        ]


def test_null_and_value_differ_and_two_nulls_do_not() -> None:
    derived = derive(4)
    at = EVENT_SCHEMA.get_field_index("url_path")
    values = derived.column("url_path").to_pylist()
    for row in (0, 2):
        changed = list(values)
        changed[row] = "/x" if changed[row] is None else None
        stored = derived.set_column(at, EVENT_SCHEMA.field(at), pa.array(changed, pa.string()))
        found = PieceFindings()
        compare_events(stored, derived, 0, found)
        assert [one.subject for one in found.kept] == [f"entry {row}"]
    found = PieceFindings()
    compare_events(derived, derived.slice(0), 0, found)
    assert found.kept == []


@pytest.mark.parametrize(
    ("size", "every"), [(1, 1), (99, 1), (100, 1), (5_000, 50), (100_000, 1000), (10**9, 1000)]
)
def test_sample_is_one_in_a_thousand_and_a_hundred_at_least(size: int, every: int) -> None:
    sample = choose_sample(tree_size=size, root_hash=bytes(range(32)))
    assert sample.every == every
    assert 0 <= sample.first < every


def test_sampled_rows_are_the_same_however_the_log_is_cut() -> None:
    sample = Sample(first=3, every=10)
    whole = list(sample.rows(0, 100))
    assert whole == list(range(3, 100, 10))
    for cut in range(101):
        assert whole == [
            *sample.rows(0, cut),
            *(cut + row for row in sample.rows(cut, 100 - cut)),
        ]


def test_disagreement_of_the_second_decoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_small_log(tmp_path / "log")
    real = derive_reference

    def lying(*arguments: Any, start: LeafIndex, **named: Any) -> pa.Table:
        table = real(*arguments, start=start, **named)
        if start != 8:
            return table
        at = EVENT_SCHEMA.get_field_index("url_path")
        return table.set_column(at, EVENT_SCHEMA.field(at), pa.array(["/other"], pa.string()))

    monkeypatch.setattr(deep_module, "derive_reference", lying)
    with pytest.raises(TamperError) as caught:
        audit(tmp_path / "log", trusted=TRUSTED, is_deep=True, workers=1)
    assert (caught.value.subject, caught.value.column) == ("entry 8", "url_path")


def test_senders_are_known_in_later_pieces_and_forgotten_when_closed(tmp_path: Path) -> None:
    builder = LogBuilder(tmp_path / "log")
    writer = EntryWriter()
    builder.seal([writer.opened(5, node_id="a"), writer.opened(6, node_id="b")])
    builder.seal([writer.record(5, http_record(1)), writer.record(6, http_record(2))])
    builder.seal([writer.closed(5)])
    builder.seal([writer.opened(7, node_id="c"), writer.record(6, http_record(3))])
    report = audit(tmp_path / "log", trusted=TRUSTED, is_deep=True, workers=1)
    assert report.is_clean
    assert report.derived_count == report.sampled_count == 7


def test_clocks_are_known_in_later_pieces_and_samples(tmp_path: Path) -> None:
    builder, writer = LogBuilder(tmp_path / "log"), EntryWriter()
    builder.seal([writer._own(9, EntryType.STREAM_OPENED, opened_by("ledger"))])
    builder.seal([writer.opened(5, node_id="a"), writer.opened(6, node_id="b")])

    def state(name: str, offset_ns: int | None) -> bytes:
        facts = stated(name, offset_ns, until_ns=writer.now_ns)
        return writer._own(9, EntryType.CLOCK, facts)

    builder.seal([state("a", 7), writer.record(5, http_record(1)), state("a", 8)])
    # Nobody but the ledger is believed.
    lie = writer._own(6, EntryType.CLOCK, stated("a", 99, until_ns=writer.now_ns))
    builder.seal([lie, writer.record(5, http_record(2)), writer.record(6, http_record(3))])
    builder.seal([state("b", 3), writer.closed(9), writer.record(6, http_record(4))])
    report = audit(tmp_path / "log", trusted=TRUSTED, is_deep=True, workers=1)
    assert report.is_clean
    assert report.derived_count == report.sampled_count == len(builder.entries) == 12
    paths = [tmp_path / "log" / one.named.path for one in builder.live.folder("segments")]
    rows = [
        row for path in paths for row in read_segment(path, ["kind", "time_offset"]).to_pylist()
    ]
    assert [row["time_offset"] for row in rows if row["kind"] == "request"] == [7, 8, None, 3]


def test_a_sender_is_known_by_its_opening_and_not_by_the_conflict_of_a_record(
    tmp_path: Path,
) -> None:
    builder = LogBuilder(tmp_path / "log")
    writer = EntryWriter()
    lying = {
        "auth": "mtls",
        "authenticated": {"spiffe_id": FRONTEND},
        "claimed": {"metadata": {"NAMESPACE": "bank"}},
    }
    foreign = http_bytes(inbound())
    for stream in (5, 6):
        opened = writer._own(stream, EntryType.STREAM_OPENED, lying)
        builder.seal([opened, writer.record(stream, foreign), writer.record(stream, foreign)])
        builder.seal([writer.record(stream, foreign), writer.closed(stream)])
    report = audit(tmp_path / "log", trusted=TRUSTED, is_deep=True, workers=1)
    assert report.is_clean
    assert report.derived_count == report.sampled_count == 10


def make_task(folder: Path) -> tuple[DeepTask, list[int]]:
    """Twelve entries, five of them of large records, two events changed; and what each needs."""
    writer = EntryWriter()
    paths = ["/" + "x" * (70_000 + 1_000 * n if n % 2 else n) for n in range(10)]
    entries = [
        writer.opened(5),
        *(writer.record(5, http_record(n, path=path)) for n, path in enumerate(paths)),
        writer.closed(5),
    ]
    (folder / "blobs").mkdir()
    for sha256, whole in writer.blobs.items():
        (folder / "blobs" / sha256.hex()).write_bytes(whole)
    column = pa.array(entries, pa.binary())
    table = derive_events(
        column,
        log=ORIGIN,
        start=LeafIndex(70),
        streams=Streams(),
        read_blob=lambda sha256: writer.blobs[sha256],
    ).append_column(SEGMENT_SCHEMA.field("entry"), column)
    values = table.column("url_path").to_pylist()
    values[2], values[9] = "/changed", None
    at = SEGMENT_SCHEMA.get_field_index("url_path")
    table = table.set_column(at, SEGMENT_SCHEMA.field(at), pa.array(values, pa.string()))
    with DurableWriter(Disk(), folder / "segment") as sink:
        write_segment(sink, [table], table.num_rows)
        sink.commit()
    piece = Piece(
        path=str(folder / "segment"),
        name="segments/x",
        start=70,
        end=82,
        row_groups=(0,),
        skip=0,
        origin=ORIGIN,
        is_deep=True,
    )
    needed = [len(entry) for entry in entries]
    for row, whole in zip(range(2, 12, 2), writer.blobs.values(), strict=True):
        needed[row] += len(whole)
    return DeepTask(piece, Streams(), str(folder / "blobs"), Sample(first=0, every=3)), needed


@pytest.mark.parametrize("bytes_max", [1, 1_000, 140_000, 300_000, deep_module.SLICE_BYTES])
@pytest.mark.parametrize("batch_bytes", [1, leaves_module.BATCH_BYTES])
def test_slices_keep_to_their_bytes_and_change_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_max: int, batch_bytes: int
) -> None:
    task, needed = make_task(tmp_path)
    slices: list[range] = []

    def watched(entries: pa.Array, *, start: LeafIndex, **named: Any) -> pa.Table:
        slices.append(range(start - 70, start - 70 + len(entries)))
        return derive_events(entries, start=start, **named)

    monkeypatch.setattr(deep_module, "derive_events", watched)
    monkeypatch.setattr(deep_module, "SLICE_BYTES", bytes_max)
    monkeypatch.setattr(leaves_module, "BATCH_BYTES", batch_bytes)
    done = derive_piece(task)
    assert [(one.check, one.subject) for one in done.found.kept] == [
        ("EventError", "entry 72"),
        ("EventError", "entry 79"),
    ]
    assert (done.rows_count, done.sampled_count) == (12, 4)
    assert [row for rows in slices for row in rows] == list(range(12))
    for rows, following in zip(slices, [*slices[1:], None], strict=True):
        total = sum(needed[row] for row in rows)
        assert total <= bytes_max or len(rows) == 1
        # No smaller than they need to be, where reading sets no bound of its own.
        if following is not None and batch_bytes > 1:
            assert total + needed[following[0]] > bytes_max


def test_length_that_an_entry_says_of_its_blob_does_not_bind_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EntryWriter()
    entry = writer.record(5, http_record(1, path="/" + "x" * 70_000))
    (sha256,) = writer.blobs
    column = pa.array([entry], pa.binary())
    assert deep_module._needed_bytes(column, tmp_path).tolist() == [len(entry)]
    (tmp_path / sha256.hex()).write_bytes(bytes(500_000))
    assert deep_module._needed_bytes(column, tmp_path).tolist() == [len(entry) + 500_000]
    monkeypatch.setattr(deep_module, "BLOB_BYTES_MAX", 100)
    assert deep_module._needed_bytes(column, tmp_path).tolist() == [len(entry) + 100]


def test_deep_audit_stops_behind_entries_that_are_gone(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    segment = builder.live.folder("segments")[1]
    (tmp_path / "log" / segment.named.path).write_bytes(b"")
    with pytest.raises(TamperError) as caught:
        audit(tmp_path / "log", trusted=TRUSTED, is_deep=True, workers=1)
    report = report_of(caught.value)
    assert report.counts == {"DigestError": 1}
    assert report.derived_count == 11
    assert [one.check for one in report.notes] == ["deep-stopped"]


def test_deep_audit_of_a_later_range_says_that_it_did_not_derive(tmp_path: Path) -> None:
    build_small_log(tmp_path / "log")
    report = audit(tmp_path / "log", trusted=TRUSTED, is_deep=True, index_range=(5, 9), workers=1)
    assert report.derived_count == 0
    assert [one.check for one in report.notes] == ["deep-stopped"]
