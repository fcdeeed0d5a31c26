"""New entries to the rows of a segment and to tiles, some at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.errors import DurabilityError
from meshtrail.merkle import hash_leaves
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.store.segment import ROW_GROUP_ROWS
from meshtrail.store.tiles import encode_tiles
from meshtrail.units import LeafIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from meshtrail.log.deriving import Deriver
    from meshtrail.log.intake import EntryBatch
    from meshtrail.merkle import Frontier

ROWS_AT_ONCE: Final = 4 * ROW_GROUP_ROWS
"""Each call of deriving costs 10 ms and more, however few its rows; 65,536 rows take 50 MB."""


class NewRows:
    """The rows that new entries become.

    Attributes:
        count: how many.
        tiles: the tiles file of their leaves; there when all rows were made.
    """

    def __init__(self, batch: EntryBatch, start: LeafIndex, deriver: Deriver) -> None:
        """Begin to derive the first of them.

        Args:
            batch: at least one entry.
            start: leaf index of the first.
            deriver: all that was begun before has been taken when rows are made.
        """
        self.count = len(batch.entries)
        self.tiles = b""
        self._batch = batch
        self._start = start
        self._deriver = deriver
        self._begin(0)

    def make(self, tree: Frontier, *, on_turn: Callable[[], object]) -> Iterator[pa.Table]:
        """The rows as ``write_segment`` takes them, in tables of at most ``ROWS_AT_ONCE``.

        A sender can put millions of empty records into one message, and what is made of a record
        takes a hundred times its memory: of these there are events of two parts at once, no more.
        Leaves are hashed after their rows were given out.

        Args:
            tree: the tree before them; gets their leaves when all rows were taken.
            on_turn: others may be put behind these: called when all of these are on the way, and
                again when the last of them is derived, and nothing of these keeps the deriver busy.

        Raises:
            DurabilityError: the deriver's answer is not about these entries.
        """
        leaf_hashes = []
        for first in range(0, self.count, ROWS_AT_ONCE):
            self._begin(first + ROWS_AT_ONCE)
            is_last = first + ROWS_AT_ONCE >= self.count
            if is_last:
                on_turn()
            part = self._batch.entries.slice(first, ROWS_AT_ONCE)
            events = self._deriver.take()
            if is_last:
                on_turn()
            _check_events(events, LeafIndex(self._start + first), len(part))
            yield events.append_column(SEGMENT_SCHEMA.field("entry"), part)
            leaf_hashes.append(hash_leaves(_slices(part)))
        row = b"".join(leaf_hashes)
        self.tiles = encode_tiles(row, tree.extend(row))

    def _begin(self, first: int) -> None:
        if first < self.count:
            headers = self._batch.headers[first : first + ROWS_AT_ONCE]
            payloads = self._batch.payloads.slice(first, ROWS_AT_ONCE)
            self._deriver.begin(headers, payloads, LeafIndex(self._start + first))


def _check_events(events: pa.Table, start: LeafIndex, count: int) -> None:
    """Return when these are the events of so many entries from ``start`` on.

    Everything else of an event can be derived again; that it stands beside its entry cannot.
    """
    found = events.column("log_index").to_numpy()
    if not np.array_equal(found, np.arange(start, start + count)):
        raise DurabilityError(
            f"events of {len(found)} entries were derived that are not entries {start} to "
            f"{start + count - 1}; none was sealed",
            start=start,
        )


def _slices(entries: pa.Array) -> list[memoryview]:
    """The bytes of each entry, without a copy."""
    _, offsets, data = entries.buffers()
    ends = memoryview(offsets).cast("i")[entries.offset : entries.offset + len(entries) + 1]
    view = memoryview(data)
    return [view[start:end] for start, end in pairwise(ends)]
