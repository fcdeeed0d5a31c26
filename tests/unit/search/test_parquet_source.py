from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meshtrail.model.columns import COLUMNS
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.search.limits import SearchLimits
from meshtrail.search.parquet_source import parquet_source, sql_type
from meshtrail.search.period import Period
from meshtrail.search.searcher import Searcher
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.string(), "VARCHAR"),
        (pa.bool_(), "BOOLEAN"),
        (pa.int32(), "INTEGER"),
        (pa.int64(), "BIGINT"),
        (pa.binary(16), "BLOB"),
    ],
)
def test_each_type_of_a_column_has_its_name(kind: pa.DataType, name: str) -> None:
    assert sql_type(kind) == name


def test_every_column_is_named_with_its_permanent_id() -> None:
    source = parquet_source("?")
    for column in COLUMNS:
        assert f"{column.field_id}: {{name: '{column.name}'" in source


def test_a_segment_that_is_older_than_a_column_has_null_there(tmp_path: Path) -> None:
    log = make_log(tmp_path)
    older = log.add_segment([{"url_path": "/old"}])
    log.add_segment([{"url_path": "/new", "cause": "silent", "is_duplicate": True}])
    file = pq.ParquetFile(older)
    later = ["cause", "is_duplicate", "reporter_ip"]
    pq.write_table(file.read().drop_columns(later), older)
    limits = SearchLimits(memory_bytes_max=256 << 20, threads_count=1, seconds_max=60)
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=limits) as searcher:
        sql = "SELECT url_path, cause, is_duplicate FROM events ORDER BY log_index"
        table = pa.Table.from_batches(searcher.run_sql(sql, Period()).batches)
        everything = pa.Table.from_batches(
            searcher.run_sql("SELECT * FROM events", Period()).batches
        )
    assert table.to_pylist() == [
        {"url_path": "/old", "cause": None, "is_duplicate": None},
        {"url_path": "/new", "cause": "silent", "is_duplicate": True},
    ]
    assert everything.column_names == EVENT_SCHEMA.names
