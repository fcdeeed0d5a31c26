"""The writer of a journal: one directory, one process, one batch after the other.

Opening is recovery: the newest file is read, what a crash tore off is cut, and a new file is begun.
Not safe for threads: ``append``, ``is_full`` and ``close`` belong to one thread at a time.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from meshtrail.errors import DurabilityError, UnavailableError
from meshtrail.journal.batch import encode_batch
from meshtrail.journal.file_positions import FilePositions, decode_position
from meshtrail.journal.files import count_bytes, file_path, guarded
from meshtrail.journal.frame import Framing
from meshtrail.journal.header import FileHeader, PreviousFile, header_seed
from meshtrail.journal.lock import JournalLock
from meshtrail.journal.open_streams import OpenStreams
from meshtrail.journal.options import JournalOptions
from meshtrail.journal.recent_exports import RecentExports
from meshtrail.journal.recovery import recover_directory
from meshtrail.store.durable import FULL_ERRNOS, Disk, make_directory, remove_file, sync_directory

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from meshtrail.journal.file_positions import FilePosition
    from meshtrail.journal.frame import Frame
    from meshtrail.journal.header import OpenStream
    from meshtrail.units import Clock

_NS_PER_S = 1_000_000_000


class JournalWriter:
    """Appends batches; what ``append`` returned for survives any crash.

    Args:
        directory: ``journal/<writer>``; made when it is not there.
        options: bounds.
        disk: the primitive calls.
        clock: for the number and the date of files.

    Attributes:
        left_open: the streams that the journal held open when it was opened.
        left_exports: the digests of the exports that it had taken last, joined.
        left_positions: how far it had taken files.
        cut_bytes: how much of a torn batch recovery cut off.
        entries_count: entries that were made durable since.
        bytes_count: their frames' bytes.

    Raises:
        WriterHeldError: another process writes this journal.
        JournalDamageError: durable bytes of the newest file no longer read back.
        UnavailableError: the disk is full.
        DurabilityError: anything else that the disk refuses.
    """

    def __init__(
        self,
        directory: Path,
        *,
        clock: Clock,
        options: JournalOptions | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.directory = directory
        self.options = options or JournalOptions()
        self._disk = disk or Disk()
        self._clock = clock
        self.entries_count = 0
        self.bytes_count = 0
        self._is_sound = True
        self._fd = -1
        make_directory(self._disk, directory.parent)
        make_directory(self._disk, directory)
        self._lock = JournalLock(self._disk, directory)
        try:
            recovered = recover_directory(self._disk, directory)
            self.left_open: dict[int, OpenStream] = recovered.open_streams
            self.left_exports = recovered.recent_exports
            self.left_positions: tuple[FilePosition, ...] = recovered.positions
            self.cut_bytes = recovered.cut_bytes
            self._streams = OpenStreams(recovered.open_streams)
            self._exports = RecentExports(
                recovered.recent_exports, count_max=self.options.exports_count_max
            )
            self._positions = FilePositions(recovered.positions)
            self._earlier_bytes = count_bytes(directory)
            self._begin_file(recovered.previous)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The journal's name in manifests."""
        return self.directory.name

    @property
    def streams_count(self) -> int:
        """Streams that it holds the opening of, and not the closing."""
        return len(self._streams)

    def append(self, frames: Sequence[Frame]) -> None:
        """Append one batch; durable when this returns.

        Raises:
            UnavailableError: the disk is full. Nothing of the batch was kept; try again later.
            DurabilityError: it is not known whether the batch is on disk. The writer refuses all
                further work; the next start finds out.
        """
        self._check_sound()
        batch = self._encode(frames)
        if self._batch_number and self._file_bytes + len(batch) > self.options.file_bytes_max:
            self._rotate()
            batch = self._encode(frames)
        self._is_sound = False
        self._write(batch)
        with guarded("fsync", self._path):
            self._disk.fsync(self._fd)
        self._is_sound = True
        self._file_bytes += len(batch)
        self._batch_number += 1
        for frame in frames:
            self.bytes_count += len(frame.data)
            self.entries_count += frame.records_count
            if frame.framing is Framing.EXPORT:
                self._exports.add(frame.data)
            elif frame.framing is Framing.POSITION:
                self._positions.apply(decode_position(frame.data))
            self._streams.apply(
                stream=frame.stream,
                first_seq=frame.first_seq,
                records_count=frame.records_count,
                entry_type=frame.entry_type,
            )

    def is_full(self) -> bool:
        """Whether the files together reach ``journal_bytes_max``.

        Cost: the directory is listed only when what was last seen says full.
        """
        bytes_max = self.options.journal_bytes_max
        if self._earlier_bytes + self._file_bytes < bytes_max:
            return False
        self._earlier_bytes = count_bytes(self.directory) - self._file_bytes
        return self._earlier_bytes + self._file_bytes >= bytes_max

    def close(self) -> None:
        """Close the file and let the lock go. What was not appended is the caller's."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._is_sound = False
            try:
                with guarded("close", self._path):
                    self._disk.close(fd)
            finally:
                self._lock.close()

    def _check_sound(self) -> None:
        if not self._is_sound:
            raise DurabilityError(
                f"journal {self.directory} is closed, or failed before; nothing more is written",
                path=self.directory,
            )

    def _encode(self, frames: Sequence[Frame]) -> bytearray:
        return encode_batch(
            frames,
            batch_number=self._batch_number,
            file_offset=self._file_bytes,
            seed=self._seed,
        )

    def _write(self, batch: bytearray) -> None:
        try:
            _write_all(self._disk, self._fd, batch)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise DurabilityError(
                    f"write {self._path}: {error.strerror}", path=self._path, errno=error.errno
                ) from error
            with guarded("truncate", self._path):
                self._disk.truncate(self._fd, self._file_bytes)
            self._is_sound = True
            raise _disk_full_error(self._path, error) from error

    def _rotate(self) -> None:
        fd, path, file_bytes = self._fd, self._path, self._file_bytes
        self._begin_file(PreviousFile(file_number=self._file_number, file_bytes=file_bytes))
        self._earlier_bytes += file_bytes
        with guarded("close", path):
            self._disk.close(fd)

    def _begin_file(self, previous: PreviousFile | None) -> None:
        """Make the next file durable and go on in it; when the disk is full, nothing changes."""
        created_ns = self._clock.wall_ns()
        if previous is None:
            file_number = max(created_ns // _NS_PER_S, 1)
        else:
            file_number = previous.file_number + 1
        path = file_path(self.directory, file_number)
        header = FileHeader(
            writer=self.name,
            file_number=file_number,
            created_ns=created_ns,
            previous=previous,
            open_streams=self._streams.snapshot(),
            recent_exports=self._exports.join(),
            positions=self._positions.snapshot(),
        ).encode()
        self._is_sound = False
        fd = self._create(path, header)
        with guarded("fsync", path):
            self._disk.fsync(fd)
        sync_directory(self._disk, self.directory)
        self._is_sound = True
        self._fd, self._path, self._file_number = fd, path, file_number
        self._file_bytes, self._batch_number = len(header), 0
        self._seed = header_seed(header)

    def _create(self, path: Path, header: bytes) -> int:
        fd = -1
        try:
            # Appending: after a batch was cut off, the next one must not leave a hole behind.
            fd = self._disk.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND)
            _write_all(self._disk, fd, header)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise DurabilityError(
                    f"create {path}: {error.strerror}", path=path, errno=error.errno
                ) from error
            # What is left of it would be found as a torn file, and its number is needed again.
            if fd >= 0:
                with guarded("close", path):
                    self._disk.close(fd)
            remove_file(self._disk, path)
            self._is_sound = self._fd >= 0
            raise _disk_full_error(path, error) from error
        return fd


def _write_all(disk: Disk, fd: int, data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[disk.write(fd, rest) :]


def _disk_full_error(path: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"no room on disk for {path}: {error.strerror}", path=path, errno=error.errno
    )
