"""Merging segments in tiers, so that there are never more than about 200 live files at any rate.

A merge reads live files, checks each against the digest that the manifest names (an edited file
must not come back under a new signature), and writes one pair in their place. Row groups that are
large enough are carried over as they are (docs/adr/0006-row-groups-carried-over.md). It runs beside
the ticks; the sealer commits its result with a later manifest.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.errors import InputError
from meshtrail.store.checked_file import read_checked
from meshtrail.store.durable import DurableWriter, sync_directory, write_file
from meshtrail.store.joined_segment import join_segments, read_join_source
from meshtrail.store.layout import segment_file, tiles_file
from meshtrail.store.manifest import CommittedFile
from meshtrail.store.segment import ROW_GROUP_ROWS, write_segment
from meshtrail.store.tiles import merge_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from meshtrail.store.durable import Disk
    from meshtrail.store.joined_segment import JoinSource
    from meshtrail.store.layout import Layout, RangeFile

TIERS: Final = (1 << 20, 1 << 16, 1 << 12)
"""Entries a merged segment has at least, largest first."""

SEGMENTS_MAX: Final = {1 << 12: 48, 1 << 16: 80, 1 << 20: 96}
"""Neighbouring segments smaller than a tier before they are merged though they do not fill it.

The numbers rise, so that many small segments between a few larger ones are merged among themselves
first, and the larger ones are not rewritten for their sake.
"""

CARRIED_ROWS_MIN: Final = 1 << 13
"""Rows of a row group, on average, from which row groups are carried over as they are.

Each has 17 kB of footer and indexes, however few rows it holds, and looking up an id costs 15 µs
for each: every reader of the result pays for that. Encoding them again costs 8 µs an entry, which
is not missed at the rates that make small ones.
"""

_NICE: Final = 10
"""Lower priority of the merging thread: ticks and senders come first."""


def plan_merge(sizes: Sequence[int]) -> tuple[int, int] | None:
    """Which adjacent segments to merge next.

    Args:
        sizes: entries of each live segment, oldest first.

    Returns:
        Half-open positions of at least two segments; None when there is nothing to do.
    """
    # Only the largest tier is filled as soon as it can be: at high rates the ticks do, so that an
    # entry is written once more and not once for each tier.
    largest = TIERS[0]
    for start, end in _runs_below(largest, sizes):
        for at, entries in enumerate(accumulate(sizes[start:end]), start):
            if entries >= largest:
                return start, at + 1
    for tier in reversed(TIERS):
        for start, end in _runs_below(tier, sizes):
            if end - start >= SEGMENTS_MAX[tier]:
                return start, end
    return None


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge made, durable but named by no manifest yet."""

    files: tuple[CommittedFile, ...]
    dropped: tuple[RangeFile, ...]


