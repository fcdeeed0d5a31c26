from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pytest

from meshtrail.search.rows_out import ArrowWriter, CsvWriter, JsonWriter, RowWriter, TableWriter
from meshtrail.search.table import TableLines

SCHEMA = pa.schema([("n", pa.int64()), ("path", pa.string())])
ROWS: list[dict[str, Any]] = [{"n": 1, "path": "/a"}, {"n": None, "path": "/b\x1b"}]


def written(make: type[Any], *batches: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    writer: RowWriter = make(sink)
    for rows in batches:
        writer.write(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    writer.close()
    return sink.getvalue()


def test_json_is_one_object_a_line_without_nulls() -> None:
    lines = written(JsonWriter, [], ROWS).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"n": 1, "path": "/a"}, {"path": "/b\x1b"}]


def test_csv_has_its_header_once_even_without_rows() -> None:
    assert written(CsvWriter, []) == b"n,path\r\n"
    assert written(CsvWriter, [], ROWS, ROWS[:1]) == b"n,path\r\n1,/a\r\n,/b\\x1b\r\n1,/a\r\n"


@pytest.mark.parametrize("batches", [[[]], [[], ROWS], [ROWS, [], ROWS]])
def test_arrow_reads_back_as_it_was(batches: list[list[dict[str, Any]]]) -> None:
    table = pa.ipc.open_stream(written(ArrowWriter, *batches)).read_all()
    assert table.schema == SCHEMA
    assert table.to_pylist() == [row for rows in batches for row in rows]


def test_a_table_waits_for_all_rows_unless_it_is_followed() -> None:
    sink = io.BytesIO()
    writer = TableWriter(sink, TableLines(is_events=False, width=None))
    writer.write(pa.RecordBatch.from_pylist(ROWS[:1], schema=SCHEMA))
    assert sink.getvalue() == b""
    writer.close()
    assert sink.getvalue() == b"n  path\n1  /a\n"
    sink = io.BytesIO()
    followed = TableWriter(sink, TableLines(is_events=False, width=None), is_following=True)
    followed.write(pa.RecordBatch.from_pylist(ROWS[:1], schema=SCHEMA))
    assert sink.getvalue() == b"n  path\n1  /a\n"
