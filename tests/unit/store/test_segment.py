from __future__ import annotations

import gc
import hashlib
import io
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.errors import DurabilityError
from meshtrail.model.columns import COLUMNS
from meshtrail.model.event import BLOOM_COLUMNS, ENTRY_FIELD_ID, SEGMENT_SCHEMA
from meshtrail.store import segment as segment_module
from meshtrail.store.durable import Disk, DurableWriter
from meshtrail.store.segment import (
    ROW_GROUP_ROWS,
    iterate_segment,
    read_segment,
    write_segment,
)
from tests.fake_disks import SmallDisk
from tests.segment_rows import segment_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 2 * ROW_GROUP_ROWS + 100
FIELD_IDS = {column.name: column.field_id for column in COLUMNS} | {"entry": ENTRY_FIELD_ID}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segment of two full row groups and a small one."""
    file = tmp_path_factory.mktemp("segment") / "rows.parquet"
    with DurableWriter(Disk(), file) as sink:
        write_segment(sink, [segment_table(0, ROWS)], ROWS)
        length, digest = sink.commit()
    data = file.read_bytes()
    assert (length, digest) == (len(data), hashlib.sha256(data).digest())
    return file


_BLANKS = {pa.string(): "", pa.binary(): b"", pa.bool_(): False}


@cache
def narrow_table() -> pa.Table:
    """Few values, so that many splits are written quickly."""
    columns = [
        pa.array(range(ROWS), pa.int64())
        if field.name == "log_index"
        else pa.nulls(ROWS, field.type)
        if field.nullable
        else pa.array([_BLANKS.get(field.type, 0)] * ROWS, field.type)
        for field in SEGMENT_SCHEMA
    ]
    return pa.table(columns, schema=SEGMENT_SCHEMA)


@given(cuts=st.sets(st.integers(0, ROWS) | st.sampled_from([16_383, 16_384, 16_385]), max_size=6))
@settings(max_examples=8)
def test_row_groups_are_full_for_every_split_of_the_input(cuts: set[int]) -> None:
    sink = io.BytesIO()
    ends = sorted({0, ROWS, *cuts})
    table = narrow_table()
    parts = [table.slice(start, end - start) for start, end in pairwise(ends)]
    write_segment(cast("DurableWriter", sink), parts, ROWS)
    file = pq.ParquetFile(pa.BufferReader(sink.getvalue()))
    groups = [file.metadata.row_group(at).num_rows for at in range(file.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 100]
    assert file.read(columns=["log_index"]).column(0).to_pylist() == list(range(ROWS))


@pytest.mark.parametrize("rows_count", [0, 1, ROW_GROUP_ROWS])
def test_segment_of_no_more_than_a_row_group_has_at_most_one(rows_count: int) -> None:
    sink = io.BytesIO()
    write_segment(cast("DurableWriter", sink), [narrow_table().slice(0, rows_count)], rows_count)
    metadata = pq.read_metadata(pa.BufferReader(sink.getvalue()))
    assert (metadata.num_rows, metadata.num_row_groups) == (rows_count, min(rows_count, 1))


def test_segment_reads_back_as_it_was_written(path: Path) -> None:
    assert read_segment(path).equals(segment_table(0, ROWS))
    assert read_segment(path, ["entry"]).column_names == ["entry"]


def test_segment_can_be_read_a_piece_at_a_time(path: Path) -> None:
    pieces = list(iterate_segment(path, ["log_index"], rows_max=5_000))
    assert max(piece.num_rows for piece in pieces) <= 5_000
    assert pa.concat_tables(pieces).column(0).to_pylist() == list(range(ROWS))


def test_columns_have_their_permanent_field_ids_and_no_arrow_schema(path: Path) -> None:
    metadata = pq.read_metadata(path)
    assert metadata.metadata is None or b"ARROW:schema" not in metadata.metadata
    read = pq.read_schema(path)
    assert {name: read.field(name).metadata[b"PARQUET:field_id"] for name in read.names} == {
        name: str(field_id).encode() for name, field_id in FIELD_IDS.items()
    }


_OPEN_TYPES = {"BOOLEAN", "INT32", "INT64", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"}


def test_every_column_is_signed_text_bytes_or_a_truth_value(path: Path) -> None:
    schema = pq.ParquetFile(path).schema
    for at in range(len(schema.names)):
        column = schema.column(at)
        logical = column.logical_type.type
        assert column.physical_type in _OPEN_TYPES
        assert logical in {"NONE", "STRING"}, column.name
        assert column.max_repetition_level == 0


def test_columns_that_may_not_be_null_are_required(path: Path) -> None:
    schema = pq.ParquetFile(path).schema
    required = {
        schema.column(at).name
        for at in range(len(schema.names))
        if schema.column(at).max_definition_level == 0
    }
    assert required == {field.name for field in SEGMENT_SCHEMA if not field.nullable}


def test_every_column_chunk_has_a_page_index_and_events_have_statistics(path: Path) -> None:
    for name, chunk in chunks(path):
        assert chunk.has_column_index == (name != "entry"), name
        assert chunk.has_offset_index, name
        assert chunk.compression == "ZSTD"
        assert chunk.is_stats_set == (name != "entry"), name


def test_marked_columns_and_no_others_have_bloom_filters(path: Path) -> None:
    for name, chunk in chunks(path):
        assert (chunk.bloom_filter_offset is not None) == (name in BLOOM_COLUMNS), name
        if name in BLOOM_COLUMNS:
            assert chunk.bloom_filter_length > 0


def test_bloom_filters_are_sized_to_the_row_group(path: Path) -> None:
    full = next(chunk for name, chunk in chunks(path) if name == "trace_id")
    # 1 % of false positives takes about ten bits for each of the 8,192 distinct values.
    assert 8_192 < full.bloom_filter_length < 4 * 8_192


def test_data_pages_are_of_version_one(path: Path) -> None:
    with path.open("rb") as file:
        for name, chunk in chunks(path):
            first = chunk.data_page_offset
            file.seek(first)
            # A page header is Thrift, compact: field 1, the type of the page, is a zigzag i32.
            assert file.read(2) == b"\x15\x00", f"{name}: not a DATA_PAGE"


def test_one_row_is_read_from_its_row_group_alone(path: Path) -> None:
    index = ROW_GROUP_ROWS + 7
    file = pq.ParquetFile(path)
    group = file.read_row_group(index // ROW_GROUP_ROWS, columns=["log_index", "entry"])
    row = group.slice(index % ROW_GROUP_ROWS, 1).to_pylist()
    assert row == [{"log_index": index, "entry": b"entry %d" % index}]


@given(cuts=st.sets(st.integers(0, 60), max_size=4))
@settings(max_examples=20)
def test_texts_may_be_dictionaries_and_those_of_each_table_its_own(cuts: set[int]) -> None:
    table = segment_table(0, 60)
    parts = []
    for start, end in pairwise(sorted({0, 60, *cuts})):
        part = table.slice(start, end - start)
        for at, field in enumerate(SEGMENT_SCHEMA):
            if pa.types.is_string(field.type):
                coded = part.column(at).dictionary_encode()
                part = part.set_column(at, field.with_type(coded.type), coded)
        parts.append(part)
    sink = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_module, "ROW_GROUP_ROWS", 25)
        write_segment(cast("DurableWriter", sink), parts, 60)
    file = pq.ParquetFile(pa.BufferReader(sink.getvalue()))
    assert [file.metadata.row_group(at).num_rows for at in range(3)] == [25, 25, 10]
    assert file.schema_arrow.equals(
        pa.schema([field.remove_metadata() for field in SEGMENT_SCHEMA])
    )
    assert file.read().to_pylist() == table.to_pylist()
    for at in range(3):
        # Searches leave out what lies outside: no value of the row group may.
        for column in (file.metadata.row_group(at).column(n) for n in range(len(SEGMENT_SCHEMA))):
            name = column.path_in_schema
            values = [v for v in table.slice(25 * at, 25).column(name).to_pylist() if v is not None]
            if values and column.is_stats_set and column.statistics.has_min_max:
                assert column.statistics.min <= min(values), name
                assert max(values) <= column.statistics.max, name


def test_a_long_dictionary_of_many_row_groups_is_not_repeated_in_each() -> None:
    """As when each of many records names a server of its own."""
    rows_count = 2_000
    # Nothing that compression could make good again.
    names = [hashlib.sha512(b"%d" % number).hexdigest() for number in range(rows_count)]
    table = segment_table(0, rows_count)
    at = table.schema.get_field_index("tls_server_name")
    plain = table.set_column(at, table.schema.field(at), pa.array(names))
    coded = plain.column(at).dictionary_encode()
    coded = plain.set_column(at, table.schema.field(at).with_type(coded.type), coded)
    written = []
    for rows in (plain, coded):
        sink = io.BytesIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segment_module, "ROW_GROUP_ROWS", 100)
            write_segment(cast("DurableWriter", sink), [rows], rows_count)
        written.append(sink.getvalue())
    assert pq.read_table(pa.BufferReader(written[1])).to_pylist() == plain.to_pylist()
    assert len(written[1]) < 1.1 * len(written[0])


def test_rows_of_another_schema_are_refused() -> None:
    table = narrow_table().slice(0, 3).drop_columns(["entry"])
    with pytest.raises(ValueError, match=r"segment's in \['entry'\]"):
        write_segment(cast("DurableWriter", io.BytesIO()), [table], 3)


@pytest.mark.parametrize("room_bytes", [0, 1, 1 << 20])
def test_full_disk_ends_a_segment_with_its_own_error(
    room_bytes: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = segment_table(0, ROWS)
    with (
        DurableWriter(SmallDisk(room_bytes), tmp_path / "a.parquet") as sink,
        pytest.raises(DurabilityError, match=r"a\.parquet: No space left"),
    ):
        write_segment(sink, [table], ROWS)
    gc.collect()
    assert capfd.readouterr().err == "", "pyarrow complains of a stream that it cannot empty"


def test_what_derives_the_rows_may_fail_without_anything_written_behind_its_back(
    tmp_path: Path,
) -> None:
    def rows() -> Iterator[pa.Table]:
        yield segment_table(0, ROW_GROUP_ROWS)
        raise LookupError("no blob")

    with (
        DurableWriter(Disk(), tmp_path / "a.parquet") as sink,
        pytest.raises(LookupError, match="no blob"),
    ):
        write_segment(sink, rows(), ROWS)
    length = (tmp_path / "a.parquet.tmp").stat().st_size
    gc.collect()
    assert (tmp_path / "a.parquet.tmp").stat().st_size == length


def chunks(path: Path) -> list[tuple[str, Any]]:
    metadata = pq.read_metadata(path)
    return [
        (group.column(at).path_in_schema, group.column(at))
        for group in (metadata.row_group(at) for at in range(metadata.num_row_groups))
        for at in range(group.num_columns)
    ]
