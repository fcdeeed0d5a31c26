"""Disks for the commit path: one that tells what was done, one that fails, one that loses power.

All are safe for threads: the sealer merges beside its ticks.
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

R = TypeVar("R")


class HastyDisk(Disk):
    """Leaves fsync out: tests that lose no power need not wait for it."""

    def fsync(self, fd: int) -> None:
        """Do nothing, but for a descriptor that is none."""
        os.fstat(fd)


class NamingDisk(HastyDisk):
    """Knows which path each open file has; gives what is to be done to ``around``."""

    def __init__(self) -> None:
        self.mutex = threading.RLock()
        self.opened: dict[int, Path] = {}

    def around(self, name: str, path: Path, call: Callable[[], R]) -> R:
        """Do it, or what this disk does instead."""
        raise NotImplementedError

    def open(self, path: Path, flags: int) -> int:
        with self.mutex:
            fd = self.around("open", path, lambda: super(NamingDisk, self).open(path, flags))
            self.opened[fd] = path
            return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        with self.mutex:
            return self.around(
                "write", self.opened[fd], lambda: super(NamingDisk, self).write(fd, data)
            )

    def fsync(self, fd: int) -> None:
        with self.mutex:
            self.around("fsync", self.opened[fd], lambda: super(NamingDisk, self).fsync(fd))

    def truncate(self, fd: int, length: int) -> None:
        with self.mutex:
            self.around(
                "truncate", self.opened[fd], lambda: super(NamingDisk, self).truncate(fd, length)
            )

    def rename(self, old: Path, new: Path) -> None:
        with self.mutex:
            self.around("rename", new, lambda: super(NamingDisk, self).rename(old, new))

    def unlink(self, path: Path) -> None:
        with self.mutex:
            self.around("unlink", path, lambda: super(NamingDisk, self).unlink(path))

    def mkdir(self, path: Path) -> None:
        with self.mutex:
            self.around("mkdir", path, lambda: super(NamingDisk, self).mkdir(path))

    def close(self, fd: int) -> None:
        with self.mutex:
            path = self.opened.pop(fd)
            self.around("close", path, lambda: super(NamingDisk, self).close(fd))

    def close_all(self) -> None:
        """Close what an abandoned process would leave to the kernel."""
        with self.mutex:
            for fd in self.opened:
                os.close(fd)
            self.opened.clear()


class TracingDisk(NamingDisk):
    """Writes down each call with its path below ``root``; opening and closing only if asked to."""

    def __init__(self, root: Path, *, is_whole: bool = False) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._root = root
        self._left_out = () if is_whole else ("open", "close")

    def around(self, name: str, path: Path, call: Callable[[], R]) -> R:
        done = call()
        if name not in self._left_out:
            self.calls.append(f"{name} {path.relative_to(self._root)}")
        return done


class Failure(Enum):
    """What became of the call that reports an error."""

    LOST = "lost"
    DONE = "done"
    PART = "part"


class FaultyDisk(NamingDisk):
    """Fails one call, by its number; all others are done.

    Attributes:
        count: calls so far.
        failed: which one failed.
    """

    def __init__(self, fails_at: int, how: Failure, *, code: int = errno.EIO) -> None:
        super().__init__()
        self.count = 0
        self.failed: str | None = None
        self._fails_at = fails_at
        self._how = how
        self._code = code

    def write(self, fd: int, data: bytes | memoryview) -> int:
        if self.count == self._fails_at and self._how is Failure.PART:
            os.write(fd, memoryview(data)[: len(data) // 2])
        return super().write(fd, data)

    def open(self, path: Path, flags: int) -> int:
        with self.mutex:
            if self.count == self._fails_at and self._how is Failure.DONE:
                # Done, but reported as failed: the caller never learns the descriptor.
                os.close(Disk.open(self, path, flags))
            return super().open(path, flags)

    def around(self, name: str, path: Path, call: Callable[[], R]) -> R:
        self.count += 1
        if self.count - 1 != self._fails_at:
            return call()
        self.failed = f"{name} {path}"
        # A descriptor is free after close, whatever close reports.
        if name == "close" or (self._how is Failure.DONE and name != "open"):
            call()
        raise OSError(self._code, os.strerror(self._code), str(path))


class PowerCutError(BaseException):
    """The machine is off: nothing may catch this and go on."""


class Survival(Enum):
    """What becomes of that which was not fsynced."""

    NOTHING = "nothing"
    """Names and bytes are as at the last fsync."""
    NAMES = "names"
    """Every name survives; the bytes behind it are as at the last fsync."""
    ZEROS = "zeros"
    """Names and lengths survive; the bytes that were not fsynced are zeros."""
    HALF = "half"
    """The first half of the changes to each directory, and half of the new bytes of each file."""
    ALL = "all"
    """Everything survives, as when a process is killed."""


@dataclass(eq=False)
class _File:
    """An inode: its content at the last fsync, and where it lies while the power is on."""

    synced: bytes = b""
    path: Path | None = None
    gone: bytes | None = None

    def now(self) -> bytes:
        if self.gone is not None:
            return self.gone
        return self.path.read_bytes() if self.path and self.path.is_file() else b""


_Names = dict[str, "_File | None"]


@dataclass(eq=False)
class _Folder:
    """The names in a directory, durable and since; None stands for a directory."""

    durable: _Names = field(default_factory=dict)
    states: list[_Names] = field(default_factory=list)

    @property
    def now(self) -> _Names:
        return self.states[-1] if self.states else self.durable

    def change(self, **_: object) -> _Names:
        names = dict(self.now)
        self.states.append(names)
        return names


class CrashDisk(NamingDisk):
    """Knows what is durable under ``root``; at the call ``cuts_at`` the power is cut.

    What is there at the beginning is durable. A file's bytes become so with its fsync, a name with
    the fsync of its directory. If it was the process alone that was killed, the machine goes on:
    then ``go_on`` lets the next process use the same disk.
    """

    def __init__(self, root: Path, cuts_at: int | None = None) -> None:
        super().__init__()
        self.count = 0
        self.cut_at: str | None = None
        self._root = root
        self._cuts_at = cuts_at
        self._folders: dict[Path, _Folder] = {}
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            self._folders[folder] = _Folder(
                {path.name: self._found(path) for path in folder.iterdir()}
            )

    def open(self, path: Path, flags: int) -> int:
        with self.mutex:
            is_new = not path.exists()
            fd = super().open(path, flags)
            if is_new:
                self._folders[path.parent].change()[path.name] = _File(path=path)
            return fd

    def fsync(self, fd: int) -> None:
        with self.mutex:
            super().fsync(fd)
            path = self.opened[fd]
            if path.is_dir():
                folder = self._folders[path]
                folder.durable, folder.states = dict(folder.now), []
            else:
                file = self._folders[path.parent].now[path.name]
                assert file is not None
                file.synced = path.read_bytes()

    def rename(self, old: Path, new: Path) -> None:
        with self.mutex:
            self._let_go(new)
            super().rename(old, new)
            names = self._folders[new.parent].change()
            file = names.pop(old.name)
            assert file is not None
            file.path = new
            names[new.name] = file
            for fd, path in self.opened.items():
                if path == old:
                    self.opened[fd] = new

    def unlink(self, path: Path) -> None:
        with self.mutex:
            self._let_go(path)
            super().unlink(path)
            self._folders[path.parent].change().pop(path.name, None)

    def mkdir(self, path: Path) -> None:
        with self.mutex:
            super().mkdir(path)
            self._folders[path.parent].change()[path.name] = None
            self._folders.setdefault(path, _Folder())

    def around(self, name: str, path: Path, call: Callable[[], R]) -> R:
        if self.cut_at is None:
            if self.count == self._cuts_at:
                self.cut_at = f"{name} {path}"
            self.count += 1
        if self.cut_at is not None and name != "close":
            raise PowerCutError(self.cut_at)
        return call()

    def go_on(self, *, cuts_after: int | None = None) -> None:
        """Let the next process begin; the power is cut after so many more calls, or not at all."""
        self.close_all()
        self.cut_at = None
        self._cuts_at = None if cuts_after is None else self.count + cuts_after

    def leave(self, target: Path, survival: Survival) -> None:
        """Write to ``target`` what is found under ``root`` when the power is back."""
        self._leave_folder(self._root, target, survival)

    def _leave_folder(self, source: Path, target: Path, survival: Survival) -> None:
        target.mkdir()
        for name, file in _surviving_names(self._folders[source], survival).items():
            if file is None:
                self._leave_folder(source / name, target / name, survival)
            else:
                (target / name).write_bytes(_surviving_bytes(file, survival))

    def _found(self, path: Path) -> _File | None:
        return None if path.is_dir() else _File(synced=path.read_bytes(), path=path)

    def _let_go(self, path: Path) -> None:
        """Keep the bytes of a file that loses its name: the removal may not survive."""
        file = self._folders[path.parent].now.get(path.name)
        if file is not None and path.exists():
            file.gone = path.read_bytes()


def _surviving_names(folder: _Folder, survival: Survival) -> _Names:
    if survival is Survival.NOTHING:
        return folder.durable
    if survival is Survival.HALF:
        states: Iterable[_Names] = folder.states[: len(folder.states) // 2]
        return [folder.durable, *states][-1]
    return folder.now


def _surviving_bytes(file: _File, survival: Survival) -> bytes:
    now = file.now()
    if survival is Survival.ALL:
        return now
    if survival in {Survival.NOTHING, Survival.NAMES}:
        return file.synced
    if not now.startswith(file.synced):
        # Cut, or written anew in place: either may have reached the disk.
        return now if survival is Survival.HALF else file.synced
    grown = len(now) - len(file.synced)
    if survival is Survival.ZEROS:
        return file.synced + bytes(grown)
    return now[: len(file.synced) + grown // 2]
