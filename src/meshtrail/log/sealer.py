"""The sealer: the one writer of a log.

Each tick makes what the journals hold part of a signed tree, in the commit order of
docs/formats/layout.md. After any error the sealer is not used again: the process ends, and the
normal start recovers.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from meshtrail.errors import ClockBehindError, DigestError, DurabilityError, MissingFileError
from meshtrail.journal import JournalReader, JournalSlice, ReadPosition
from meshtrail.log.commit import Committer
from meshtrail.log.data_lock import DataLock
from meshtrail.log.intake import make_entries
from meshtrail.log.merge import MergeThread, plan_merge
from meshtrail.log.recovery import recover
from meshtrail.log.rows import NewRows, one_ahead
from meshtrail.model.event import Kind
from meshtrail.sources.derive import derive_events
from meshtrail.sources.streams import REPORTER_COLUMNS, Streams, streams_from_events
from meshtrail.store.blob_files import read_blob, write_blobs
from meshtrail.store.durable import DurableWriter, remove_file, sync_directory, write_file
from meshtrail.store.layout import segment_file, tiles_file
from meshtrail.store.manifest import CommittedFile, JournalPosition, is_writer_name
from meshtrail.store.segment import write_segment
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import Self

    from meshtrail.log.intake import EntryBatch
    from meshtrail.log.merge import Merged
    from meshtrail.log.options import SealOptions
    from meshtrail.merkle import Frontier
    from meshtrail.note import SignerKey
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout, RangeFile
    from meshtrail.units import Clock, LeafIndex

CLOCK_BEHIND_NS_MAX: Final = 5_000_000_000

SUPERSEDED_KEPT_S: Final = 15 * 60
"""How long files that a manifest dropped stay for readers that pinned an older one."""

_NANOS: Final = 1_000_000_000
_STREAM_KINDS: Final = (Kind.STREAM_OPENED.value, Kind.STREAM_CLOSED.value)


class Diag(Protocol):
    """Where diagnostics go: the name of an event and its facts."""

    def info(self, event: str, **facts: object) -> object:
        """Note something that happened."""
        ...


class Sealer:
    """Seals what the journals of one data directory hold. One thread owns it."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        signer: SignerKey,
        options: SealOptions,
        *,
        clock: Clock,
        diag: Diag,
    ) -> None:
        """Take the lock and recover.

        Raises:
            WriterHeldError: another sealer runs here.
            ClockBehindError: the wall clock stands before the last entry.
            TamperError: what is stored is not what was signed; nothing was changed.
        """
        self._disk = disk
        self._layout = layout
        self._options = options
        self._clock = clock
        self._origin = signer.name
        self._is_sound = True
        self._journals: dict[str, JournalReader] = {}
        self._merging = MergeThread(disk, layout)
        self._superseded: deque[tuple[int, RangeFile]] = deque()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="derive")
        self._lock = DataLock(layout)
        try:
            recovered = recover(disk, layout, signer, lock_record=options.lock_record)
            self._tree: Frontier = recovered.frontier
            self._committer = Committer(
                disk, layout, signer, recovered, lock_record=options.lock_record, clock=clock
            )
            self._check_clock()
            self._streams = self._recover_streams()
            self._committer.start()
        except BaseException:
            self._lock.close()
            raise
        self._keep(recovered.superseded)
        diag.info("log_opened", origin=signer.name, tree_size=self._tree.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def tree_size(self) -> int:
        """Entries sealed."""
        return self._committer.tree_size

    def tick(self) -> int:
        """Seal what the journals hold now, at most ``read_bytes_max`` of each.

        Returns:
            Entries sealed; 0 only when the journals hold no more.

        Raises:
            DurabilityError, TamperError: the sealer must not be used again.
        """
        with self._working():
            merged = self._merging.take()
            sealed = 0
            while not sealed and (slices := self._read_journals()):
                # A slice of blobs alone moves the positions on and seals nothing.
                sealed = self._seal(slices, merged)
                merged = None
            if merged is not None:
                self._commit_merge(merged)
            self._merge_next()
            self._remove_superseded()
        return sealed

    def finish_merges(self) -> None:
        """Run and commit the merges that are due; for a clean end and for tests."""
        with self._working():
            while self._merging.is_running:
                merged = self._merging.take(is_waiting=True)
                if merged is not None:
                    self._commit_merge(merged)
                self._merge_next()

    def close(self) -> None:
        """Let go of the directory; nothing is written. A running merge is left to recovery."""
        self._is_sound = False
        # Last of all the lock, whatever happens before: the next sealer must be able to start.
        with ExitStack() as stack:
            stack.callback(self._lock.close)
            for reader in self._journals.values():
                stack.callback(reader.close)
            stack.callback(self._beside.shutdown)
            self._merging.stop()

    @contextmanager
    def _working(self) -> Iterator[None]:
        """What is done inside is done whole, or the sealer is not used again.

        Journals were read further than was sealed: another tick would leave a hole in the log.
        """
        if not self._is_sound:
            raise DurabilityError(
                f"the sealer of {self._layout.root} is closed, or failed before",
                path=self._layout.root,
            )
        self._is_sound = False
        yield
        self._is_sound = True

    def _seal(self, slices: dict[str, JournalSlice], merged: Merged | None) -> int:
        """Entries, files, then the commit."""
        batch = make_entries(list(slices.values()), after_ns=self._committer.time_ns)
        write_blobs(self._disk, self._layout, batch.blobs)
        tree = self._tree.copy()
        files = self._write_files(batch, tree) if len(batch.entries) else ()
        self._committer.commit_tick(
            tree,
            time_ns=UnixNanos(batch.received_ns),
            files=files,
            journals=[
                JournalPosition(writer, part.end.file_number, part.end.offset)
                for writer, part in slices.items()
            ],
            merged=(merged.files, merged.dropped) if merged else None,
        )
        self._tree = tree
        if merged is not None:
            self._keep(merged.dropped)
        for writer, part in slices.items():
            self._journals[writer].remove_before(part.end.file_number)
        return len(batch.entries)

    def _commit_merge(self, merged: Merged) -> None:
        self._committer.commit_merge(merged.files, merged.dropped)
        self._keep(merged.dropped)

    def _write_files(self, batch: EntryBatch, tree: Frontier) -> tuple[CommittedFile, ...]:
        """Segment and tiles of new entries, durable; ``tree`` gets their leaves."""
        start, count = tree.size, len(batch.entries)
        rows = NewRows(batch.entries, tree, self._derive)
        named = segment_file(start, start + count)
        with DurableWriter(self._disk, self._layout.root / named.path) as writer:
            write_segment(writer, one_ahead(rows.make(), self._beside), count)
            segment = CommittedFile(named, *writer.commit())
        named = tiles_file(start, start + count)
        path = self._layout.root / named.path
        tiles = CommittedFile(named, *write_file(self._disk, path, rows.tiles))
        sync_directory(self._disk, self._layout.segments)
        sync_directory(self._disk, self._layout.tiles)
        return segment, tiles

    def _derive(self, entries: pa.Array, start: LeafIndex) -> pa.Table:
        return derive_events(
            entries,
            log=self._origin,
            start=start,
            streams=self._streams,
            read_blob=partial(read_blob, self._layout),
        )

    def _read_journals(self) -> dict[str, JournalSlice]:
        """The next frames of every journal that has any."""
        for directory in sorted(self._layout.journals.iterdir()):
            name = directory.name
            # A folder such as lost+found is no journal, and could not stand in a manifest.
            if name not in self._journals and is_writer_name(name) and directory.is_dir():
                self._journals[name] = self._open_journal(directory)
        slices = {}
        for writer, reader in self._journals.items():
            part = reader.read(
                self._options.read_bytes_max, records_max=self._options.read_records_max
            )
            if part is not None:
                slices[writer] = part
        return slices

    def _open_journal(self, directory: Path) -> JournalReader:
        at = self._committer.position(directory.name)
        position = ReadPosition(at.file_number, at.offset) if at else None
        return JournalReader(directory, position=position, disk=self._disk)

    def _merge_next(self) -> None:
        """Start the next merge that is due, if none runs."""
        if self._merging.is_running:
            return
        segments = self._committer.segments()
        plan = plan_merge([named.end - named.start for named in segments])
        if plan is not None:
            self._merging.start(self._committer.live, segments[plan[0] : plan[1]])

    def _keep(self, files: Iterable[RangeFile]) -> None:
        """Leave superseded files to the readers that pinned them, and remember when they may go."""
        due_ns = self._clock.monotonic_ns() + SUPERSEDED_KEPT_S * _NANOS
        self._superseded.extend((due_ns, named) for named in files)

    def _remove_superseded(self) -> None:
        now_ns = self._clock.monotonic_ns()
        while self._superseded and self._superseded[0][0] <= now_ns:
            _, named = self._superseded.popleft()
            remove_file(self._disk, self._layout.root / named.path)

    def _check_clock(self) -> None:
        behind_ns = self._committer.time_ns - self._clock.wall_ns()
        if behind_ns > CLOCK_BEHIND_NS_MAX and not self._options.is_clock_accepted:
            raise ClockBehindError(
                f"the wall clock stands {behind_ns / _NANOS:.1f} s before the last sealed entry "
                f"({self._committer.time_ns} ns): times in the log never decrease. Set the clock, "
                "or start with --accept-clock to seal at the last entry's time until the clock "
                "has caught up",
                behind_ns=behind_ns,
            )

    def _recover_streams(self) -> Streams:
        """The streams that are open at the end of the log, from their own entries."""
        paths = [str(self._layout.root / named.path) for named in self._committer.segments()]
        if not paths:
            return Streams()
        try:
            found = ds.dataset(paths, format="parquet").to_table(
                columns=["log_index", "kind", "stream", *REPORTER_COLUMNS],
                filter=ds.field("kind").isin(_STREAM_KINDS),
                use_threads=False,
            )
        except FileNotFoundError as error:
            raise MissingFileError(f"a live segment is gone: {error}") from error
        except (pa.ArrowException, OSError) as error:
            raise DigestError(f"a live segment does not read back: {error}") from error
        return streams_from_events(found.sort_by("log_index"))