def merge_files(
    disk: Disk,
    layout: Layout,
    live: Mapping[RangeFile, CommittedFile],
    ranges: Sequence[RangeFile],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Merged | None:
    """Write one segment and one tiles file in place of several.

    Args:
        disk: the primitive calls.
        layout: the data directory.
        live: the committed files.
        ranges: adjacent segments, in order.
        is_stopping: asked between row groups and every few MiB.

    Returns:
        The new pair; None when it was to stop.

    Raises:
        MissingFileError, DigestError: a live file is gone or was changed.
        DurabilityError: the disk refuses.

    Cost: memory for the largest source file, and for the footers and indexes of all of them if row
    groups are carried over, else for two row groups.
    """
    start, end = ranges[0].start, ranges[-1].end
    named = segment_file(start, end)
    segment = _write_segment(disk, layout, named, [live[part] for part in ranges], is_stopping)
    if segment is None:
        return None
    sources = [tiles_file(part.start, part.end) for part in ranges]
    parts = [(source, read_checked(layout.root, live[source])) for source in sources]
    joined = tiles_file(start, end)
    tiles = CommittedFile(joined, *write_file(disk, layout.root / joined.path, merge_tiles(parts)))
    sync_directory(disk, layout.segments)
    sync_directory(disk, layout.tiles)
    return Merged((segment, tiles), (*ranges, *sources))


class MergeThread:
    """Runs one merge at a time beside the ticks. Owned by the sealer's thread."""

    def __init__(self, disk: Disk, layout: Layout) -> None:
        self._disk = disk
        self._layout = layout
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._merged: Merged | None = None
        self._error: BaseException | None = None

    @property
    def is_running(self) -> bool:
        """Whether a merge was started and its result not taken yet."""
        return self._thread is not None

    def start(self, live: Mapping[RangeFile, CommittedFile], ranges: Sequence[RangeFile]) -> None:
        """Begin to merge adjacent segments."""
        copy = dict(live)
        self._thread = threading.Thread(
            target=self._run, args=(copy, list(ranges)), name="merge", daemon=True
        )
        self._thread.start()

    def take(self, *, is_waiting: bool = False) -> Merged | None:
        """The result of a merge that has ended; None while it runs or when none does.

        Raises:
            Whatever ended the merge: the sealer stops, and the normal start recovers.
        """
        if self._thread is None or (self._thread.is_alive() and not is_waiting):
            return None
        self._thread.join()
        self._thread = None
        merged, error = self._merged, self._error
        self._merged = self._error = None
        if error is not None:
            raise error
        return merged

    def stop(self) -> None:
        """End a running merge without its result.

        It must not write on when the next sealer has begun: that one merges the same segments,
        under the same name.
        """
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, live: Mapping[RangeFile, CommittedFile], ranges: Sequence[RangeFile]) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            self._merged = merge_files(
                self._disk, self._layout, live, ranges, is_stopping=self._stopping.is_set
            )
        except BaseException as error:  # noqa: BLE001 - handed over and raised by take
            self._error = error


def _runs_below(tier: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where neighbouring segments are all smaller than a tier: half-open positions."""
    start = 0
    for at, size in enumerate([*sizes, tier]):
        if size >= tier:
            if at > start:
                yield start, at
            start = at + 1


def _write_segment(
    disk: Disk,
    layout: Layout,
    named: RangeFile,
    sources: Sequence[CommittedFile],
    is_stopping: Callable[[], bool],
) -> CommittedFile | None:
    """Write one segment in place of several; None when it was to stop."""
    parts = _parts_to_carry(layout, sources, named.end - named.start, is_stopping)
    # What cannot be carried over can still be read and encoded again: segments of before and after
    # an update of pyarrow, for one.
    with suppress(InputError):
        if parts:
            with DurableWriter(disk, layout.root / named.path) as writer:
                join_segments(writer, layout.root, parts, is_stopping=is_stopping)
                return None if is_stopping() else CommittedFile(named, *writer.commit())
    with DurableWriter(disk, layout.root / named.path) as writer:
        tables = takewhile(lambda _: not is_stopping(), _read_tables(layout, sources))
        write_segment(writer, tables, named.end - named.start)
        return None if is_stopping() else CommittedFile(named, *writer.commit())


def _parts_to_carry(
    layout: Layout,
    sources: Sequence[CommittedFile],
    rows_count: int,
    is_stopping: Callable[[], bool],
) -> list[JoinSource]:
    """The sources, if their row groups are large enough; none if not, or when it was to stop."""
    parts: list[JoinSource] = []
    for source in sources:
        if is_stopping():
            return []
        parts.append(read_join_source(layout.root, source))
    groups_count = sum(part.row_groups_count for part in parts)
    return parts if rows_count >= groups_count * CARRIED_ROWS_MIN else []


def _read_tables(layout: Layout, sources: Sequence[CommittedFile]) -> Iterator[pa.Table]:
    for source in sources:
        data = read_checked(layout.root, source)
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS, use_threads=False):
                yield pa.Table.from_batches([batch])
