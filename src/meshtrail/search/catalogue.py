"""The catalogue: which segments a search reads, pinned to one manifest and one checkpoint.

Readers use this list, never a glob. Files that a merge supersedes later stay for 15 minutes, so a
search that is shorter needs no lease.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.errors import DigestError, ManifestError, MissingFileError
from meshtrail.note import Checkpoint, open_checkpoint
from meshtrail.store.checkpoint_files import read_published
from meshtrail.store.manifest_follower import ManifestFollower
from meshtrail.units import TreeSize, UnixNanos

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.note import Verifier
    from meshtrail.search.period import Period
    from meshtrail.store.layout import Layout, RangeFile

_RANGES_KEPT: Final = 1 << 12


@dataclass(frozen=True, slots=True)
class PinnedSegment:
    """A segment, where it lies, and what the manifest says of its bytes."""

    named: RangeFile
    path: Path
    bytes_count: int
    sha256: bytes

    @property
    def entries_count(self) -> int:
        """Entries in it."""
        return self.named.end - self.named.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The segments of ``[0, tree_size)``, by range.

    Attributes:
        checkpoint: the published one; None while nothing was ever sealed.
        tree_size: how much of the log is searched: at most the checkpoint's.
        segments: ascending, without hole or overlap.
    """

    origin: str
    checkpoint: Checkpoint | None
    tree_size: TreeSize
    segments: tuple[PinnedSegment, ...]


def open_catalogue(
    layout: Layout, verifier: Verifier, *, origin: str, manifests: ManifestFollower | None = None
) -> Catalogue:
    """Pin what is searchable now.

    Args:
        layout: of the data directory.
        origin: of its log.
        verifier: the log's key; whether it is trusted or only claimed is the caller's to say.
        manifests: of the same log, for who looks often: what it has read is not read again.

    Raises:
        SignatureError, ManifestError, NoteSyntaxError, ManifestSyntaxError: what the directory says
        of
            itself does not hold.
    """
    # The checkpoint is read after the manifest: it only grows, so it covers the manifest but for
    # the moment between the two writes of a commit, and then the files tell what it covers.
    manifests = manifests or ManifestFollower(layout, verifier, origin=origin)
    pinned = manifests.read()
    note = read_published(layout)
    if pinned is None or note is None:
        return Catalogue(origin=origin, checkpoint=None, tree_size=TreeSize(0), segments=())
    checkpoint = open_checkpoint(note, verifier, origin=origin)
    tree_size = TreeSize(min(pinned.manifest.tree_size, checkpoint.tree_size))
    files = [file for file in pinned.live.folder("segments") if file.named.end <= tree_size]
    _check_covers([file.named for file in files], tree_size)
    segments = tuple(
        PinnedSegment(file.named, layout.root / file.named.path, file.bytes_count, file.sha256)
        for file in files
    )
    return Catalogue(origin=origin, checkpoint=checkpoint, tree_size=tree_size, segments=segments)


def segments_within(catalogue: Catalogue, period: Period) -> tuple[PinnedSegment, ...]:
    """The segments that can hold entries received within a period, by range.

    ``received_time`` never decreases along the log, so both ends are found by bisection.

    Cost: the footers of O(log n) segments, each read once in the life of the process.
    """
    first, last = 0, len(catalogue.segments)
    from_ns, to_ns = period.from_ns, period.to_ns
    if from_ns is not None:
        first = bisect_left(
            catalogue.segments, from_ns, key=lambda one: read_received_range(one.path)[1]
        )
    if to_ns is not None:
        last = bisect_left(
            catalogue.segments, to_ns, first, key=lambda one: read_received_range(one.path)[0]
        )
    return catalogue.segments[first:last]


def read_received_range(path: Path) -> tuple[UnixNanos, UnixNanos]:
    """First and last ``received_time`` of a segment, from its statistics.

    Raises:
        MissingFileError: it is gone.
        DigestError: it has no such statistics, so it is not a segment that we wrote.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is gone", path=path) from error
    return _read_received_range(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=_RANGES_KEPT)
def _read_received_range(path: Path, *_version: int) -> tuple[UnixNanos, UnixNanos]:
    """As above; a file that was exchanged has another version, so it is read again."""
    try:
        footer = pq.read_metadata(path)
        column = footer.schema.to_arrow_schema().get_field_index("received_time")
        first = footer.row_group(0).column(column).statistics
        last = footer.row_group(footer.num_row_groups - 1).column(column).statistics
        return UnixNanos(int(first.min)), UnixNanos(int(last.max))
    except (pa.ArrowException, OSError, AttributeError, TypeError) as error:
        raise DigestError(f"{path} does not read back as a segment: {error}", path=path) from error


def _check_covers(names: list[RangeFile], tree_size: int) -> None:
    """Raise ManifestError unless the segments cover ``[0, tree_size)`` without hole or overlap."""
    end = 0
    for named in names:
        if named.start != end:
            break
        end = named.end
    if end != tree_size:
        raise ManifestError(
            f"the live segments cover [0, {end}), the log has {tree_size} entries",
            want=tree_size,
            got=end,
        )
