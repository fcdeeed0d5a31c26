"""The deep audit: every event is derived from its entry again and compared, column by column.

A worker needs to know the senders of the streams that are open where its piece begins, and how far
their clocks were said to be off. The parent follows both in the order of the log and sends that
along with each piece. A sample of entries is
decoded a second time by another decoder, so that a mistake of the first does not excuse itself.
"""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.errors import EntryFormatError, EventError, MeshtrailError, MissingFileError
from meshtrail.model.entry import HEADER_BYTES, EntryType, decode_header
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.derive import derive_events, read_headers
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex
from meshtrail.verify.blob_references import find_references
from meshtrail.verify.findings import Finding, PieceFindings, noted, tampered
from meshtrail.verify.leaves import Piece, event_finding, read_rows
from meshtrail.verify.untrusted import read_beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from meshtrail.verify.findings import Findings
    from meshtrail.verify.workers import Pending, Workers

SAMPLE_EVERY: Final = 1000
"""One entry in so many is decoded by the second decoder too."""
SAMPLE_MIN: Final = 100
"""So many at least, in a log that has them."""

BLOB_BYTES_MAX: Final = 1 << 30

SLICE_BYTES: Final = 16 << 20
"""Bytes of entries and of the blobs that they name that are derived at once, unless a single entry
has more. A piece is bounded by its entries alone, and each of them can name a blob of megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Which entries the second decoder decodes: every ``every``-th from ``first``."""

    first: int
    every: int

    def rows(self, start: int, count: int) -> range:
        """The chosen rows among ``count`` from leaf ``start``."""
        return range((self.first - start) % self.every, count, self.every)


@dataclass(frozen=True, slots=True)
class DeepTask:
    """A piece to derive again."""

    piece: Piece
    streams: Streams
    blobs: str
    sample: Sample


@dataclass(frozen=True, slots=True)
class Derived:
    """What deriving a piece found."""

    found: PieceFindings
    rows_count: int
    sampled_count: int


