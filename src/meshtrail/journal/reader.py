"""Reading a journal from a position: what the sealer takes, and the removal of what it sealed.

Only complete batches with a good CRC are given out, and only after an fsync of their file: what is
sealed is durable in the journal, even if its writer has not come to its own fsync yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from meshtrail.errors import JournalDamageError
from meshtrail.journal.batch import BATCH_HEADER_BYTES, Batch, declared_bytes, decode_batches
from meshtrail.journal.files import count_bytes, file_path, list_files, open_file
from meshtrail.journal.frame import ROW_DTYPE
from meshtrail.journal.header import PreviousFile
from meshtrail.store.durable import Disk, remove_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from meshtrail.journal.files import JournalFile

READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, order=True)
class ReadPosition:
    """Everything before ``offset`` of file ``file_number`` has been read."""

    file_number: int
    offset: int


@dataclass(frozen=True, slots=True, eq=False)
class JournalSlice:
    """Consecutive frames, as columns.

    Attributes:
        rows: ``ROW_DTYPE``[n], at least one.
        data: the frames' bytes, one behind the other.
        offsets: int64[n + 1]; frame ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
        end: where reading goes on.
    """

    rows: npt.NDArray[Any]
    data: memoryview
    offsets: npt.NDArray[np.int64]
    end: ReadPosition

    def frame(self, index: int) -> memoryview:
        """The bytes of one frame."""
        return self.data[self.offsets[index] : self.offsets[index + 1]]

    def join(self, following: JournalSlice) -> JournalSlice:
        """These frames and those that follow them in the same journal; both are copied."""
        return JournalSlice(
            np.concatenate([self.rows, following.rows]),
            memoryview(b"".join([self.data, following.data])),
            np.concatenate([self.offsets, following.offsets[1:] + self.offsets[-1]]),
            following.end,
        )


def count_records(rows: npt.NDArray[Any]) -> int:
    """How many records frames hold, by their rows."""
    return int(rows["records_count"].sum(dtype=np.int64))


class JournalReader:
    """Reads one journal, file after file. Any number of readers may read while one writer writes.

    Args:
        directory: ``journal/<writer>``; it may not be there yet.
        position: where to go on; None to begin at the first file.
        disk: the primitive calls.
    """

    def __init__(
        self, directory: Path, *, position: ReadPosition | None = None, disk: Disk | None = None
    ) -> None:
        self.directory = directory
        self._disk = disk or Disk()
        self._position = position
        self._file: JournalFile | None = None

    @property
    def position(self) -> ReadPosition | None:
        """Where reading goes on; None before the first frame was found."""
        return self._position

    def read(
        self,
        bytes_max: int = READ_BYTES,
        *,
        records_max: int | None = None,
        count: Callable[[npt.NDArray[Any]], int] = count_records,
    ) -> JournalSlice | None:
        """The next frames, or None when there are none yet.

        Args:
            bytes_max: how much of the file to take at once; a single larger batch is taken whole.
            records_max: how many records to take at once; a batch with more is taken whole. Bytes
                alone do not bound them: an empty record takes two.
            count: how many records the rows of a batch count as.

        Raises:
            JournalDamageError: durable bytes are gone or bad. Nothing is skipped.
            DurabilityError: the disk refuses.
        """
        while True:
            # Listed before reading: what a file lacks when a later one exists, it will never get.
            later = list_files(self.directory)
            if self._file is None and not self._open_first(later):
                return None
            file, position = self._at()
            batches, buffer = self._read_batches(file, position.offset, bytes_max)
            if records_max is not None:
                batches = _with_records(batches, records_max, count)
            if batches:
                file.sync()
                self._position = ReadPosition(
                    position.file_number, position.offset + batches[-1].end
                )
                return _join(batches, buffer, self._position)
            later = [number for number in later if number > position.file_number]
            if not later:
                file.check_tail(position.offset)
                return None
            if not self._go_on(file, position, later):
                return None

    def count_waiting(self) -> int:
        """Bytes behind the position, complete batches or not; 0 before the first was read.

        Raises:
            DurabilityError: the disk refuses.
        """
        if self._position is None:
            return 0
        number, offset = self._position.file_number, self._position.offset
        return max(count_bytes(self.directory, first=number) - offset, 0)

    def remove_before(self, file_number: int) -> None:
        """Remove the files before ``file_number``, oldest first.

        The caller has made a position in ``file_number`` or later durable.

        Raises:
            ValueError: the reader itself is not that far.
        """
        if self._position is None or file_number > self._position.file_number:
            raise ValueError(f"file {file_number} is not read yet, position {self._position}")
        for number in list_files(self.directory):
            if number < file_number:
                remove_file(self._disk, file_path(self.directory, number))

    def close(self) -> None:
        """Close the file; a later ``read`` opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _at(self) -> tuple[JournalFile, ReadPosition]:
        if self._file is None or self._position is None:
            raise AssertionError("no journal file is open")
        return self._file, self._position

    def _open_first(self, numbers: list[int]) -> bool:
        """Open the file of the position, or the first there is; False when there is none yet."""
        position = self._position
        if position is None or position.file_number not in numbers:
            return self._open_anew(numbers)
        file = open_file(self._disk, self.directory, position.file_number)
        if file is None or file.count_bytes() < position.offset:
            if file is not None:
                file.close()
            raise self._damage(
                position.file_number,
                position.offset,
                "the file no longer holds what was read of it",
            )
        self._file = file
        return True

    def _open_anew(self, numbers: list[int]) -> bool:
        """Begin at the first file of a journal that has no file of the position any more."""
        if not numbers:
            return False
        position = self._position
        first = numbers[0]
        if position is not None and first < position.file_number:
            raise self._damage(
                position.file_number,
                position.offset,
                f"the file is gone, and file {first} before it is there",
            )
        file = open_file(self._disk, self.directory, first)
        if file is None:
            return False
        if file.header.previous is not None:
            file.close()
            raise self._damage(
                first, 0, f"the file before, {file.header.previous.file_number}, is gone"
            )
        self._enter(file)
        return True

    def _read_batches(
        self, file: JournalFile, offset: int, bytes_max: int
    ) -> tuple[list[Batch], bytes]:
        available = file.count_bytes() - offset
        if available <= 0:
            if available < 0:
                raise self._damage(file.file_number, offset, "the file became shorter")
            return [], b""
        buffer = file.read(offset, min(available, max(bytes_max, BATCH_HEADER_BYTES)))
        declared = declared_bytes(buffer, 0)
        if declared is not None and len(buffer) < declared <= available:
            buffer = file.read(offset, declared)
        return list(decode_batches(buffer, file_offset=offset, seed=file.seed)), buffer

    def _go_on(self, file: JournalFile, position: ReadPosition, later: list[int]) -> bool:
        """Open the next file; False when its header is not written yet."""
        number = later[0]
        following = open_file(self._disk, self.directory, number)
        if following is None:
            if len(later) > 1:
                raise self._damage(number, 0, "bad header of a file that is not the newest")
            return False
        previous = following.header.previous
        read = PreviousFile(file_number=position.file_number, file_bytes=position.offset)
        if previous is not None and previous != read:
            following.close()
            if previous.file_number != position.file_number:
                what = f"file {number} follows {previous.file_number}, which is gone"
            else:
                what = f"no good batch, but file {number} says it has {previous.file_bytes} bytes"
            raise self._damage(position.file_number, position.offset, what)
        self._enter(following)
        # Last: if it fails nobody closes it again, by when its descriptor may be another file's.
        file.close()
        return True

    def _enter(self, file: JournalFile) -> None:
        self._file = file
        self._position = ReadPosition(file.file_number, file.header_bytes)

    def _damage(self, file_number: int, offset: int, what: str) -> JournalDamageError:
        path = file_path(self.directory, file_number)
        return JournalDamageError(f"{path} offset {offset}: {what}", path=path, offset=offset)


def _with_records(
    batches: list[Batch], records_max: int, count: Callable[[npt.NDArray[Any]], int]
) -> list[Batch]:
    """The first batches, with at most so many records in all; one at least."""
    totals = accumulate(count(batch.rows) for batch in batches)
    fitting = sum(total <= records_max for total in totals)
    return batches[: max(fitting, 1)]


def _join(batches: list[Batch], buffer: bytes, end: ReadPosition) -> JournalSlice:
    view = memoryview(buffer)
    parts = [view[batch.data_start : batch.end] for batch in batches]
    # Joined as bytes: numpy would turn big-endian columns into native ones here and only here.
    rows = np.frombuffer(b"".join([batch.rows.tobytes() for batch in batches]), ROW_DTYPE)
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(rows["frame_bytes"], out=offsets[1:])
    data = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
    return JournalSlice(rows, data, offsets, end)
