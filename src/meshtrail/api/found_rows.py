"""The rows of one search, batch by batch, up to as many as were asked for.

Used on the thread of the searcher that they come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from meshtrail.api.row_forms import AnswerFacts


class FoundRows:
    """Rows that are being read.

    Attributes:
        facts: what they rest on.
        schema: their columns.
        found: how many were given out.
        has_more: whether there was one more than was asked for.
    """

    def __init__(
        self, facts: AnswerFacts, batches: Iterator[pa.RecordBatch], *, limit: int
    ) -> None:
        """Read the first batch, so that what cannot be read is an error before the first byte.

        Args:
            facts: what they rest on.
            batches: the rows, and those beyond the limit; at least one batch.
            limit: how many are given out.
        """
        self.facts = facts
        self.found = 0
        self.has_more = False
        self._batches = batches
        self._limit = limit
        first: pa.RecordBatch = next(batches)
        self._first: pa.RecordBatch | None = first
        self.schema = first.schema

    def read(self) -> pa.RecordBatch | None:
        """The next rows; None at the end."""
        batch, self._first = self._first, None
        if batch is None and not self.has_more:
            batch = next(self._batches, None)
        if batch is None:
            return None
        left = self._limit - self.found
        if batch.num_rows > left:
            self.has_more = True
            batch = batch.slice(0, left)
        self.found += batch.num_rows
        return batch

    def close(self) -> None:
        """Read no more."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()
