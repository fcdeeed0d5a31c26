"""The newest matches first, without reading what lies behind them.

Entries are read from the newest back, more at a time the longer nothing turns up. Measured on 20
million rows: 36 ms for the latest 100, where one ordered query over all segments takes 690.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import QueryError
from meshtrail.model.event import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from meshtrail.search.catalogue import PinnedSegment
    from meshtrail.search.compile import Where
    from meshtrail.search.engine import Engine

FIRST_ENTRIES: Final = 1 << 16
"""How many entries the first step looks at; each next one looks at 4 times as many."""

_GROWTH: Final = 4


def find_newest(
    engine: Engine,
    segments: Sequence[PinnedSegment],
    where: Where,
    *,
    columns: Sequence[str],
    limit: int,
) -> Iterator[pa.RecordBatch]:
    """The ``limit`` newest entries that a condition holds for, newest first.

    Args:
        engine: one that may read the segments.
        segments: where to look, by range.
        where: from ``compile_query``, the period included.
        columns: column names of the event schema.
        limit: rows at most, 1 or more.

    Raises:
        QueryError: a column that does not exist, or a limit below 1.
        BudgetError, MissingFileError, DigestError: as ``Engine.run``.
    """
    if limit < 1:
        raise QueryError(f"a limit is at least 1, got {limit}")
    for name in columns:
        if name not in BY_NAME:
            raise QueryError(f"no column is called {name!r}")
    selected = ", ".join(f'"{name}"' for name in columns)
    sql = (
        f"SELECT {selected} FROM read_parquet(?) "  # noqa: S608 - names of our own
        f'WHERE "log_index" >= ? AND "log_index" < ? AND {where.sql} '
        'ORDER BY "log_index" DESC LIMIT ?'
    )
    wanted = limit
    for step in _steps(segments):
        for batch in engine.run(sql, [step.paths, step.start, step.end, *where.values, wanted]):
            wanted -= batch.num_rows
            yield batch
        if not wanted:
            return


@dataclass(frozen=True, slots=True)
class _Step:
    """The entries [start, end), and the segments that hold them."""

    paths: list[str]
    start: int
    end: int


def _steps(segments: Sequence[PinnedSegment]) -> Iterator[_Step]:
    """What to read one after the other: ranges of entries, wherever segments end.

    A merged segment is far larger than the first steps. The bounds on ``log_index`` make the engine
    skip its other row groups, which it would otherwise decode to sort them.
    """
    entries_count = FIRST_ENTRIES
    end = segments[-1].named.end if segments else 0
    first = segments[0].named.start if segments else 0
    while end > first:
        start = max(end - entries_count, first)
        inside = [one for one in segments if one.named.start < end and one.named.end > start]
        yield _Step([str(segment.path) for segment in inside], start, end)
        end = start
        entries_count *= _GROWTH
