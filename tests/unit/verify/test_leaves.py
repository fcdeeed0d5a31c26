"""Pieces of a segment: hashes as the tree has them, and every header column held to its entry."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meshtrail.merkle import hash_leaves
from meshtrail.model.entry import PAYLOAD_BYTES_MAX, EntryFlags, PayloadFormat, prefix_payload
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.sources.derive import derive_events
from meshtrail.sources.streams import Streams
from meshtrail.store.durable import Disk, DurableWriter
from meshtrail.store.segment import ROW_GROUP_ROWS, write_segment
from meshtrail.units import LeafIndex
from meshtrail.verify import leaves as leaves_module
from meshtrail.verify.blob_references import BlobReference
from meshtrail.verify.leaves import (
    BATCH_ROWS,
    FORMAT_NAMES,
    Examined,
    Piece,
    entry_slices,
    examine,
    read_rows,
)
from tests.log_builder import ORIGIN, EntryWriter, http_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = 1000


def make_entries(count: int) -> list[bytes]:
    writer = EntryWriter()
    return [writer.opened(5), *(writer.record(5, http_record(n)) for n in range(count - 1))]


def make_table(entries: list[bytes]) -> pa.Table:
    column = pa.array(entries, pa.binary())
    events = derive_events(
        column, log=ORIGIN, start=LeafIndex(START), streams=Streams(), read_blob=lambda _: b""
    )
    return events.append_column(SEGMENT_SCHEMA.field("entry"), column)


def write(path: Path, table: pa.Table) -> None:
    with DurableWriter(Disk(), path) as writer:
        write_segment(writer, [table], table.num_rows)
        writer.commit()


def piece(
    path: Path, start: int, end: int, *, groups: tuple[int, ...] = (0,), skip: int = 0
) -> Piece:
    return Piece(
        path=str(path),
        name="segments/x",
        start=start,
        end=end,
        row_groups=groups,
        skip=skip,
        origin=ORIGIN,
        is_deep=True,
    )


def found(done: Examined) -> list[tuple[str, str]]:
    return [(one.check, one.subject) for one in done.found.kept]


def examine_changed(
    path: Path, entries: list[bytes], change: Callable[[pa.Table], pa.Table]
) -> Examined:
    write(path, change(make_table(entries)))
    return examine(piece(path, START, START + len(entries)))


def replace(column: str, row: int, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row] = value
        at = table.schema.get_field_index(column)
        field = table.schema.field(column)
        if value is None:
            field = field.with_nullable(nullable=True)
        return table.set_column(at, field, pa.array(values, field.type))

    return change


def test_rows_are_decoded_a_row_group_at_a_time() -> None:
    assert BATCH_ROWS == ROW_GROUP_ROWS


@pytest.mark.parametrize(("bytes_max", "rows"), [(1, 1), (100_000, 3), (1 << 30, 20)])
def test_fewer_rows_are_decoded_at_a_time_where_they_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_max: int, rows: int
) -> None:
    monkeypatch.setattr(leaves_module, "BATCH_BYTES", bytes_max)
    writer = EntryWriter()
    entries = [writer.record(5, http_record(n, path="/" + "x" * 30_000)) for n in range(20)]
    write(tmp_path / "s", make_table(entries))
    whole = piece(tmp_path / "s", START, START + 20)
    tables = list(read_rows(whole, ["entry"], []))
    assert [entry for table in tables for entry in table.column("entry").to_pylist()] == entries
    assert {table.num_rows for table in tables[:-1]} <= {rows}
    assert tables[0].num_rows == rows
    assert examine(whole).leaf_hashes == hash_leaves(entries)


def test_row_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s", make_table(make_entries(9)))
    done = examine(piece(tmp_path / "s", START, START + 9, groups=(0, 1)))
    assert found(done) == [("EventError", "segments/x")]


def test_honest_piece_gives_its_leaf_hashes(tmp_path: Path) -> None:
    entries = make_entries(40)
    write(tmp_path / "s", make_table(entries))
    done = examine(piece(tmp_path / "s", START, START + 40))
    assert found(done) == []
    assert done.leaf_hashes == hash_leaves(entries)
    assert done.openings == entries[:1]
    assert done.received_first == int.from_bytes(entries[0][8:16], "big")
    assert done.received_last == int.from_bytes(entries[-1][8:16], "big")


@pytest.mark.parametrize(
    ("start", "end", "groups", "skip"),
    [
        (0, 10, (0,), 0),
        (7, 20, (0,), 7),
        (16_380, 16_390, (0, 1), 16_380),
        (16_384, 20_000, (1,), 0),
        (16_390, 16_391, (1,), 6),
    ],
)
def test_part_of_a_segment_is_read_from_its_row_groups(
    tmp_path: Path, start: int, end: int, groups: tuple[int, ...], skip: int
) -> None:
    entries = make_entries(20_000)
    write(tmp_path / "s", make_table(entries))
    done = examine(piece(tmp_path / "s", START + start, START + end, groups=groups, skip=skip))
    assert found(done) == []
    assert done.leaf_hashes == hash_leaves(entries[start:end])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("log_index", START),
        ("received_time", 5),
        ("stream", 6),
        ("seq", 4),
        ("payload_format", "als-tcp"),
        ("payload_format", "nonsense"),
        ("log", "test/two/00000000"),
    ],
)
def test_header_column_that_says_otherwise_is_named_with_its_row(
    tmp_path: Path, column: str, value: object
) -> None:
    done = examine_changed(tmp_path / "s", make_entries(9), replace(column, 3, value))
    assert found(done) == [("EventError", f"entry {START + 3}")]
    assert done.found.kept[0].facts["column"] == column


@pytest.mark.parametrize("column", ["log_index", "stream", "payload_format", "log"])
def test_null_in_a_header_column_is_named(tmp_path: Path, column: str) -> None:
    table = replace(column, 3, None)(make_table(make_entries(9)))
    with DurableWriter(Disk(), tmp_path / "s") as writer:
        pq.write_table(table, writer)
        writer.commit()
    done = examine(piece(tmp_path / "s", START, START + 9))
    assert found(done) == [("EventError", f"entry {START + 3}")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: entry[:31],
        lambda _: b"",
        lambda entry: b"\x02" + entry[1:],
        lambda entry: entry[:1] + b"\x09" + entry[2:],
        lambda entry: entry[:2] + b"\x00\x02" + entry[4:],
        lambda entry: entry[:5] + b"\x10" + entry[6:],
        lambda entry: entry[:4] + b"\x80" + entry[5:],
        lambda entry: entry[:7] + b"\x01" + entry[8:],
        lambda entry: entry[:16] + bytes(8) + entry[24:],
    ],
)
def test_bytes_that_are_no_entry_are_named(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    entries = make_entries(5)
    table = replace("entry", 2, damage(entries[2]))(make_table(entries))
    write(tmp_path / "s", table)
    done = examine(piece(tmp_path / "s", START, START + 5))
    assert ("EventError", f"entry {START + 2}") in found(done)
    assert any("no entry of version 1" in one.message for one in done.found.kept)


def test_entry_with_each_flag_there_is_gives_its_leaf_hash(tmp_path: Path) -> None:
    flags = [0, *EntryFlags, sum(EntryFlags)]
    entries = make_entries(1 + len(flags))
    for row, value in enumerate(flags, start=1):
        entries[row] = entries[row][:4] + int(value).to_bytes(2) + entries[row][6:]
    table = make_table(make_entries(len(entries)))
    at = table.schema.get_field_index("entry")
    write(
        tmp_path / "s",
        table.set_column(at, table.schema.field("entry"), pa.array(entries, pa.binary())),
    )
    done = examine(piece(tmp_path / "s", START, START + len(entries)))
    assert found(done) == []
    assert done.leaf_hashes == hash_leaves(entries)


def test_time_that_goes_back_is_named(tmp_path: Path) -> None:
    entries = make_entries(5)
    back = entries[3][:8] + bytes(7) + b"\x05" + entries[3][16:]
    done = examine_changed(tmp_path / "s", entries, replace("entry", 3, back))
    assert ("ClockError", f"entry {START + 3}") in found(done)


def test_segment_that_went_away_is_gone_and_not_tampered(tmp_path: Path) -> None:
    done = examine(piece(tmp_path / "none", 0, 5))
    assert done.is_gone
    assert (done.leaf_hashes, found(done)) == (None, [])


def test_piece_without_rows_is_a_hole(tmp_path: Path) -> None:
    done = examine(piece(tmp_path / "none", 0, 5, groups=()))
    assert (done.leaf_hashes, done.is_gone, found(done)) == (None, False, [])


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all, but of some length"])
def test_file_that_is_no_parquet_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s").write_bytes(data)
    done = examine(piece(tmp_path / "s", 0, 5))
    assert found(done) == [("EventError", "segments/x")]
    assert done.leaf_hashes is None


def test_segment_with_too_few_rows_is_named(tmp_path: Path) -> None:
    write(tmp_path / "s", make_table(make_entries(5)))
    done = examine(piece(tmp_path / "s", START, START + 6))
    assert found(done) == [("EventError", "segments/x")]


def test_blobs_are_found_in_prefixes_and_openings(tmp_path: Path) -> None:
    writer = EntryWriter()
    whole = b"x" * (PAYLOAD_BYTES_MAX + 1)
    entries = [writer.opened(5, identifier=b"who"), writer.record(5, whole)]
    assert entries[1].endswith(prefix_payload(whole))
    table = make_table([entries[0]])
    assert table.num_rows == 1
    column = pa.array(entries, pa.binary())
    events = derive_events(
        column, log=ORIGIN, start=LeafIndex(START), streams=Streams(), read_blob=lambda _: whole
    )
    write(tmp_path / "s", events.append_column(SEGMENT_SCHEMA.field("entry"), column))
    done = examine(piece(tmp_path / "s", START, START + 2))
    assert found(done) == []
    assert done.references == [
        BlobReference(START, hashlib.sha256(b"who").digest(), 3),
        BlobReference(START + 1, hashlib.sha256(whole).digest(), len(whole)),
    ]


def test_slices_of_a_sliced_array_are_its_entries() -> None:
    entries = pa.array([b"a", b"bb", b"", b"dddd"], pa.binary())
    assert [bytes(one) for one in entry_slices(entries.slice(1, 3))] == [b"bb", b"", b"dddd"]
    assert not list(entry_slices(pa.array([], pa.binary())))


def test_every_payload_format_has_the_name_that_events_use() -> None:
    for code in PayloadFormat:
        writer = EntryWriter()
        entry = bytearray(writer.record(5, http_record(1)))
        entry[2:4] = int(code).to_bytes(2, "big")
        table = make_table([bytes(entry)])
        assert table.column("payload_format").to_pylist() == [FORMAT_NAMES[code]]
