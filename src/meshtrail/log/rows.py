"""New entries to the rows of a segment and to tiles, some at a time, each some ahead of its use."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from meshtrail.merkle import hash_leaves
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.store.segment import ROW_GROUP_ROWS
from meshtrail.store.tiles import encode_tiles
from meshtrail.units import LeafIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    import pyarrow as pa

    from meshtrail.merkle import Frontier


class NewRows:
    """The rows that new entries become.

    Attributes:
        tiles: the tiles file of their leaves; there when all rows were taken.
    """

    def __init__(
        self,
        entries: pa.Array,
        tree: Frontier,
        derive: Callable[[pa.Array, LeafIndex], pa.Table],
    ) -> None:
        """Take what there is to do.

        Args:
            entries: binary[n], whole entries in the order of the log.
            tree: the tree before them; gets their leaves when all rows were taken.
            derive: the events of some of them, from the leaf index of the first.
        """
        self._entries = entries
        self._tree = tree
        self._derive = derive
        self.tiles = b""

    def make(self) -> Iterator[pa.Table]:
        """Tables of ``SEGMENT_SCHEMA``, as many rows at once as one row group takes.

        A sender can put millions of empty records into one message, and what is made of a record
        takes a hundred times its memory. Leaves are hashed after their rows were given out.
        """
        start = self._tree.size
        leaf_hashes = []
        for first in range(0, len(self._entries), ROW_GROUP_ROWS):
            part = self._entries.slice(first, ROW_GROUP_ROWS)
            events = self._derive(part, LeafIndex(start + first))
            yield events.append_column(SEGMENT_SCHEMA.field("entry"), part)
            leaf_hashes.append(hash_leaves(_slices(part)))
        row = b"".join(leaf_hashes)
        self.tiles = encode_tiles(row, self._tree.extend(row))


def one_ahead(rows: Iterator[pa.Table], beside: Executor) -> Iterator[pa.Table]:
    """Rows, of which the next are made while those before are used.

    Deriving and hashing hold the interpreter most of the time, encoding does not: in two threads
    they take little longer than the longer of them.
    """
    following = beside.submit(next, rows, None)
    while (table := following.result()) is not None:
        following = beside.submit(next, rows, None)
        yield table


def _slices(entries: pa.Array) -> list[memoryview]:
    """The bytes of each entry, without a copy."""
    _, offsets, data = entries.buffers()
    ends = memoryview(offsets).cast("i")[entries.offset : entries.offset + len(entries) + 1]
    view = memoryview(data)
    return [view[start:end] for start, end in pairwise(ends)]
