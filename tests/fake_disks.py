"""Disks that fail: at a chosen call, for want of room, or by a power cut."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

R = TypeVar("R")


class Failure(Enum):
    """What became of a call that reports an error."""

    LOST = "lost"
    DONE = "done"


class FailingDisk(Disk):
    """Fails one call, by its number; counts them all."""

    def __init__(
        self, fails_at: int | None = None, *, how: Failure = Failure.LOST, code: int = errno.EIO
    ) -> None:
        self.calls: list[str] = []
        self.fails_at = fails_at
        self._how = how
        self._code = code
        self._opened: set[int] = set()

    def kill(self) -> None:
        """Close what is still open, as the end of the process would."""
        while self._opened:
            os.close(self._opened.pop())

    def open(self, path: Path, flags: int) -> int:
        return self._call("open", lambda: self._open(path, flags))

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return self._call("write", lambda: super(FailingDisk, self).write(fd, data))

    def fsync(self, fd: int) -> None:
        self._call("fsync", lambda: super(FailingDisk, self).fsync(fd))

    def truncate(self, fd: int, length: int) -> None:
        self._call("truncate", lambda: super(FailingDisk, self).truncate(fd, length))

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename", lambda: super(FailingDisk, self).rename(old, new))

    def unlink(self, path: Path) -> None:
        self._call("unlink", lambda: super(FailingDisk, self).unlink(path))

    def mkdir(self, path: Path) -> None:
        self._call("mkdir", lambda: super(FailingDisk, self).mkdir(path))

    def close(self, fd: int) -> None:
        self._call("close", lambda: self._close(fd))

    def _open(self, path: Path, flags: int) -> int:
        fd = super().open(path, flags)
        self._opened.add(fd)
        return fd

    def _close(self, fd: int) -> None:
        self._opened.discard(fd)
        super().close(fd)

    def _call(self, name: str, call: Callable[[], R]) -> R:
        self.calls.append(name)
        if len(self.calls) - 1 != self.fails_at:
            return call()
        if self._how is Failure.DONE:
            call()
        raise OSError(self._code, os.strerror(self._code), name)


class SmallDisk(Disk):
    """Has room for so many bytes; a write that does not fit is done in part, as disks do it."""

    def __init__(self, room_bytes: int) -> None:
        self.room_bytes = room_bytes

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if not self.room_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(fd, memoryview(data)[: self.room_bytes])
        self.room_bytes -= written
        return written

    def truncate(self, fd: int, length: int) -> None:
        self.room_bytes += os.fstat(fd).st_size - length
        super().truncate(fd, length)


@dataclass
class _Folder:
    """What a power cut would leave of one directory."""

    names: set[str] = field(default_factory=set)
    contents: dict[str, bytes] = field(default_factory=dict)


class PowerCutError(Exception):
    """The power went away in the middle of a call; nothing happens any more until the restart."""


class PowerCutDisk(Disk):
    """Knows what was synced. `restart` leaves that, and of the rest whatever the test chooses.

    A file's bytes survive its fsync, its name survives the fsync of its directory. What came after
    may be there, not at all, in part, or as zeros where only the length reached the disk.
    """

    def __init__(self) -> None:
        self.calls_left: int | None = None
        self._folders: dict[Path, _Folder] = {}
        self._opened: dict[int, Path] = {}

    def open(self, path: Path, flags: int) -> int:
        self._count_down()
        fd = super().open(path, flags)
        self._opened[fd] = path
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._count_down()
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        """Remember what is there; the real disk need not be waited for."""
        self._count_down()
        path = self._opened[fd]
        if path.is_dir():
            self._folder(path).names = {item.name for item in path.iterdir()}
        else:
            self._folder(path.parent).contents[path.name] = path.read_bytes()

    def truncate(self, fd: int, length: int) -> None:
        self._count_down()
        super().truncate(fd, length)

    def unlink(self, path: Path) -> None:
        self._count_down()
        super().unlink(path)

    def close(self, fd: int) -> None:
        self._count_down()
        self._close(fd)

    def kill(self) -> None:
        """The process ends, the machine does not: its files are closed and keep every byte."""
        self.calls_left = None
        for fd in list(self._opened):
            self._close(fd)

    def restart(self, directory: Path, choose: Callable[[int], int]) -> None:
        """Leave in `directory` what the disk kept.

        Args:
            directory: holds files only.
            choose: `choose(n)` gives a number from 0 to n, both included.
        """
        self.kill()
        folder = self._folder(directory)
        there = {item.name for item in directory.iterdir()}
        for name in sorted(there | folder.names):
            path = directory / name
            if (name in there) != (name in folder.names) and not choose(1):
                path.unlink(missing_ok=True)
            else:
                _leave(path, folder.contents.get(name, b""), choose)
        folder.names = {item.name for item in directory.iterdir()}
        folder.contents = {name: (directory / name).read_bytes() for name in folder.names}

    def _count_down(self) -> None:
        if self.calls_left is not None:
            if not self.calls_left:
                raise PowerCutError
            self.calls_left -= 1

    def _close(self, fd: int) -> None:
        self._opened.pop(fd)
        super().close(fd)

    def _folder(self, path: Path) -> _Folder:
        return self._folders.setdefault(path, _Folder())


def _leave(path: Path, synced: bytes, choose: Callable[[int], int]) -> None:
    now = path.read_bytes() if path.exists() else synced
    if not now.startswith(synced):
        path.write_bytes(now if choose(1) else synced)
        return
    # The whole length with zeros in its last bytes is what only a CRC can tell: often.
    kept = len(now) if choose(1) else len(synced) + choose(len(now) - len(synced))
    zeros = choose(min(kept - len(synced), choose(1) * 8 or kept))
    path.write_bytes(now[: kept - zeros] + bytes(zeros))
