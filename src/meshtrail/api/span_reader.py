"""What matches in the next span of a log, oldest first: how a live tail goes on.

A span is bounded in entries and in bytes, so a reader that is a million entries behind costs no
more memory than one that keeps up, and gives its searcher back between two spans.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from meshtrail.search.find import find_oldest
from meshtrail.search.json_lines import format_json_lines
from meshtrail.search.plan import plan_search
from meshtrail.units import TreeSize

if TYPE_CHECKING:
    import pyarrow as pa

    from meshtrail.search.catalogue import Catalogue
    from meshtrail.search.plan import SearchRequest
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

SPAN_ENTRIES: Final = 1 << 16
SPAN_BYTES: Final = 1 << 20
PINNED_SECONDS_MAX: Final = 60.0
"""Files of an older manifest stay for 15 minutes; one minute is well within."""

_INDEX: Final = "log_index"


@dataclass(frozen=True, slots=True)
class Span:
    """What was found in the entries [start, end).

    Attributes:
        rows: (log_index, JSON object) in the order of the log.
        end: where to go on.
    """

    rows: list[tuple[int, str]]
    end: int


class SpanReader:
    """Reads one log for live tails, one span at a time. Used on the thread of one searcher.

    Catalogues are kept until the log grows: many tails read the same one.
    """

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._pinned_s = 0.0

    def read(
        self,
        searcher: Searcher,
        request: SearchRequest,
        *,
        start: int,
        tree_size: int,
        now_ns: UnixNanos,
    ) -> Span:
        """Read on.

        Args:
            searcher: what searches.
            request: what is looked for; its limit does not count.
            start: the first entry to look at.
            tree_size: how far the log is published, at least.
            now_ns: what relative times count back from.

        Raises:
            QueryError, BudgetError, TamperError: as for a search.
        """
        catalogue = self._pin(searcher, tree_size)
        end = min(catalogue.tree_size, start + SPAN_ENTRIES)
        cut = replace(catalogue, tree_size=TreeSize(end))
        asked = request.columns
        if asked and _INDEX not in asked:
            request = replace(request, columns=(*asked, _INDEX))
        plan = plan_search(request, cut, now_ns=now_ns, start=start)
        rows: list[tuple[int, str]] = []
        bytes_count = 0
        batches = find_oldest(searcher.engine, plan, searcher.start())
        try:
            for batch in batches:
                found = _format(batch, asked)
                rows += found
                bytes_count += sum(len(text) for _, text in found)
                if bytes_count > SPAN_BYTES:
                    return Span(rows, rows[-1][0] + 1)
        finally:
            batches.close()  # type: ignore[attr-defined] # a generator
        return Span(rows, end)

    def _pin(self, searcher: Searcher, tree_size: int) -> Catalogue:
        is_old = time.monotonic() - self._pinned_s > PINNED_SECONDS_MAX
        if self._catalogue is None or is_old or self._catalogue.tree_size < tree_size:
            self._pinned_s = time.monotonic()
            self._catalogue = searcher.pin()
        return self._catalogue


def _format(batch: pa.RecordBatch, asked: tuple[str, ...]) -> list[tuple[int, str]]:
    indexes = batch.column(_INDEX).to_pylist()
    shown = batch.select(list(asked)) if asked else batch
    return list(zip(indexes, format_json_lines(shown), strict=True))
