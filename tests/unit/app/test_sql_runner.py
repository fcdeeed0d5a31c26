from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.sql_runner import SqlRunner
from meshtrail.errors import BudgetError, ConfigError, QueryError, UnavailableError
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, STEP_NS, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.app.sql_runner import SqlRows

LIMITS = SearchLimits(memory_bytes_max=128 << 20, threads_count=1, seconds_max=1.0)
UNSTOPPABLE = (
    "SELECT sum(levenshtein(repeat('a', 20000 + i), repeat('b', 20000))) FROM range(2000) r(i)"
)
"""Two thousand comparisons of a second each in one step, within which no interrupt is heard."""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[SqlRunner]:
    log = make_log(tmp_path / "data")
    log.add_segment([{"url_path": f"/{number}"} for number in range(5)])
    made = SqlRunner(log.layout, log.signer.verifier, LIMITS)
    yield made
    made.close()


def rows_of(found: SqlRows) -> list[dict[str, object]]:
    return [row for batch in found.batches for row in batch.to_pylist()]


def paths(runner: SqlRunner, period: Period | None = None) -> list[object]:
    found = runner.run_sql("SELECT url_path FROM events ORDER BY log_index", period or Period())
    return [row["url_path"] for row in rows_of(found)]


def test_rows_come_with_what_they_rest_on(runner: SqlRunner) -> None:
    found = runner.run_sql("SELECT count(*) AS n FROM events", Period())
    assert (found.log, found.tree_size, found.checkpoint_size) == (ORIGIN, 5, 5)
    assert len(found.root_hash or "") == 64
    assert rows_of(found) == [{"n": 5}]


def test_the_columns_are_known_without_a_row(runner: SqlRunner) -> None:
    found = runner.run_sql("SELECT log_index, url_path FROM events WHERE FALSE", Period())
    assert next(found.batches).schema.names == ["log_index", "url_path"]


def test_a_period_bounds_what_is_seen(runner: SqlRunner) -> None:
    start = UnixNanos(FIRST_NS + 3 * STEP_NS)
    assert paths(runner, Period(from_ns=start)) == ["/3", "/4"]


def test_rows_that_nobody_reads_to_their_end_are_in_nobodys_way(runner: SqlRunner) -> None:
    found = runner.run_sql("SELECT i FROM range(1000000) r(i)", Period())
    next(found.batches)
    next(found.batches)
    assert paths(runner) == ["/0", "/1", "/2", "/3", "/4"]


def test_errors_keep_their_names_and_facts(runner: SqlRunner) -> None:
    with pytest.raises(QueryError, match="only a SELECT may run here"):
        runner.run_sql("DROP VIEW events", Period()).batches.__next__()
    with pytest.raises(BudgetError) as caught:
        rows_of(runner.run_sql("SELECT list(i) FROM range(3000000000) r(i)", Period()))
    assert "memory" in caught.value.message
    assert len(paths(runner)) == 5


def test_an_engine_gets_the_memory_that_it_was_promised(tmp_path: Path) -> None:
    """The bound of the process leaves room beside it, whatever else the process reserved."""
    log = make_log(tmp_path / "data")
    log.add_segment([{"url_path": "/"}])
    runner = SqlRunner(log.layout, log.signer.verifier, SearchLimits())
    with contextlib.closing(runner):
        found = runner.run_sql("SELECT count(DISTINCT i) AS n FROM range(10000000) r(i)", Period())
        assert rows_of(found) == [{"n": 10_000_000}]


def test_memory_that_the_engine_does_not_count_is_bounded_too(runner: SqlRunner) -> None:
    with pytest.raises(BudgetError, match="memory"):
        rows_of(runner.run_sql("SELECT length(repeat('x', 3000000000))", Period()))
    assert len(paths(runner)) == 5


def test_a_query_that_hears_no_interrupt_is_ended_with_its_process(runner: SqlRunner) -> None:
    begun = time.monotonic()
    with pytest.raises(BudgetError, match="its process was ended"):
        rows_of(runner.run_sql(UNSTOPPABLE, Period()))
    assert time.monotonic() - begun < 10


def test_a_process_that_dies_is_unavailable_and_stays_so(runner: SqlRunner) -> None:
    os.kill(runner.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="ended before its answer"):
            runner.run_sql("SELECT 1", Period())


def test_closing_ends_whoever_waits_and_the_process(tmp_path: Path) -> None:
    log = make_log(tmp_path / "data")
    runner = SqlRunner(log.layout, log.signer.verifier, SearchLimits(seconds_max=60.0))
    ended: list[Exception] = []

    def search() -> None:
        try:
            slow = "SELECT sum(a.i * b.i) FROM range(9000000) a(i), range(9000000) b(i)"
            rows_of(runner.run_sql(slow, Period()))
        except UnavailableError as error:
            ended.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    runner.close()
    thread.join(20)
    assert not thread.is_alive()
    assert len(ended) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(runner.pid, 0)


def test_what_keeps_it_from_its_work_is_told_as_it_is(tmp_path: Path) -> None:
    log = make_log(tmp_path / "data")
    limits = SearchLimits()
    object.__setattr__(limits, "threads_count", 0)
    with pytest.raises(ConfigError, match="at least 1 thread"):
        SqlRunner(log.layout, log.signer.verifier, limits)
