"""Where events are derived: put on the way here, taken from there, in the same order.

Deriving is two fifths of the work of sealing, so a process of its own may do it, see
``meshtrail.app.deriver``; the sealer does not know which.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol

from meshtrail.sources.derive import derive_payloads
from meshtrail.sources.streams import streams_from_events
from meshtrail.store.blob_files import read_blob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from meshtrail.store.layout import Layout
    from meshtrail.units import LeafIndex


class Deriver(Protocol):
    """Derives the events of a log's entries, which it is given in the order of the log."""

    def open(self, log: str, layout: Layout, stream_events: pa.Table) -> None:
        """Begin where a log ends.

        Args:
            log: its origin.
            layout: where its blobs are.
            stream_events: what ``streams_from_events`` takes, of the whole log.
        """
        ...

    def begin(self, headers: npt.NDArray[np.void], payloads: pa.Array, start: LeafIndex) -> None:
        """Put entries on the way.

        Args:
            headers: ``HEADER_DTYPE``[n].
            payloads: binary[n], what stands behind them.
            start: leaf index of the first.
        """
        ...

    def take(self) -> pa.Table:
        """The events of the entries that are longest on the way: ``CODED_SCHEMA``, n rows.

        Raises:
            MissingFileError: a blob is gone.
            UnavailableError: nobody derives any more.
        """
        ...


class DeriverHere:
    """Derives in this process, when the events are taken."""

    def __init__(self) -> None:
        self._begun: deque[tuple[npt.NDArray[np.void], pa.Array, LeafIndex]] = deque()

    def open(self, log: str, layout: Layout, stream_events: pa.Table) -> None:
        """As ``Deriver.open``."""
        self._derive = partial(
            derive_payloads,
            log=log,
            streams=streams_from_events(stream_events),
            read_blob=partial(read_blob, layout),
        )

    def begin(self, headers: npt.NDArray[np.void], payloads: pa.Array, start: LeafIndex) -> None:
        """As ``Deriver.begin``."""
        self._begun.append((headers, payloads, start))

    def take(self) -> pa.Table:
        """As ``Deriver.take``."""
        headers, payloads, start = self._begun.popleft()
        return self._derive(headers, payloads, start=start)
