"""Events in the order of the log, as they are published: for what reads all of them.

Nothing is looked for, so no query engine: the columns that are asked for, row group by row group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from meshtrail.errors import DigestError, MissingFileError
from meshtrail.search.catalogue import open_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from meshtrail.note import Verifier
    from meshtrail.search.catalogue import PinnedSegment
    from meshtrail.store.layout import Layout
    from meshtrail.store.manifest_follower import ManifestFollower

ROWS_AT_ONCE: Final = 1 << 16


class EventReader:
    """Reads a log from some entry on.

    Args:
        layout: of the data directory.
        verifier: the log's key.
        origin: of the log.
        columns: of the event schema.
        texts: those of them that are wanted as dictionaries: few distinct values, read once.
        manifests: of the same log; what it has read is not read again.

    Attributes:
        position: leaf index of the next row to read; may be set.
    """

    def __init__(
        self,
        layout: Layout,
        verifier: Verifier,
        *,
        origin: str,
        columns: Sequence[str],
        texts: Sequence[str] = (),
        manifests: ManifestFollower,
    ) -> None:
        self.position = 0
        self._layout = layout
        self._verifier = verifier
        self._origin = origin
        self._columns = list(columns)
        self._texts = list(texts)
        self._manifests = manifests

    def segments(self) -> tuple[PinnedSegment, ...]:
        """The segments of what is published now, by range.

        Raises:
            TamperError, InputError: what the directory says of itself does not hold.
        """
        return open_catalogue(
            self._layout, self._verifier, origin=self._origin, manifests=self._manifests
        ).segments

    def read_new(self) -> Iterator[pa.Table]:
        """The rows that were published since the last call, in tables of bounded size.

        Raises:
            MissingFileError: a segment is gone; merged and removed, if this took a quarter of an
                hour.
            DigestError: a segment does not read back.
        """
        for segment in self.segments():
            if segment.named.end <= self.position:
                continue
            yield from self.read_segment(segment)

    def read_segment(self, segment: PinnedSegment) -> Iterator[pa.Table]:
        """The rows of a segment from ``position`` on, which goes on with them."""
        row = segment.named.start
        try:
            with pq.ParquetFile(segment.path, read_dictionary=self._texts) as file:
                for at in range(file.num_row_groups):
                    count = file.metadata.row_group(at).num_rows
                    if row + count > self.position:
                        table = file.read_row_group(at, columns=self._columns, use_threads=False)
                        yield from self._parts(table, row)
                    row += count
        except FileNotFoundError as error:
            raise MissingFileError(f"{segment.path} is gone", path=segment.path) from error
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(segment.path, error) from error

    def _parts(self, table: pa.Table, first: int) -> Iterator[pa.Table]:
        table = table.select(self._columns)
        for start in range(max(self.position - first, 0), table.num_rows, ROWS_AT_ONCE):
            part = table.slice(start, ROWS_AT_ONCE)
            self.position = first + start + part.num_rows
            yield part


def find_newest(
    reader: EventReader, holds: pc.Expression, columns: Sequence[str]
) -> dict[str, object] | None:
    """The newest event that a condition holds for; None when there is none.

    Cost: the segments behind it are read, newest first.
    """
    for segment in reversed(reader.segments()):
        try:
            found = pq.read_table(segment.path, columns=list(columns), filters=holds)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(segment.path, error) from error
        if found.num_rows:
            newest: dict[str, object] = found.slice(found.num_rows - 1).to_pylist()[0]
            return newest
    return None


def find_all(
    reader: EventReader, holds: pc.Expression, columns: Sequence[str], *, from_index: int
) -> pa.Table:
    """The events that a condition holds for, in segments from an entry on."""
    found = []
    for segment in reader.segments():
        if segment.named.end > from_index:
            try:
                found.append(pq.read_table(segment.path, columns=list(columns), filters=holds))
            except (pa.ArrowException, OSError) as error:
                raise _unreadable(segment.path, error) from error
    return pa.concat_tables(found)


def _unreadable(path: Path, error: Exception) -> DigestError:
    return DigestError(f"{path} does not read back as a segment: {error}", path=path)
