"""What the journals hold, a tick's worth at a time, and the next one ahead when there is much.

Deriving begins as soon as entries are taken. While the sealer writes the entries of one tick, those
of the next can already be derived elsewhere.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import JournalDamageError, MeshtrailError
from meshtrail.journal import JournalReader, JournalSlice, ReadPosition
from meshtrail.log.intake import count_usual_records, make_entries
from meshtrail.log.rows import NewRows
from meshtrail.store.blob_files import write_blobs
from meshtrail.store.manifest import JournalPosition, is_writer_name
from meshtrail.units import LeafIndex, UnixNanos

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.log.commit import Committer
    from meshtrail.log.deriving import Deriver
    from meshtrail.log.options import SealOptions
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout
    from meshtrail.units import Clock

AHEAD_BYTES_MIN: Final = 8 << 20
"""The next tick's worth is taken ahead when so much is waiting: deriving and sealing it one after
the other takes about a tick. Of less, what was taken early would only wait for its tick."""


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """Entries that are sealed together.

    Attributes:
        rows: what they become, with the deriving of them begun; None when only blobs were taken.
        received_ns: of the last entry.
        journals: where reading goes on once they are sealed.
    """

    rows: NewRows | None
    received_ns: UnixNanos
    journals: tuple[JournalPosition, ...]


class Taking:
    """Reads every journal of a data directory, from where the log ends.

    Attributes:
        read_ns: when the journals were last read: monotonic nanoseconds.
    """

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        options: SealOptions,
        committed: Committer,
        deriver: Deriver,
        *,
        clock: Clock,
    ) -> None:
        """Begin where the log ends; ``deriver`` is open, and nobody else's."""
        self._disk = disk
        self._layout = layout
        self._options = options
        self._committed = committed
        self._deriver = deriver
        self._clock = clock
        self.read_ns = clock.monotonic_ns()
        self._readers: dict[str, JournalReader] = {}
        self._tree_size: int = committed.tree_size
        self._time_ns = committed.time_ns
        self._ahead: Taken | MeshtrailError | None = None

    def take(self) -> Taken | None:
        """The next entries, or None when the journals hold no more.

        Raises:
            JournalDamageError: durable bytes of a journal no longer read back.
            DurabilityError: the disk refuses.
        """
        ahead, self._ahead = self._ahead, None
        if isinstance(ahead, MeshtrailError):
            raise ahead
        return ahead or self._take()

    def take_ahead(self) -> None:
        """Take the next entries already, unless they are few: others are being sealed."""
        if self._ahead is not None:
            return
        try:
            if sum(reader.count_waiting() for reader in self._readers.values()) >= AHEAD_BYTES_MIN:
                self._ahead = self._take()
        except MeshtrailError as error:
            # Not what is being sealed now: that is whole, and has to be sealed first.
            self._ahead = error

    def release(self, taken: Taken) -> None:
        """Remove the journal files that are no longer needed once ``taken`` is sealed."""
        for position in taken.journals:
            self._readers[position.writer].remove_before(position.file_number)

    def close(self) -> None:
        """Close the journals. What was taken ahead is taken again by the next start."""
        with ExitStack() as stack:
            for reader in self._readers.values():
                stack.callback(reader.close)

    def _take(self) -> Taken | None:
        slices = self._read_journals()
        if not slices:
            return None
        batch = make_entries(list(slices.values()), after_ns=self._time_ns)
        # Before deriving begins, which reads them.
        write_blobs(self._disk, self._layout, batch.blobs)
        rows = None
        if len(batch.entries):
            rows = NewRows(batch, LeafIndex(self._tree_size), self._deriver)
        self._tree_size += len(batch.entries)
        self._time_ns = UnixNanos(batch.received_ns)
        journals = tuple(
            JournalPosition(writer, part.end.file_number, part.end.offset)
            for writer, part in slices.items()
        )
        return Taken(rows, self._time_ns, journals)

    def _read_journals(self) -> dict[str, JournalSlice]:
        """The next frames of every journal that has any."""
        self.read_ns = self._clock.monotonic_ns()
        for directory in sorted(self._layout.journals.iterdir()):
            name = directory.name
            # A folder such as lost+found is no journal, and could not stand in a manifest.
            if name not in self._readers and is_writer_name(name) and directory.is_dir():
                self._readers[name] = self._open_journal(directory)
        slices = {}
        for writer, reader in self._readers.items():
            part = self._read(reader)
            if part is not None:
                slices[writer] = part
        return slices

    def _read(self, reader: JournalReader) -> JournalSlice | None:
        """The next frames of a journal, over the end of a file."""
        bytes_max, records_max = self._options.read_bytes_max, self._options.read_records_max
        part = reader.read(bytes_max, records_max=records_max, count=count_usual_records)
        if part is None:
            return None
        bytes_left = bytes_max - len(part.data)
        records_left = records_max - count_usual_records(part.rows)
        # A part that is cut short by the bounds is not worth a copy.
        if bytes_left < bytes_max // 2 or records_left < records_max // 2:
            return part
        try:
            following = reader.read(bytes_left, records_max=records_left, count=count_usual_records)
        except JournalDamageError:
            # What is whole before it has to be sealed first; the next read finds it again.
            return part
        return part.join(following) if following else part

    def _open_journal(self, directory: Path) -> JournalReader:
        at = self._committed.position(directory.name)
        position = ReadPosition(at.file_number, at.offset) if at else None
        return JournalReader(directory, position=position, disk=self._disk)
