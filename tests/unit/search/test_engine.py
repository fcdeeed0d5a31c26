from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa
import pytest

from meshtrail.errors import BudgetError, DigestError, MissingFileError, QueryError
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.search.confine import deny_writes
from meshtrail.search.engine import Engine
from meshtrail.search.limits import Deadline, SearchLimits
from meshtrail.search.period import Period
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, STEP_NS, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE (a.range * b.range) % 7 = 3"


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    log = make_log(tmp_path / "da'ta [1]")
    log.add_segment([{"url_path": "/a"}, {"url_path": "/b"}])
    log.add_segment([{"url_path": "/c", "trace_id": b"\xab" * 16}])
    return log


class Reader:
    """An engine and the segments that its view holds."""

    def __init__(self, log: SmallLog, period: Period | None = None, **limits: Any) -> None:
        self.limits = SearchLimits(**limits)
        self.engine = Engine(log.layout.segments, self.limits)
        self.segments = log.catalogue().segments
        self.period = period or Period()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    def run(self, sql: str) -> Iterator[pa.RecordBatch]:
        deadline = Deadline(self.limits.seconds_max)
        return self.engine.run_sql(sql, self.segments, self.period, deadline=deadline)


@pytest.fixture
def reader(log: SmallLog) -> Iterator[Reader]:
    with Reader(log) as reader:
        yield reader


def rows(reader: Reader, sql: str) -> list[dict[str, Any]]:
    return [row for batch in reader.run(sql) for row in batch.to_pylist()]


def test_the_view_has_the_columns_of_the_event_schema_and_no_entry(reader: Reader) -> None:
    (batch, *_) = reader.run("SELECT * FROM events")
    assert batch.schema.names == EVENT_SCHEMA.names


def test_sql_reads_all_segments(reader: Reader) -> None:
    assert rows(reader, "SELECT url_path FROM events ORDER BY log_index DESC") == [
        {"url_path": "/c"},
        {"url_path": "/b"},
        {"url_path": "/a"},
    ]


def test_the_view_of_an_empty_log_has_the_same_columns_and_types(
    tmp_path: Path, reader: Reader
) -> None:
    with Reader(make_log(tmp_path / "empty")) as empty:
        (schema,) = {batch.schema for batch in empty.run("SELECT * FROM events")}
        (full, *_) = reader.run("SELECT * FROM events")
        assert schema.equals(full.schema)
        assert rows(empty, "SELECT count(*) AS n FROM events") == [{"n": 0}]


def test_a_period_bounds_the_view(log: SmallLog) -> None:
    period = Period(from_ns=UnixNanos(FIRST_NS + STEP_NS), to_ns=UnixNanos(FIRST_NS + 2 * STEP_NS))
    with Reader(log, period) as reader:
        assert rows(reader, "SELECT url_path FROM events") == [{"url_path": "/b"}]


def test_a_result_without_rows_still_tells_its_columns(reader: Reader) -> None:
    (batch,) = reader.run("SELECT 1 AS a WHERE FALSE")
    assert batch.schema.names == ["a"]
    assert batch.num_rows == 0


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT nope FROM events", "nope"),
        ("SELECT CAST('x' AS INT)", "x"),
        ("SELECT $a", "parameters"),
        ("SELECT error('mine')", "mine"),
        ("SELECT CASE WHEN range > 9000 THEN error('late') END FROM range(10000)", "late"),
    ],
)
def test_sql_that_fails_is_an_input_error_with_the_engines_words(
    reader: Reader, sql: str, said: str
) -> None:
    with pytest.raises(QueryError, match=said):
        rows(reader, sql)


def test_a_search_over_its_time_ends_with_a_budget_error(log: SmallLog) -> None:
    with Reader(log, seconds_max=0.2) as reader, pytest.raises(BudgetError, match="--timeout"):
        rows(reader, SLOW)


def test_a_search_over_its_memory_ends_with_a_budget_error(log: SmallLog) -> None:
    with (
        Reader(log, memory_bytes_max=64 << 20) as reader,
        pytest.raises(BudgetError, match="--memory"),
    ):
        rows(reader, "SELECT a, count(*) FROM range(10000000) t(a) GROUP BY a ORDER BY 2")


def test_closing_ends_a_query_that_still_runs(reader: Reader) -> None:
    # What Ctrl-C leaves behind: nobody waits for the result any more, and the query runs on.
    running = reader.engine._pool.submit(lambda: reader.engine._connection.execute(SLOW))
    reader.engine._running = running
    reader.engine.close()
    assert isinstance(running.exception(), duckdb.InterruptException)


def test_a_segment_that_is_gone_is_named(log: SmallLog) -> None:
    catalogue = log.catalogue()
    with Reader(log) as reader:
        catalogue.segments[1].path.unlink()
        with pytest.raises(MissingFileError, match="000000000002-000000000003"):
            rows(reader, "SELECT count(url_path) FROM events")


def test_a_segment_that_does_not_read_back_is_a_digest_error(log: SmallLog) -> None:
    path = log.catalogue().segments[1].path
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with Reader(log) as reader, pytest.raises(DigestError):
        rows(reader, "SELECT count(url_path) FROM events")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_parquet('{other}')",
        "SELECT * FROM '{other}'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "COPY (SELECT 1) TO '{out}'",
        "COPY (SELECT 1 AS a) TO '{out}' (FORMAT parquet)",
        "ATTACH '{out}'",
        "EXPORT DATABASE '{out}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "RESET lock_configuration",
        "PRAGMA threads = 1",
        "CALL enable_logging(storage = 'file')",
        "CREATE PERSISTENT SECRET s (TYPE s3)",
    ],
)
def test_the_connection_itself_reaches_nothing_but_the_folder_of_segments(
    reader: Reader, tmp_path: Path, statement: str
) -> None:
    # Behind the check of the statement: what would happen if it let something through.
    other = make_log(tmp_path / "other").add_segment([{}])
    before = sorted(os.walk(tmp_path))
    with pytest.raises(duckdb.Error):
        reader.engine._connection.execute(
            statement.format(other=other, out=tmp_path / "out")
        ).fetchall()
    assert sorted(os.walk(tmp_path)) == before


def test_sql_cannot_read_the_variables_of_the_program(reader: Reader) -> None:
    hidden = pa.table({"secret": [1]})
    with pytest.raises(duckdb.Error):
        reader.engine._connection.execute("SELECT * FROM hidden").fetchall()
    assert hidden.num_rows == 1


def test_the_engines_threads_cannot_write_and_ours_still_can(log: SmallLog, tmp_path: Path) -> None:
    path = log.catalogue().segments[0].path
    before = path.read_bytes()
    with ThreadPoolExecutor(1) as throwaway:
        if not throwaway.submit(deny_writes).result():
            pytest.skip("this system has no Landlock")
    with Reader(log) as reader:
        # A file that DuckDB may open, written in place: only the OS stands in the way.
        overwrite = (
            f"COPY (SELECT 1 AS a) TO '{escaped(path)}' (FORMAT parquet, USE_TMP_FILE false)"
        )
        with pytest.raises(duckdb.IOException):
            reader.engine._pool.submit(
                lambda: reader.engine._connection.execute(overwrite).fetchall()
            ).result()
    assert path.read_bytes() == before
    (tmp_path / "ours").write_text("still written")


def escaped(path: Path) -> str:
    return str(path).replace("'", "''")
