"""Entries out of segments, by index, for clients that read one bundle after the other.

A row group is decoded once for the 64 bundles in it: the last few are kept, within a bound.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.errors import DigestError, ManifestError, MissingFileError
from meshtrail.merkle import TILE_WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from meshtrail.store.layout import RangeFile

KEPT_BYTES_MAX: Final = 64 << 20

_COLUMN: Final = "entry"
_PAGE_BYTES: Final = 1 << 20
_FOOTERS_MAX: Final = 64


class EntryReader:
    """Reads the segments of one data directory. Any number of threads may use it."""

    def __init__(self, root: Path, *, kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._root = root
        self._kept_bytes_max = kept_bytes_max
        self._kept: OrderedDict[tuple[RangeFile, int], pa.Array] = OrderedDict()
        self._footers: OrderedDict[RangeFile, Any] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, segments: Sequence[RangeFile], start: int, end: int) -> list[bytes]:
        """The entries [start, end).

        Args:
            segments: the live ones, by range.
            start: index of the first entry.
            end: index after the last.

        Raises:
            ManifestError: the segments do not cover them.
            MissingFileError, DigestError: one is gone, or does not read back.
        """
        entries: list[bytes] = []
        for named in segments:
            if named.start < end and start < named.end:
                entries += self._read_segment(named, max(start, named.start), min(end, named.end))
        if len(entries) != end - start:
            raise ManifestError(
                f"the live segments have {len(entries)} of the entries [{start}, {end})",
                want=end - start,
                got=len(entries),
            )
        return entries

    def _read_segment(self, named: RangeFile, start: int, end: int) -> list[bytes]:
        try:
            footer = self._read_footer(named)
            return [
                entry
                for group, first, last in _groups(footer, named.start, start, end)
                for entry in self._read_group(footer, named, group, first, last)
            ]
        except FileNotFoundError as error:
            raise MissingFileError(f"{named.path} is gone", path=named.path) from error
        except (pa.ArrowException, OSError, KeyError, TypeError) as error:
            raise DigestError(
                f"{named.path} does not read back: {error}", path=named.path
            ) from error

    def _read_footer(self, named: RangeFile) -> Any:  # noqa: ANN401 - pyarrow has no types
        with self._lock:
            if (kept := self._footers.get(named)) is not None:
                self._footers.move_to_end(named)
                return kept
        footer = pq.read_metadata(self._root / named.path)
        with self._lock:
            self._footers[named] = footer
            if len(self._footers) > _FOOTERS_MAX:
                self._footers.popitem(last=False)
        return footer

    def _read_group(
        self,
        footer: Any,  # noqa: ANN401 - pyarrow has no types
        named: RangeFile,
        group: int,
        first: int,
        last: int,
    ) -> list[Any]:
        """Rows [first, last) of a row group."""
        key = (named, group)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
        if kept is None:
            column = footer.schema.to_arrow_schema().get_field_index(_COLUMN)
            bytes_count = footer.row_group(group).column(column).total_uncompressed_size
            path = self._root / named.path
            with pq.ParquetFile(path, metadata=footer, buffer_size=_PAGE_BYTES) as file:
                if bytes_count > self._kept_bytes_max:
                    return _stream_rows(file, group, first, last)
                table = file.read_row_group(group, columns=[_COLUMN], use_threads=False)
            kept = table.column(0).combine_chunks()
            self._keep(key, kept)
        rows: list[Any] = kept.slice(first, last - first).to_pylist()
        return rows

    def _keep(self, key: tuple[RangeFile, int], rows: pa.Array) -> None:
        with self._lock:
            self._kept[key] = rows
            while sum(kept.nbytes for kept in self._kept.values()) > self._kept_bytes_max:
                self._kept.popitem(last=False)


def _groups(
    footer: Any,  # noqa: ANN401 - pyarrow has no types
    offset: int,
    start: int,
    end: int,
) -> Iterator[tuple[int, int, int]]:
    """The row groups that hold entries [start, end), and which of their rows."""
    at = offset
    for group in range(footer.num_row_groups):
        until = at + footer.row_group(group).num_rows
        if at < end and start < until:
            yield group, max(start, at) - at, min(end, until) - at
        at = until


def _stream_rows(file: Any, group: int, first: int, last: int) -> list[Any]:  # noqa: ANN401 - as above
    """Some rows of a row group too large to hold, a bundle's worth at a time."""
    rows: list[Any] = []
    at = 0
    batches = file.iter_batches(
        batch_size=TILE_WIDTH, row_groups=[group], columns=[_COLUMN], use_threads=False
    )
    for batch in batches:
        until = at + batch.num_rows
        if at < last and first < until:
            begin = max(first, at) - at
            rows += batch.column(0).slice(begin, min(last, until) - at - begin).to_pylist()
        if until >= last:
            break
        at = until
    return rows
