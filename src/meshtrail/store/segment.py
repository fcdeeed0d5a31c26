"""Segments: Parquet files of consecutive entries with their events.

Written so that other engines read them as they are and look ids up without scanning: row groups
of 16,384 with a page index, v1 data pages, signed integers, Parquet field ids, statistics, and
Bloom filters sized to the row group.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.model.event import BLOOM_COLUMNS, EVENT_SCHEMA, SEGMENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from meshtrail.store.durable import DurableWriter

ROW_GROUP_ROWS: Final = 16_384
"""Reading one entry takes 3 ms at this size, 12 ms at four times it."""

_COMPRESSION_LEVEL: Final = 1
_PLAIN_COLUMNS: Final = frozenset(
    {
        "entry",
        "log_index",
        "seq",
        "time",
        "end_time",
        "duration",
        "request_duration",
        "response_start_duration",
        "src_port",
        "envoy_upstream_local_port",
        "url_path",
        "url_query",
        "trace_id",
        "span_id",
        "request_id",
        "request_id_text",
    }
)
"""Columns in which nearly every value differs: a dictionary costs 1.7 bytes a row, and time."""

_DICTIONARY_VALUES_MAX: Final = ROW_GROUP_ROWS // 16
_FALSE_POSITIVES: Final = 0.01
_BUFFER_BYTES: Final = 1 << 20


def write_segment(sink: DurableWriter, batches: Iterable[pa.Table], rows_count: int) -> None:
    """Write tables of ``SEGMENT_SCHEMA``, in order, as one Parquet file.

    Args:
        sink: where the bytes go; the caller commits it.
        batches: the rows, in tables of any length; held until a row group is full. Text columns may
            be dictionaries, in all of the tables or in none.
        rows_count: rows in all, for the size of the Bloom filters.

    Raises:
        ValueError: a table has another schema.
    """
    options = _writer_options(min(rows_count, ROW_GROUP_ROWS))
    groups = _row_groups(batches)
    first = next(groups, None)
    schema = SEGMENT_SCHEMA if first is None else _check_schema(first.schema)
    with _buffered(sink) as stream, pq.ParquetWriter(stream, schema, **options) as writer:
        for group in chain([] if first is None else [first], groups):
            writer.write_table(_with_own_values(group), row_group_size=ROW_GROUP_ROWS)


def read_segment(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a segment, or some of its columns."""
    return pq.read_table(path, columns=columns, partitioning=None, memory_map=False)


def iterate_segment(
    path: Path, columns: list[str] | None = None, *, rows_max: int = ROW_GROUP_ROWS
) -> Iterator[pa.Table]:
    """Read a segment a piece at a time, so that memory stays bounded."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=rows_max, columns=columns, use_threads=False):
            yield pa.Table.from_batches([batch])


@contextmanager
def _buffered(sink: DurableWriter) -> Iterator[pa.NativeFile]:
    """The sink as a stream that calls Python once for many pages.

    A segment is hundreds of small writes. Each would wait for the interpreter, in which files are
    merged meanwhile, and neither would get on.
    """
    outlet = _Outlet(sink)
    stream = pa.BufferedOutputStream(pa.PythonFile(outlet, mode="w"), _BUFFER_BYTES)
    try:
        yield stream
        stream.flush()
    finally:
        # What a failure left in the buffer is still handed over when the stream is destroyed.
        outlet.closed = True


class _Outlet:
    """Hands pages on to a sink until it is closed, and drops what comes after."""

    def __init__(self, sink: DurableWriter) -> None:
        self.closed = False
        self._sink = sink

    def write(self, data: bytes) -> int:
        return len(data) if self.closed else self._sink.write(data)

    def tell(self) -> int:
        return self._sink.tell()

    def flush(self) -> None:
        self._sink.flush()

    def close(self) -> None:
        self.closed = True


def _with_own_values(group: pa.Table) -> pa.Table:
    """A row group in which long dictionaries hold only the values of this one.

    Each row group gets the whole of a dictionary, which may be that of many. A sender that names
    another server in each record would have all names written down in each.
    """
    for at, column in enumerate(group.columns):
        if not pa.types.is_dictionary(column.type):
            continue
        if any(len(chunk.dictionary) > _DICTIONARY_VALUES_MAX for chunk in column.chunks):
            own = column.cast(column.type.value_type).combine_chunks().dictionary_encode()
            group = group.set_column(at, group.schema.field(at), own)
    return group


def _check_schema(schema: pa.Schema) -> pa.Schema:
    """The tables' own schema, in which texts may be dictionaries: the file's is the same."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in schema
    ]
    if not pa.schema(fields).equals(SEGMENT_SCHEMA):
        wrong = [field.name for field in {*fields} ^ {*SEGMENT_SCHEMA}]
        raise ValueError(f"the schema of these rows does not match a segment's in {wrong}")
    return schema


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Cut and join tables so that each has ``ROW_GROUP_ROWS`` rows, the last one fewer."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows < ROW_GROUP_ROWS:
            continue
        joined = pa.concat_tables(waiting)
        whole = rows - rows % ROW_GROUP_ROWS
        for start in range(0, whole, ROW_GROUP_ROWS):
            yield joined.slice(start, ROW_GROUP_ROWS)
        waiting = [joined.slice(whole)]
        rows -= whole
    if rows:
        yield pa.concat_tables(waiting)


def _writer_options(group_rows: int) -> dict[str, Any]:
    dictionary = [name for name in SEGMENT_SCHEMA.names if name not in _PLAIN_COLUMNS]
    return {
        "version": "2.6",
        "data_page_version": "1.0",
        "compression": "zstd",
        "compression_level": _COMPRESSION_LEVEL,
        "use_dictionary": dictionary,
        "write_statistics": EVENT_SCHEMA.names,
        "write_page_index": True,
        "store_schema": False,
        "bloom_filter_options": {
            name: {"ndv": max(group_rows, 1), "fpp": _FALSE_POSITIVES} for name in BLOOM_COLUMNS
        },
    }
