"""DuckDB over a pinned list of segments: one locked-down connection, bounded in time and memory.

What it can reach is exactly the segments of the list: no other file, no extension, no setting; and
where the OS allows, its threads cannot write even those. What a person's SQL may be is
``statement``'s part.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

import duckdb
import pyarrow as pa

from meshtrail.errors import BudgetError, DigestError, MissingFileError, QueryError
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.search.confine import deny_writes
from meshtrail.search.statement import VIEW, check_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from meshtrail.search.catalogue import PinnedSegment
    from meshtrail.search.compile import Period
    from meshtrail.search.limits import SearchLimits

BATCH_ROWS: Final = 4_096
_INTERRUPT_SECONDS: Final = 0.05

R = TypeVar("R")


class Engine:
    """A connection to some segments. Use it as a context manager; one query at a time.

    Queries run on a thread of their own, so that the clock and Ctrl-C can end them: the wait for
    their result ends at once, and ``close`` ends the query itself.
    """

    def __init__(
        self, segments: Sequence[PinnedSegment], period: Period, limits: SearchLimits
    ) -> None:
        """Connect, lock down, and make the view ``events`` over the segments.

        Args:
            segments: all that can be read.
            period: rows outside it are not in the view.
            limits: the time starts to run now.
        """
        self._limits = limits
        self._deadline = time.monotonic() + limits.seconds_max
        self._paths = [str(segment.path) for segment in segments]
        # DuckDB starts its threads from this one, and they inherit what it may not do.
        self._pool = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="search", initializer=deny_writes
        )
        self._running: Future[Any] | None = None
        self._connection = self._pool.submit(_connect, limits).result()
        try:
            self._call(lambda: self._lock_down(period))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop what runs and let go of the files."""
        # An interrupt is lost on a query that has not begun to run, so one may not be enough.
        while self._running is not None and not self._running.done():
            self._connection.interrupt()
            wait([self._running], timeout=_INTERRUPT_SECONDS)
        self._pool.shutdown()
        self._connection.close()

    def run_sql(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Run a person's SQL.

        Yields:
            Its rows, in batches; at least one batch, so that the columns are known.

        Raises:
            QueryError: it is not one SELECT over ``events``, or it fails.
            BudgetError: a limit was reached.
        """
        statement = self._call(lambda: check_statement(self._connection, sql))
        return self.run(statement.query)

    def run(self, sql: str, values: Sequence[object] = ()) -> Iterator[pa.RecordBatch]:
        """Run SQL that this package wrote, or that ``check_statement`` let through.

        Raises:
            QueryError, BudgetError: as for ``run_sql``.
            MissingFileError, DigestError: a segment is gone, or does not read back.
        """
        bound = list(values) or None
        reader = self._call(
            lambda: self._connection.sql(sql, params=bound).to_arrow_reader(BATCH_ROWS)
        )
        try:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            while (batch := self._call(lambda: next(reader, None))) is not None:
                yield batch
        finally:
            if self._running is None or self._running.done():
                reader.close()

    def _lock_down(self, period: Period) -> None:
        run = self._connection.execute
        run(f"CREATE VIEW {VIEW} AS {_view_sql(self._paths, period)}")
        run(f"SET allowed_paths = [{', '.join(map(_quote, self._paths))}]")
        # Each step of a search reads the same footers again.
        run("SET parquet_metadata_cache = true")
        run("SET allow_extension_repositories = 'forbidden'")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")

    def _call(self, call: Callable[[], R]) -> R:
        """Run one step on the engine's thread, until the deadline at most."""
        running = self._pool.submit(call)
        self._running = running
        try:
            return running.result(max(self._deadline - time.monotonic(), 0))
        except TimeoutError:
            raise BudgetError(
                f"the search took longer than its {self._limits.seconds_max:g} s: ask for a "
                "shorter period with --from and --to, or allow more with --timeout",
                seconds_max=self._limits.seconds_max,
            ) from None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> Exception:
        text = str(error).strip()
        if "Out of Memory Error" in text:
            return BudgetError(
                f"the search needs more than its {self._limits.memory_bytes_max >> 20} MiB of "
                "memory: ask for less, or allow more with --memory",
                memory_bytes_max=self._limits.memory_bytes_max,
            )
        path = next((path for path in self._paths if path in text), None)
        if path is not None and "No files found" in text:
            return MissingFileError(
                f"{path} is gone; `meshtrail verify` says what else is", path=path
            )
        if path is not None or isinstance(error, duckdb.IOException):
            return DigestError(
                f"a segment does not read back; `meshtrail verify` names it: {_first_part(text)}",
                path=path,
            )
        return QueryError(f"SQL: {_first_part(text)}")


def _connect(limits: SearchLimits) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        ":memory:",
        config={
            "threads": limits.threads_count,
            "memory_limit": f"{limits.memory_bytes_max >> 20}MiB",
            # Nothing of the evidence is copied to places that nobody looks after.
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            # Without it SQL could read any Arrow table that a Python variable happens to hold.
            "python_enable_replacements": False,
        },
    )


def _view_sql(paths: Sequence[str], period: Period) -> str:
    """The event columns and nothing else: the entries are not for SQL."""
    if not paths:
        nothing = ", ".join(
            f"CAST(NULL AS {_sql_type(field.type)}) AS {_name(field.name)}"
            for field in EVENT_SCHEMA
        )
        return f"SELECT {nothing} WHERE FALSE"
    columns = ", ".join(map(_name, EVENT_SCHEMA.names))
    conditions = [
        f'"received_time" {comparison} {moment:d}'
        for moment, comparison in ((period.from_ns, ">="), (period.to_ns, "<"))
        if moment is not None
    ]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    files = ", ".join(map(_quote, paths))
    return f"SELECT {columns} FROM read_parquet([{files}]){where}"  # noqa: S608 - quoted names of our own


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_string(kind):
        return "VARCHAR"
    if pa.types.is_fixed_size_binary(kind):
        return "BLOB"
    return "INTEGER" if pa.types.is_int32(kind) else "BIGINT"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_part(text: str) -> str:
    """The message without DuckDB's drawing of the line."""
    return text.split("\n\n", maxsplit=1)[0]
