"""Which rows of which segments a worker examines at a time.

Pieces are whole row groups, small enough that a worker's memory stays bounded and both cores stay
busy, large enough that opening a file again does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.errors import EventError
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.verify.leaves import Piece

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.store.layout import RangeFile

PIECE_ROWS: Final = 65_536
PIECE_BYTES: Final = 64 << 20
"""Uncompressed bytes of entries in a piece, unless a single row group has more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PiecePlan:
    """What is the same for every piece of one audit.

    Attributes:
        start, end: the leaves to examine.
    """

    root: Path
    origin: str
    start: int
    end: int
    is_deep: bool

    def unread(self, named: RangeFile, start: int) -> Piece:
        """The leaves of a segment that cannot be read, as a piece without rows."""
        return self._piece(named, max(start, named.start), min(named.end, self.end), (), 0)

    def vanished(self, named: RangeFile, start: int) -> Piece:
        """The leaves of a segment that went away just now; its worker finds that too."""
        return self._piece(named, max(start, named.start), min(named.end, self.end), (0,), 0)

    def cut(self, named: RangeFile, start: int) -> list[Piece]:
        """The pieces of a segment from a leaf on.

        Raises:
            EventError: it has not as many rows as its name says, or other columns.
            FileNotFoundError: it is gone.
        """
        groups = _row_groups(self.root / named.path, named)
        pieces: list[Piece] = []
        for rows in _gather(groups):
            first = max(rows[0].start, start, self.start)
            last = min(rows[-1].end, self.end)
            if first < last:
                skip = first - rows[0].start
                numbers = tuple(group.number for group in rows)
                pieces.append(self._piece(named, first, last, numbers, skip))
        return pieces

    def _piece(
        self, named: RangeFile, start: int, end: int, groups: tuple[int, ...], skip: int
    ) -> Piece:
        return Piece(
            path=str(self.root / named.path),
            name=named.path,
            start=start,
            end=end,
            row_groups=groups,
            skip=skip,
            origin=self.origin,
            is_deep=self.is_deep,
        )


@dataclass(frozen=True, slots=True)
class _RowGroup:
    """A row group with the leaves that it holds."""

    number: int
    start: int
    end: int
    entry_bytes: int


def _row_groups(path: Path, named: RangeFile) -> list[_RowGroup]:
    try:
        footer = pq.read_metadata(path)
        schema = footer.schema.to_arrow_schema()
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise EventError(
            f"{named.path} is no Parquet file, although it is the file that the manifest names: "
            f"{str(error)[:200]}",
            path=named.path,
        ) from error
    if not schema.equals(SEGMENT_SCHEMA, check_metadata=False):
        raise EventError(
            f"{named.path} has other columns than docs/formats/event.md", path=named.path
        )
    groups, start = [], named.start
    entry_column = footer.num_columns - 1
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        end = start + group.num_rows
        length = group.column(entry_column).total_uncompressed_size
        groups.append(_RowGroup(number, start, end, length))
        start = end
    if start != named.end:
        raise EventError(
            f"{named.path} has {start - named.start} rows, its name says {named.end - named.start}",
            path=named.path,
            want=named.end - named.start,
            got=start - named.start,
        )
    return groups


def _gather(groups: list[_RowGroup]) -> Iterator[list[_RowGroup]]:
    """Adjacent row groups, together at most a piece."""
    waiting: list[_RowGroup] = []
    for group in groups:
        rows = sum(one.end - one.start for one in [*waiting, group])
        length = sum(one.entry_bytes for one in [*waiting, group])
        if waiting and (rows > PIECE_ROWS or length > PIECE_BYTES):
            yield waiting
            waiting = []
        waiting.append(group)
    if waiting:
        yield waiting