def choose_sample(*, tree_size: int, root_hash: bytes) -> Sample:
    """Which entries to sample: nobody knew before the tree was sealed."""
    every = max(1, min(SAMPLE_EVERY, tree_size // SAMPLE_MIN))
    return Sample(first=int.from_bytes(root_hash[:8], "big") % every, every=every)


def derive_piece(task: DeepTask) -> Derived:
    """Derive the events of a piece and compare; the work of one worker."""
    found = PieceFindings()
    blobs = Path(task.blobs)
    read_blob = partial(_read_blob, blobs)
    again = partial(derive_reference, log=task.piece.origin, read_blob=read_blob)
    position, sampled = task.piece.start, 0
    try:
        for table in _read_slices(task.piece, blobs):
            entries = table.column("entry").chunk(0)
            senders = _senders(entries, task.streams)
            derived = derive_events(
                entries,
                log=task.piece.origin,
                start=LeafIndex(position),
                streams=task.streams,
                read_blob=read_blob,
            )
            compare_events(table, derived, position, found)
            rows = task.sample.rows(position, table.num_rows)
            sampled += len(rows)
            _compare_sample(entries, derived, rows, senders=senders, again=again, found=found)
            position += table.num_rows
    except (MeshtrailError, pa.ArrowException, OSError, ValueError) as error:
        found.kept.append(_underivable(task.piece, position, error))
    return Derived(found, position - task.piece.start, sampled)


def _read_slices(piece: Piece, blobs: Path) -> Iterator[pa.Table]:
    """The rows of a piece, as many at a time as are derived at once."""
    for table in read_rows(piece, ["entry", *EVENT_SCHEMA.names], []):
        ends = np.cumsum(_needed_bytes(table.column("entry").chunk(0), blobs))
        start, before = 0, 0
        while start < len(ends):
            end = max(int(np.searchsorted(ends, before + SLICE_BYTES, side="right")), start + 1)
            yield table.slice(start, end - start)
            start, before = end, int(ends[end - 1])


def _needed_bytes(entries: pa.Array, blobs: Path) -> npt.NDArray[np.int64]:
    """The length of each entry with the blobs that it names."""
    needed: npt.NDArray[np.int64] = pc.binary_length(entries).to_numpy().astype(np.int64)
    for named in find_references(entries, read_headers(entries), 0):
        # What is read is the file, whatever length the entry says that it has.
        with contextlib.suppress(OSError):
            blob_bytes = (blobs / named.sha256.hex()).stat().st_size
            needed[named.leaf_index] += min(blob_bytes, BLOB_BYTES_MAX)
    return needed


def compare_events(stored: pa.Table, derived: pa.Table, start: int, found: PieceFindings) -> None:
    """Compare every column of every row.

    Args:
        stored: what the segment has.
        derived: what the entries make; as many rows.
        start: leaf index of the first.
        found: gets what differs.
    """
    for name in EVENT_SCHEMA.names:
        want, got = derived.column(name), stored.column(name)
        if want.equals(got):
            continue
        want, got = _joined(want), _joined(got)
        same = pc.fill_null(pc.equal(want, got), fill_value=False)
        both_null = pc.and_(pc.is_null(want), pc.is_null(got))
        rows = np.flatnonzero(~pc.or_(same, both_null).to_numpy(zero_copy_only=False))
        describe = partial(_describe, name=name, want=want, got=got, start=start)
        found.add_rows(rows.tolist(), describe)


class DeepAudit:
    """Hands out pieces with the streams that are open there, in the order of the log.

    Attributes:
        rows_count: events derived again.
        sampled_count: of them, by the second decoder too.
    """

    def __init__(
        self, *, blobs: Path, sample: Sample, workers: Workers, findings: Findings
    ) -> None:
        self._blobs = str(blobs)
        self._sample = sample
        self._workers = workers
        self._findings = findings
        self._streams = Streams()
        self._waiting: deque[Pending[Derived]] = deque()
        self._is_stopped = False
        self.rows_count = 0
        self.sampled_count = 0

    def take(self, piece: Piece, openings: list[bytes]) -> None:
        """Derive the next piece, and follow the streams and clocks that it tells of."""
        if self._is_stopped:
            return
        task = DeepTask(piece, self._streams.copy(), self._blobs, self._sample)
        self._waiting.append(self._workers.submit(derive_piece, task))
        for entry in openings:
            _follow(self._streams, entry)
        while self._waiting and (
            self._waiting[0].is_done or len(self._waiting) > self._workers.waiting_max
        ):
            self._join()

    def stop(self, leaf_index: int) -> None:
        """Derive nothing behind entries that cannot be read: their streams are not known."""
        if not self._is_stopped:
            self._is_stopped = True
            message = f"events from entry {leaf_index} on were not derived: entries before are gone"
            self._findings.add(noted("deep-stopped", f"entry {leaf_index}", message))

    def finish(self) -> None:
        """Wait for all pieces."""
        while self._waiting:
            self._join()

    def _join(self) -> None:
        derived = self._waiting.popleft().result()
        self._findings.take(derived.found)
        self.rows_count += derived.rows_count
        self.sampled_count += derived.sampled_count


def _follow(streams: Streams, entry: bytes) -> None:
    try:
        header = decode_header(entry)
    except EntryFormatError:
        return
    streams.follow(header, entry[HEADER_BYTES:])


def _senders(entries: pa.Array, streams: Streams) -> Streams:
    """The senders of all streams that these entries belong to, closed ones included.

    Args:
        entries: binary[n].
        streams: open before the first; stays as it is.
    """
    senders = streams.copy()
    types = read_headers(entries)["entry_type"]
    for row in np.flatnonzero(types == EntryType.STREAM_OPENED).tolist():
        _follow(senders, entries[row].as_py())
    return senders


def _compare_sample(
    entries: pa.Array,
    derived: pa.Table,
    rows: range,
    *,
    senders: Streams,
    again: Callable[..., pa.Table],
    found: PieceFindings,
) -> None:
    """Derive some rows with the second decoder, one by one, and compare with the first's."""
    types = read_headers(entries)["entry_type"]
    clocks = deque(np.flatnonzero(types == EntryType.CLOCK).tolist())
    for row in rows:
        while clocks and clocks[0] < row:
            _follow(senders, entries[clocks.popleft()].as_py())
        # Not by the row's own reporter columns: its conflict may be one of this record alone.
        stream = derived.column("stream")[row].as_py()
        streams = Streams({stream: senders.get(stream)}, senders.clocks.copy())
        index = LeafIndex(derived.column("log_index")[row].as_py())
        want = again(entries.slice(row, 1), start=index, streams=streams)
        compare_events(derived.slice(row, 1), want, index, found)


def _joined(column: Any) -> pa.Array:  # noqa: ANN401 - pyarrow has no types
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _describe(row: int, *, name: str, want: pa.Array, got: pa.Array, start: int) -> Finding:
    return event_finding(start + row, name, want[row].as_py(), got[row].as_py())


def _read_blob(blobs: Path, sha256: bytes) -> bytes:
    name = f"blobs/{sha256.hex()}"
    return read_beginning(blobs / sha256.hex(), name=name, length=BLOB_BYTES_MAX)


def _underivable(piece: Piece, position: int, error: Exception) -> Finding:
    if isinstance(error, MissingFileError):
        return tampered(error, piece.name)
    return tampered(
        EventError(
            f"{piece.name}: the events from entry {position} on cannot be derived: {error}",
            path=piece.name,
            leaf_index=position,
        ),
        piece.name,
    )
