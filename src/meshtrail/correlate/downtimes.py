"""When the collector did not run: from the last that came in until it began anew.

Only its own first entry tells of it, and others may come before that one: what an earlier process
left open is closed first, and other processes write of themselves. So those wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate.reporters import KEY_COLUMNS
from meshtrail.model.event import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

_OWN: Final = "meshtrail"
_COLLECT: Final = "collect"


class Downtimes:
    """Finds them in the log, before anything is said of the time that they cover."""

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._waiting: list[pa.Table] = []

    def take(self, events: pa.Table) -> tuple[pa.Table, list[tuple[int, int]]]:
        """Take the next events.

        Args:
            events: the ledger's columns, in the order of the log.

        Returns:
            The events before which the collector is known to have been down or not, in the same
            order, and the downtimes that they show: from, until, on the collector's clock. Before
            the first that came in there is none: nothing can be missing.
        """
        events = pa.concat_tables([*self._waiting, events])
        received = events.column("received_time").to_numpy()
        is_own = pc.is_in(events.column("source"), pa.array([_OWN]))
        came = np.flatnonzero(~is_own.to_numpy())
        begun = np.flatnonzero(_is_beginning(events, is_own))
        found = []
        for row in begun.tolist():
            before = int(np.searchsorted(came, row))
            last_ns = int(received[came[before - 1]]) if before else self._last_ns
            if last_ns is not None:
                found.append((last_ns, int(received[row])))
        if len(came):
            self._last_ns = int(received[came[-1]])
        decided = max((int(rows[-1]) + 1 for rows in (came, begun) if len(rows)), default=0)
        self._waiting = [events.slice(decided)] if decided < events.num_rows else []
        return events.slice(0, decided), found

    def take_waiting(self) -> Iterable[pa.Table]:
        """The events that wait, when nothing more can have come in before them."""
        waiting, self._waiting = self._waiting, []
        return waiting


def _is_beginning(events: pa.Table, is_own: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which events are the first that a collector writes: bool[n]."""
    is_it = pc.and_(is_own, pc.equal(events.column("kind"), Kind.STREAM_OPENED.value))
    is_it = pc.and_(is_it, pc.is_in(events.column("about"), pa.array([_COLLECT])))
    for name in KEY_COLUMNS:
        # A proxy may call itself that, too.
        is_it = pc.and_(is_it, pc.is_null(events.column(name)))
    return is_it
