"""Durable writes: each primitive I/O call in one place, so that faults can be injected at each.

The rules that everything above relies on:

- A file is written under a temporary name, fsynced, renamed, and its directory fsynced. So what
  stands under a final name is whole and durable; only the name itself may still be lost in a power
  cut, until the directory is fsynced. A rename without the first fsync may leave an empty file.
- Files of notes and journals are appended to; what a crash leaves of the last append is cut off
  by the next start.
- After a failed fsync nothing is retried: the kernel may have dropped the pages and would then
  report success. The writer stops, and the normal start recovers.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

from meshtrail.errors import DurabilityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

R = TypeVar("R")

TEMPORARY_SUFFIX = ".tmp"
_WAITING_BYTES_MAX = 1 << 18
FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


class Disk:
    """The primitive calls. Tests replace it by one that loses or fails any of them."""

    def open(self, path: Path, flags: int) -> int:
        """Open or create; private to the owner and the group."""
        return os.open(path, flags | os.O_CLOEXEC, 0o640)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of ``data``; returns how much."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Make the file's bytes and length durable."""
        os.fsync(fd)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file."""
        os.ftruncate(fd, length)

    def rename(self, old: Path, new: Path) -> None:
        """Replace ``new`` by ``old``."""
        os.replace(old, new)  # noqa: PTH105 - one spelling of each primitive: os

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 - one spelling of each primitive: os

    def mkdir(self, path: Path) -> None:
        """Make one directory; it may exist."""
        path.mkdir(mode=0o750, exist_ok=True)

    def close(self, fd: int) -> None:
        """Close, without any promise."""
        os.close(fd)


class DurableWriter:
    """A new file that is hashed as it is written, and gets its name when it is whole and durable.

    Usable as the sink of a Parquet writer (``write``, ``tell``, ``flush``, ``closed``). ``commit``
    does not fsync the directory: several files of one commit share that call.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        self.closed = False
        self._disk = disk
        self._temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        self._sha256 = hashlib.sha256()
        self._waiting = bytearray()
        self._bytes = 0
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
        self._fd = _guarded(disk.open, path, self._temporary, flags, doing="create")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, data: bytes | memoryview) -> int:
        """Take all of ``data``; small pieces are written together.

        Raises:
            ValueError: it is closed. Its descriptor may belong to another file by now.
        """
        if self.closed:
            raise ValueError(f"{self.path} is closed")
        length = len(data)
        self._bytes += length
        if len(self._waiting) + length <= _WAITING_BYTES_MAX:
            self._waiting += data
            return length
        self._write_waiting()
        if length <= _WAITING_BYTES_MAX:
            self._waiting += data
        else:
            self._write(data)
        return length

    def tell(self) -> int:
        """Bytes written so far."""
        return self._bytes

    def flush(self) -> None:
        """Do nothing: only ``commit`` makes a promise."""

    def commit(self) -> tuple[int, bytes]:
        """Make the file durable and give it its name; the caller fsyncs the directory.

        Returns:
            Length in bytes and SHA-256 of the file.
        """
        self._write_waiting()
        _guarded(self._disk.fsync, self.path, self._fd, doing="fsync")
        self.close()
        _guarded(self._disk.rename, self.path, self._temporary, self.path, doing="rename to")
        return self._bytes, self._sha256.digest()

    def close(self) -> None:
        """Close without commit; what was written stays under the temporary name."""
        if not self.closed:
            self.closed = True
            _guarded(self._disk.close, self.path, self._fd, doing="close")

    def _write_waiting(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, bytearray()
            self._write(waiting)

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        _write_all(self._disk, self._fd, data, self.path)
        self._sha256.update(data)


def write_file(disk: Disk, path: Path, data: bytes) -> tuple[int, bytes]:
    """Put ``data`` at ``path``, whole and fsynced; the caller fsyncs the directory.

    Returns:
        Length in bytes and SHA-256.
    """
    with DurableWriter(disk, path) as writer:
        writer.write(data)
        return writer.commit()


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that readers see the old bytes or the new, also after a crash."""
    write_file(disk, path, data)
    sync_directory(disk, path.parent)


def append_file(disk: Disk, path: Path, data: bytes) -> None:
    """Append ``data`` to ``path``, created if need be, and make it durable."""
    is_new = not path.exists()
    with _opened(disk, path, os.O_CREAT | os.O_WRONLY | os.O_APPEND) as fd:
        _write_all(disk, fd, data, path)
        _guarded(disk.fsync, path, fd, doing="fsync")
    if is_new:
        sync_directory(disk, path.parent)


def truncate_file(disk: Disk, path: Path, length: int) -> None:
    """Cut ``path`` to ``length`` bytes and make that durable."""
    with _opened(disk, path, os.O_WRONLY) as fd:
        _guarded(disk.truncate, path, fd, length, doing="truncate")
        _guarded(disk.fsync, path, fd, doing="fsync")


def remove_file(disk: Disk, path: Path) -> None:
    """Remove ``path``; gone already is fine, and the removal need not be durable."""
    try:
        disk.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise _durability_error("remove", path, error) from error


def make_directory(disk: Disk, path: Path) -> None:
    """Make ``path`` unless it is there, and make its name durable in its parent.

    The name of one that is there may not be durable yet: a process was killed between the two.
    """
    if not path.is_dir():
        _guarded(disk.mkdir, path, path, doing="make directory")
    sync_directory(disk, path.parent)


def sync_file(disk: Disk, path: Path) -> None:
    """Make durable what an earlier process wrote to ``path`` before it was killed."""
    with _opened(disk, path, os.O_RDONLY) as fd:
        _guarded(disk.fsync, path, fd, doing="fsync")


def sync_directory(disk: Disk, path: Path) -> None:
    """Make the names in a directory durable.

    Without it a power cut after a rename can bring back the old file: an old checkpoint, after a
    witness cosigned the new one, would rightly be reported as a rollback.
    """
    with _opened(disk, path, os.O_RDONLY | os.O_DIRECTORY) as fd:
        _guarded(disk.fsync, path, fd, doing="fsync")


@contextmanager
def _opened(disk: Disk, path: Path, flags: int) -> Iterator[int]:
    """An open file, closed at the end."""
    fd = _guarded(disk.open, path, path, flags, doing="open")
    try:
        yield fd
    finally:
        _guarded(disk.close, path, fd, doing="close")


def _write_all(disk: Disk, fd: int, data: bytes | bytearray | memoryview, path: Path) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[_guarded(disk.write, path, fd, rest, doing="write") :]


def _guarded(call: Callable[..., R], subject: Path, *args: object, doing: str) -> R:
    try:
        return call(*args)
    except OSError as error:
        raise _durability_error(doing, subject, error) from error


def _durability_error(doing: str, path: Path, error: OSError) -> DurabilityError:
    return DurabilityError(
        f"{doing} {path}: {error.strerror or error}", path=path, errno=error.errno, doing=doing
    )
