from __future__ import annotations

import hashlib
import math
import secrets
from itertools import chain, pairwise, repeat
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.event import BLOOM_COLUMNS, SEGMENT_SCHEMA
from meshtrail.store import joined_segment
from meshtrail.store.durable import Disk, DurableWriter
from meshtrail.store.joined_segment import join_segments
from meshtrail.store.layout import segment_file
from meshtrail.store.manifest import CommittedFile
from meshtrail.store.segment import ROW_GROUP_ROWS, iterate_segment, read_segment
from meshtrail.store.thrift_compact import I16, Fields, decode_struct
from tests.join_sources import ROWS, TABLE, Sources, footer_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GO_ON = False
OFFSETS = ("dictionary_page_offset", "data_page_offset", "bloom_filter_offset", "file_offset")


def chunks(path: Path, group: int) -> list[dict[str, Any]]:
    """What pyarrow reads of each column chunk of a row group, but for where it is."""
    read = pq.read_metadata(path).row_group(group)
    found = []
    for at in range(read.num_columns):
        chunk = read.column(at)
        described = {
            **chunk.to_dict(),
            "has_offset_index": chunk.has_offset_index,
            "has_column_index": chunk.has_column_index,
        }
        found.append({name: described[name] for name in described.keys() - {*OFFSETS}})
    return found


@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        TABLE.slice(0, 1),
        TABLE.slice(1, 1),
        pa.concat_tables([TABLE] * (1 + ROW_GROUP_ROWS // ROWS)),
    ],
    ids=["rows", "one row", "nulls", "two row groups"],
)
def test_file_joined_of_one_source_is_that_source(table: pa.Table, sources: Sources) -> None:
    sources.add(table)
    sources.join()
    assert sources.joined.read_bytes() == sources.path(0).read_bytes()


def test_file_joined_of_a_joined_one_is_that_one(three: Sources) -> None:
    joined = three.join()
    data = three.joined.read_bytes()
    with DurableWriter(Disk(), three.root / "again") as sink:
        join_segments(sink, three.root, three.read([joined]))
        sink.commit()
    assert (three.root / "again").read_bytes() == data


def test_result_is_hashed_as_it_is_written(three: Sources) -> None:
    joined = three.join()
    data = three.joined.read_bytes()
    assert (joined.bytes_count, joined.sha256) == (len(data), hashlib.sha256(data).digest())


