"""The sealer: the one writer of a log.

Each tick makes what the journals hold part of a signed tree, in the commit order of
docs/formats/layout.md. After any error the sealer is not used again: the process ends, and the
normal start recovers.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from meshtrail.errors import ClockBehindError, DigestError, DurabilityError, MissingFileError
from meshtrail.log.commit import Committer
from meshtrail.log.data_lock import DataLock
from meshtrail.log.deriving import DeriverHere
from meshtrail.log.merge import MergeThread, plan_merge
from meshtrail.log.recovery import recover
from meshtrail.log.taking import Taking
from meshtrail.model.event import EVENT_SCHEMA, Kind
from meshtrail.sources.reporter_clocks import STATED_FOR_NS
from meshtrail.sources.streams import CLOCK_COLUMNS, STREAM_COLUMNS
from meshtrail.store.durable import DurableWriter, remove_file, sync_directory, write_file
from meshtrail.store.layout import segment_file, tiles_file
from meshtrail.store.manifest import CommittedFile
from meshtrail.store.segment import write_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from meshtrail.log.deriving import Deriver
    from meshtrail.log.merge import Merged
    from meshtrail.log.options import SealOptions
    from meshtrail.log.rows import NewRows
    from meshtrail.log.taking import Taken
    from meshtrail.merkle import Frontier
    from meshtrail.note import SignerKey
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout, RangeFile
    from meshtrail.units import Clock

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
        deriver: Deriver | None = None,
    ) -> None:
        """Take the lock and recover.

        Args:
            disk: the primitive calls.
            layout: of the data directory.
            signer: the log's key.
            options: limits.
            clock: of the machine.
            diag: hears what happens.
            deriver: the caller closes it; by default events are derived in this process.

        Raises:
            WriterHeldError: another sealer runs here.
            ClockBehindError: the wall clock stands before the last entry.
            TamperError: what is stored is not what was signed; nothing was changed.
        """
        self._disk = disk
        self._layout = layout
        self._options = options
        self._clock = clock
        self._is_sound = True
        self._merging = MergeThread(disk, layout)
        self._superseded: deque[tuple[int, RangeFile]] = deque()
        self._lock = DataLock(layout)
        try:
            recovered = recover(disk, layout, signer, lock_record=options.lock_record)
            self._tree: Frontier = recovered.frontier
            self._committer = Committer(
                disk, layout, signer, recovered, lock_record=options.lock_record, clock=clock
            )
            self._check_clock()
            deriver = deriver or DeriverHere()
            deriver.open(signer.name, layout, self._find_stream_events())
            self._taking = Taking(disk, layout, options, self._committer, deriver, clock=clock)
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

    @property
    def read_ns(self) -> int:
        """When the journals were last read: monotonic nanoseconds."""
        return self._taking.read_ns

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
            while not sealed and (taken := self._taking.take()):
                # Blobs alone move the positions on and seal nothing.
                sealed = self._seal(taken, merged)
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
            stack.callback(self._taking.close)
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

    def _seal(self, taken: Taken, merged: Merged | None) -> int:
        """Files, then the commit."""
        tree = self._tree.copy()
        files = self._write_files(taken.rows, tree) if taken.rows else ()
        self._committer.commit_tick(
            tree,
            time_ns=taken.received_ns,
            files=files,
            journals=taken.journals,
            merged=(merged.files, merged.dropped) if merged else None,
        )
        sealed = tree.size - self._tree.size
        self._tree = tree
        if merged is not None:
            self._keep(merged.dropped)
        self._taking.release(taken)
        return sealed

    def _commit_merge(self, merged: Merged) -> None:
        self._committer.commit_merge(merged.files, merged.dropped)
        self._keep(merged.dropped)

    def _write_files(self, rows: NewRows, tree: Frontier) -> tuple[CommittedFile, ...]:
        """Segment and tiles of new entries, durable; ``tree`` gets their leaves."""
        start, end = tree.size, tree.size + rows.count
        tables = rows.make(tree, on_turn=self._taking.take_ahead)
        named = segment_file(start, end)
        with DurableWriter(self._disk, self._layout.root / named.path) as writer:
            write_segment(writer, tables, rows.count)
            segment = CommittedFile(named, *writer.commit())
        named = tiles_file(start, end)
        path = self._layout.root / named.path
        tiles = CommittedFile(named, *write_file(self._disk, path, rows.tiles))
        sync_directory(self._disk, self._layout.segments)
        sync_directory(self._disk, self._layout.tiles)
        return segment, tiles

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

    def _find_stream_events(self) -> pa.Table:
        """What ``streams_from_events`` takes: of the whole log, in its order."""
        paths = [str(self._layout.root / named.path) for named in self._committer.segments()]
        if not paths:
            columns = dict.fromkeys(("log_index", *STREAM_COLUMNS, *CLOCK_COLUMNS))
            return EVENT_SCHEMA.empty_table().select(list(columns))
        kind, received_time = ds.field("kind"), ds.field("received_time")
        # Apart, so that what clocks are read from is not read of the whole log.
        since_ns = self._committer.time_ns - STATED_FOR_NS
        wanted = (
            (STREAM_COLUMNS, kind.isin(_STREAM_KINDS)),
            (CLOCK_COLUMNS, (kind == Kind.CLOCK.value) & (received_time >= since_ns)),
        )
        try:
            segments = ds.dataset(paths, format="parquet")
            found = pa.concat_tables(
                [
                    segments.to_table(
                        columns=["log_index", *columns], filter=holds, use_threads=False
                    )
                    for columns, holds in wanted
                ],
                promote_options="default",
            )
        except FileNotFoundError as error:
            raise MissingFileError(f"a live segment is gone: {error}") from error
        except (pa.ArrowException, OSError) as error:
            raise DigestError(f"a live segment does not read back: {error}") from error
        return found.sort_by("log_index")
