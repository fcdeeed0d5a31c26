"""DuckDB over a folder of segments: one locked-down connection, bounded in time and memory.

What it can reach is that folder: no other file, no extension, no setting; and where the OS allows,
its threads cannot write even there. What a person's SQL may be is ``statement``'s part.
"""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

import duckdb
import pyarrow as pa

from meshtrail.errors import BudgetError, DigestError, MissingFileError, QueryError
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.search.confine import deny_writes
from meshtrail.search.parquet_source import parquet_source, sql_type
from meshtrail.search.statement import VIEW, check_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from meshtrail.search.catalogue import PinnedSegment
    from meshtrail.search.limits import Deadline, SearchLimits
    from meshtrail.search.period import Period

BATCH_ROWS: Final = 4_096
_INTERRUPT_SECONDS: Final = 0.05

R = TypeVar("R")


class Engine:
    """A connection that reads segments of one folder. A context manager; one query at a time.

    Queries run on a thread of their own, so that the clock and Ctrl-C can end them. What it read of
    segments' footers is kept from one query to the next.
    """

    def __init__(self, folder: Path, limits: SearchLimits) -> None:
        """Connect and lock down.

        Args:
            folder: all that can be read lies in it.
            limits: of memory and threads; the time of a query is its deadline's.
        """
        self._limits = limits
        self._in_folder = re.compile(re.escape(f"{folder}/") + r"[0-9-]+\.parquet")
        # DuckDB starts its threads from this one, and they inherit what it may not do.
        self._pool = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="search", initializer=deny_writes
        )
        self._running: Future[Any] | None = None
        self._connection = self._pool.submit(_connect, limits).result()
        try:
            self._pool.submit(self._lock_down, folder).result()
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
        self._stop()
        self._pool.shutdown()
        self._connection.close()

    def run_sql(
        self,
        sql: str,
        segments: Sequence[PinnedSegment],
        period: Period,
        *,
        deadline: Deadline,
    ) -> Iterator[pa.RecordBatch]:
        """Run a person's SQL over the view ``events``.

        Args:
            sql: as it was typed.
            segments: what the view holds.
            period: rows outside it are not in the view.
            deadline: when it has to end.

        Yields:
            Its rows, in batches; at least one batch, so that the columns are known.

        Raises:
            QueryError: it is not one SELECT over ``events``, or it fails.
            BudgetError: a limit was reached.
        """
        paths = [str(segment.path) for segment in segments]
        view = f"CREATE OR REPLACE TEMP VIEW {VIEW} AS {_view_sql(paths, period)}"
        self._call(lambda: self._connection.execute(view), deadline)
        statement = self._call(lambda: check_statement(self._connection, sql), deadline)
        yield from self.run(statement.query, deadline=deadline)

    def run(
        self, sql: str, values: Sequence[object] = (), *, deadline: Deadline
    ) -> Iterator[pa.RecordBatch]:
        """Run SQL that this package wrote, or that ``check_statement`` let through.

        Raises:
            QueryError, BudgetError: as for ``run_sql``.
            MissingFileError, DigestError: a segment is gone, or does not read back.
        """
        bound = list(values) or None
        reader = self._call(
            lambda: self._connection.sql(sql, params=bound).to_arrow_reader(BATCH_ROWS), deadline
        )
        try:
            yield pa.RecordBatch.from_pylist([], schema=reader.schema)
            while (batch := self._call(lambda: next(reader, None), deadline)) is not None:
                yield batch
        finally:
            # A reader that is left open would keep the connection from the next query.
            self._stop()
            self._pool.submit(reader.close).result()

    def _lock_down(self, folder: Path) -> None:
        run = self._connection.execute
        run(f"SET allowed_directories = [{_quote(f'{folder}/')}]")
        run("SET parquet_metadata_cache = true")
        run("SET allow_extension_repositories = 'forbidden'")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")

    def _call(self, call: Callable[[], R], deadline: Deadline) -> R:
        """Run one step on the engine's thread, until the deadline at most."""
        running = self._pool.submit(call)
        self._running = running
        try:
            return running.result(deadline.seconds_left())
        except TimeoutError:
            self._stop()
            raise BudgetError(
                f"the search took longer than its {deadline.seconds_max:g} s: ask for a "
                "shorter period with --from and --to, or allow more with --timeout",
                seconds_max=deadline.seconds_max,
            ) from None
        except KeyboardInterrupt:
            self._stop()
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise self._translated(error) from error

    def _stop(self) -> None:
        """End what runs; the connection can be used again."""
        # An interrupt is lost on a query that has not begun to run, so one may not be enough.
        while self._running is not None and not self._running.done():
            self._connection.interrupt()
            wait([self._running], timeout=_INTERRUPT_SECONDS)

    def _translated(self, error: Exception) -> Exception:
        text = str(error).strip()
        if "Out of Memory Error" in text:
            return BudgetError(
                f"the search needs more than its {self._limits.memory_bytes_max >> 20} MiB of "
                "memory: ask for less, or allow more with --memory",
                memory_bytes_max=self._limits.memory_bytes_max,
            )
        named = self._in_folder.search(text)
        path = named[0] if named else None
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
            f"CAST(NULL AS {sql_type(field.type)}) AS {_name(field.name)}" for field in EVENT_SCHEMA
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
    return f"SELECT {columns} FROM {parquet_source(f'[{files}]')}{where}"  # noqa: S608 - quoted names of our own


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_part(text: str) -> str:
    """The message without DuckDB's drawing of the line."""
    return text.split("\n\n", maxsplit=1)[0]
