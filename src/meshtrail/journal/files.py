"""The files of one journal: their names, and reading them.

All reading of journal bytes is here; the writer's calls go through ``store.durable.Disk``.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from meshtrail.errors import DurabilityError, InputError, JournalDamageError
from meshtrail.journal.batch import BATCH_MAGIC, find_batch
from meshtrail.journal.header import ReadHeader, decode_header, header_bytes_declared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.store.durable import Disk

LOCK_NAME = "lock"
_NAME = re.compile(r"[0-9]{12}", re.ASCII)
_FIRST_READ_BYTES = 4096


def file_path(directory: Path, file_number: int) -> Path:
    """Where the file of that number lies."""
    return directory / f"{file_number:012d}"


def list_files(directory: Path) -> list[int]:
    """The numbers of the journal's files, ascending; none when there is no directory."""
    try:
        with os.scandir(directory) as found:
            return sorted(int(item.name) for item in found if _NAME.fullmatch(item.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _durability_error("list", directory, error) from error


def count_bytes(directory: Path, *, first: int = 0) -> int:
    """Bytes in the files of the journal together. A file removed meanwhile counts nothing.

    Args:
        directory: of the journal.
        first: files with a lower number are left out.
    """
    total = 0
    for file_number in list_files(directory):
        if file_number < first:
            continue
        try:
            total += file_path(directory, file_number).stat().st_size
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _durability_error("stat", file_path(directory, file_number), error) from error
    return total


@contextmanager
def guarded(doing: str, path: Path) -> Iterator[None]:
    """Turn an OSError inside into a DurabilityError that says what was being done to ``path``."""
    try:
        yield
    except OSError as error:
        raise _durability_error(doing, path, error) from error


def _durability_error(doing: str, path: Path, error: OSError) -> DurabilityError:
    return DurabilityError(
        f"{doing} {path}: {error.strerror or error}", path=path, errno=error.errno, doing=doing
    )


class JournalFile:
    """A journal file opened for reading, whose header is complete and good."""

    def __init__(self, disk: Disk, path: Path, fd: int, read_header: ReadHeader) -> None:
        self.path = path
        self.header = read_header.header
        self.header_bytes = read_header.header_bytes
        self.seed = read_header.seed
        self._disk = disk
        self._fd = fd

    @property
    def file_number(self) -> int:
        """The file's number."""
        return self.header.file_number

    def count_bytes(self) -> int:
        """The file's length at this moment."""
        return _count_bytes(self._fd, self.path)

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset``; fewer at the end of the file."""
        return _read_at(self._fd, self.path, offset, length)

    def sync(self) -> None:
        """Make durable what was read, whoever wrote it."""
        with guarded("fsync", self.path):
            self._disk.fsync(self._fd)

    def check_tail(self, offset: int) -> None:
        """Return when what stands behind ``offset`` can be a batch that is not complete.

        Raises:
            JournalDamageError: a good batch stands behind the bad one at ``offset``. Each batch is
                written after those before it are durable, so a durable one no longer reads back.
        """
        tail = self.read(offset, max(self.count_bytes() - offset, 0))
        behind = find_batch(tail, 1, file_offset=offset, seed=self.seed)
        if behind is not None and find_batch(tail, 0, file_offset=offset, seed=self.seed) != 0:
            raise JournalDamageError(
                f"{self.path} offset {offset}: no good batch, but a later one at "
                f"{offset + behind} was written after this one was durable",
                path=self.path,
                offset=offset,
            )

    def close(self) -> None:
        """Close the file."""
        with guarded("close", self.path):
            self._disk.close(self._fd)


def open_file(disk: Disk, directory: Path, file_number: int) -> JournalFile | None:
    """Open a file for reading; None when its header is not complete, being or never written.

    Raises:
        JournalDamageError: the header is bad though batches stand behind it, or belongs to
            another file.
    """
    path = file_path(directory, file_number)
    with guarded("open", path):
        fd = disk.open(path, os.O_RDONLY)
    try:
        read_header = _read_header(fd, path)
    except BaseException:
        disk.close(fd)
        raise
    if read_header is None:
        disk.close(fd)
        return None
    file = JournalFile(disk, path, fd, read_header)
    if file.file_number != file_number:
        file.close()
        raise JournalDamageError(
            f"{path} says that it is file {file.file_number}", path=path, offset=0
        )
    return file


def _read_header(fd: int, path: Path) -> ReadHeader | None:
    beginning = _read_at(fd, path, 0, _FIRST_READ_BYTES)
    declared = header_bytes_declared(beginning)
    length = _count_bytes(fd, path)
    if declared is not None and len(beginning) < declared <= length:
        beginning = _read_at(fd, path, 0, declared)
    try:
        return decode_header(beginning)
    except InputError:
        pass
    # Judged on one read of everything: between two reads the writer may complete the header and
    # append batches, which would look like a bad header with batches behind it.
    whole = _read_at(fd, path, 0, max(length, _FIRST_READ_BYTES))
    try:
        return decode_header(whole)
    except InputError as error:
        if BATCH_MAGIC in whole:
            raise JournalDamageError(
                f"{path} offset 0: batches stand behind a bad header: {error.message}",
                path=path,
                offset=0,
            ) from error
        return None


def _count_bytes(fd: int, path: Path) -> int:
    with guarded("stat", path):
        return os.fstat(fd).st_size


def _read_at(fd: int, path: Path, offset: int, length: int) -> bytes:
    """Read until ``length`` bytes or the end: one call gives at most about 2 GiB."""
    parts = []
    while length > 0:
        with guarded("read", path):
            part = os.pread(fd, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)
