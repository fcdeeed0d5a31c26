"""Events of a log as plain rows, for questions whose answers are few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import BudgetError
from meshtrail.search.period import Period
from meshtrail.search.plan import SearchRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

Row = dict[str, Any]

ROWS_MAX: Final = 100_000


def quote(text: str) -> str:
    """A text as one value of the query language, so that nothing in it is of the language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def find_rows(
    searcher: Searcher,
    query: str,
    columns: Sequence[str],
    *,
    now_ns: UnixNanos,
    period: Period | None = None,
) -> list[Row]:
    """Every event that a query finds, newest first.

    Args:
        searcher: of the log.
        query: in the query language.
        columns: of the event schema.
        now_ns: the time.
        period: of arrival; all of it when None.

    Raises:
        BudgetError: there are over ``ROWS_MAX``, or a limit of the search was reached.
        TamperError: the directory does not hold what it says.
    """
    request = SearchRequest(
        query=query, columns=tuple(columns), limit=ROWS_MAX + 1, period=period or Period()
    )
    plan = searcher.plan(request, now_ns=now_ns)
    rows = [row for batch in searcher.find(plan) for row in batch.to_pylist()]
    if len(rows) > ROWS_MAX:
        raise BudgetError(
            f"more than {ROWS_MAX:,} entries match {query!r}: they are too many to look at",
            entries_max=ROWS_MAX,
        )
    return rows
