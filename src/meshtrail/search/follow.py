"""Follows a search: what was published since the last look, oldest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.search.find import find_oldest
from meshtrail.search.plan import plan_search

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from meshtrail.search.plan import SearchRequest
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

ENTRIES_AT_ONCE: Final = 1 << 16
"""Matches are sorted in memory, and whoever comes back after a pause may find millions."""


class Follower:
    """Reads a log as it grows. Nothing is lost or repeated: the log itself is the queue.

    Attributes:
        size: entries before it were looked at.
    """

    def __init__(
        self, searcher: Searcher, request: SearchRequest, *, from_size: int | None = None
    ) -> None:
        """Begin at an entry.

        Args:
            searcher: what searches the log.
            request: what is looked for; its limit does not count here.
            from_size: the first entry to look at; None begins behind what is published now.
        """
        self._searcher = searcher
        self._request = request
        self.size = searcher.pin().tree_size if from_size is None else from_size

    def read_new(self, *, now_ns: UnixNanos) -> Iterator[pa.RecordBatch]:
        """What was published since the last call and matches, oldest first.

        Args:
            now_ns: what relative times in the query count back from.

        Raises:
            QueryError, BudgetError, TamperError: as for a search.
        """
        catalogue = self._searcher.pin()
        while self.size < catalogue.tree_size:
            end = min(self.size + ENTRIES_AT_ONCE, catalogue.tree_size)
            plan = plan_search(self._request, catalogue, now_ns=now_ns, start=self.size, end=end)
            yield from find_oldest(self._searcher.engine, plan, self._searcher.start())
            self.size = end
