"""Rows that wait for their window of time to be complete."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt


class Rows(NamedTuple):
    """Rows of the log.

    Attributes:
        table: events.
        tolerance_ns: int64[n], how far the clock of each one's reporter may be from another's.
    """

    table: pa.Table
    tolerance_ns: npt.NDArray[np.int64]

    def cut(self, start: int, end: int) -> Rows:
        """Some of the rows."""
        return Rows(self.table.slice(start, end - start), self.tolerance_ns[start:end])


class Pending:
    """Rows by time of arrival, taken out window by window."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Rows, npt.NDArray[np.int64]]] = deque()

    @property
    def first_ns(self) -> int | None:
        """When the first one arrived."""
        return int(self._waiting[0][1][0]) if self._waiting else None

    def add(self, rows: Rows) -> None:
        """Add rows that arrived after all that wait."""
        if rows.table.num_rows:
            self._waiting.append((rows, rows.table.column("received_time").to_numpy()))

    def take_until(self, received_ns: int) -> Rows | None:
        """Take out what arrived before a moment; None if nothing did."""
        taken: list[Rows] = []
        while self._waiting and self._waiting[0][1][0] < received_ns:
            rows, received = self._waiting.popleft()
            at = int(np.searchsorted(received, received_ns))
            taken.append(rows.cut(0, at))
            if at < len(received):
                self._waiting.appendleft((rows.cut(at, len(received)), received[at:]))
        if not taken:
            return None
        # Tables of one log differ at most in which texts stand in a dictionary.
        table = pa.concat_tables([rows.table for rows in taken]).unify_dictionaries()
        return Rows(table, np.concatenate([rows.tolerance_ns for rows in taken]))