@given(cuts=st.sets(st.integers(1, ROWS - 1), max_size=6), twice=st.booleans())
@settings(max_examples=10)
def test_any_split_joins_to_the_same_rows_in_the_same_row_groups(
    cuts: set[int], tmp_path_factory: pytest.TempPathFactory, *, twice: bool
) -> None:
    sources = Sources(tmp_path_factory.mktemp("split"))
    ends = [0, *sorted(cuts), ROWS]
    for start, end in pairwise(ends):
        sources.add(TABLE.slice(start, end - start))
    joined = sources.join(sources.files[: len(sources.files) // 2] if twice else ())
    if twice and len(sources.files) > 1:
        # What was joined is joined again with the rest, behind and in front of one another.
        first = CommittedFile(segment_file(0, 1), joined.bytes_count, joined.sha256)
        sources.joined.rename(sources.root / first.named.path)
        sources.join([first, *sources.files[len(sources.files) // 2 :]])
    assert read_segment(sources.joined).equals(TABLE)
    assert pa.concat_tables(iterate_segment(sources.joined, rows_max=150)).equals(TABLE)
    metadata = pq.read_metadata(sources.joined)
    assert (metadata.num_rows, metadata.num_row_groups) == (ROWS, len(ends) - 1)
    file = pq.ParquetFile(sources.joined)
    for group, (start, end) in enumerate(pairwise(ends)):
        assert file.read_row_group(group).equals(TABLE.slice(start, end - start))
        assert chunks(sources.joined, group) == chunks(sources.path(group), 0)


def test_footer_says_once_what_the_sources_say_and_schema_and_writer_stay(three: Sources) -> None:
    three.join()
    one, joined = pq.read_metadata(three.path(0)), pq.read_metadata(three.joined)
    assert joined.schema.equals(one.schema)
    assert (joined.created_by, joined.metadata) == (one.created_by, one.metadata)
    assert joined.format_version == one.format_version


def test_every_page_of_the_offset_index_is_found_at_its_place(sources: Sources) -> None:
    # Long entries make several pages of a column chunk.
    table = pa.concat_tables([TABLE] * 6)
    entries = pa.array([secrets.token_bytes(1_000)] * table.num_rows, pa.binary())
    for _ in range(2):
        sources.add(table.set_column(table.num_columns - 1, SEGMENT_SCHEMA.field("entry"), entries))
    sources.join()
    data = sources.joined.read_bytes()
    pages_count = 0
    for group in decode_struct(data, footer_start(data))[0][4][1][1]:
        first = group[1][1][1][0][3][1]
        assert group[5][1] == first.get(11, first[9])[1]
        for chunk in group[1][1][1]:
            index, end = decode_struct(data, chunk[4][1])
            assert end == chunk[4][1] + chunk[5][1]
            locations = index[1][1][1]
            assert locations[0][1][1] == chunk[3][1][9][1]
            for location in locations:
                header, after = decode_struct(data, location[1][1])
                assert header[1][1] == 0, "not a DATA_PAGE"
                assert after + header[3][1] == location[1][1] + location[2][1]
                pages_count += 1
            if 6 in chunk:
                _, end = decode_struct(data, chunk[6][1])
                assert end == chunk[6][1] + chunk[7][1]
    assert pages_count > 2 * len(SEGMENT_SCHEMA)


def test_other_engine_reads_and_skips_the_same(three: Sources) -> None:
    three.join()
    joined = str(three.joined)
    parts = [str(three.path(number)) for number in range(3)]
    with duckdb.connect() as engine:
        rows = engine.read_parquet(joined).to_arrow_table()
        assert rows.equals(engine.read_parquet(parts).to_arrow_table())
        assert rows.cast(SEGMENT_SCHEMA).equals(TABLE)
        for name in BLOOM_COLUMNS:
            column = TABLE.column(name)
            for wanted in [column[0], column[100], column[298]]:
                found = engine.read_parquet(joined).filter(
                    duckdb.ColumnExpression(name) == duckdb.ConstantExpression(wanted.as_py())
                )
                got = found.select("log_index").fetchall()
                want = TABLE.filter(pc.equal(column, wanted)).column("log_index").to_pylist()
                assert [index for (index,) in got] == want
                probe = "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, ?, ?)"
                excluded = engine.execute(probe, [joined, name, wanted.as_py()]).fetchall()
                assert excluded == [
                    row
                    for part in parts
                    for row in engine.execute(probe, [part, name, wanted.as_py()]).fetchall()
                ]
                assert (True,) in excluded
        described = "SELECT * EXCLUDE (file_name, row_group_id, {}) FROM parquet_metadata(?)"
        offsets = ", ".join({*OFFSETS, "index_page_offset"})
        got = engine.execute(described.format(offsets), [joined]).fetchall()
        want = [
            row
            for part in parts
            for row in engine.execute(described.format(offsets), [part]).fetchall()
        ]
        assert got == want


def test_ordinals_of_row_groups_are_renumbered(sources: Sources) -> None:
    def number(footer: Fields) -> Fields:
        for group in footer[4][1][1]:
            group[7] = I16, 0
        return footer

    for start in (0, 100, 200):
        sources.add(TABLE.slice(start, 100), change=number)
    sources.join()
    data = sources.joined.read_bytes()
    groups = decode_struct(data, footer_start(data))[0][4][1][1]
    assert [group[7] for group in groups] == [(I16, 0), (I16, 1), (I16, 2)]
    assert read_segment(sources.joined).equals(TABLE.slice(0, 300))


def test_whoever_stops_is_heard_after_each_piece_and_row_group(
    three: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined_segment, "_PIECE_BYTES", 1 << 13)
    read = three.read()

    def run(answers: Iterator[bool]) -> list[int]:
        """How many bytes were written whenever it asked, and in the end."""
        written: list[int] = []
        with DurableWriter(Disk(), three.joined) as sink:

            def is_stopping() -> bool:
                written.append(sink.tell())
                return next(answers)

            join_segments(sink, three.root, read, is_stopping=is_stopping)
            return [*written, sink.tell()]

    never = run(repeat(GO_ON))
    pieces = [math.ceil((source.body_end - len(b"PAR1")) / (1 << 13)) for source in read]
    assert len(never) == sum(pieces) + len(pieces) + 1
    # Between two questions are one piece and the indexes of one source; behind the last the footer.
    starts = [footer_start((three.root / file.named.path).read_bytes()) for file in three.files]
    indexes = max(start - source.body_end for start, source in zip(starts, read, strict=True))
    assert max(after - before for before, after in pairwise(never[:-1])) <= (1 << 13) + indexes
    assert indexes < 1 << 14
    for asked in range(len(never) - 1):
        answers = chain(repeat(GO_ON, asked), [not GO_ON])
        assert run(answers) == [*never[: asked + 1], never[asked]]
