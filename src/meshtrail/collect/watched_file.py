"""A file of secrets that is read again when it changes: to change one must not take a restart."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Generic, TypeVar

from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
_Version = tuple[int, int, int, int]


class WatchedFile(Generic[T]):
    """What a file says, as long as it is good, and closed to others than its owner.

    Args:
        path: of the file.
        what: it is called in messages.
        parse: its bytes, at most ``bytes_max`` and one; raises ConfigError.
        bytes_max: how many are looked at.
        closed_bits: of its mode, of which none may be set.
        danger: what whoever they let in could do, and what to do about it.

    Attributes:
        value: what was parsed last.

    Raises:
        ConfigError: the file cannot be read, is not what it should be, or is open to others.
    """

    def __init__(
        self,
        path: Path,
        *,
        what: str,
        parse: Callable[[bytes], T],
        bytes_max: int,
        closed_bits: int,
        danger: str,
    ) -> None:
        self.path = path
        self._what = what
        self._parse = parse
        self._bytes_max = bytes_max
        self._closed_bits = closed_bits
        self._danger = danger
        self._refused: _Version | str | None = None
        self._version, self.value = self._read()

    def read_changed(self) -> bool:
        """Whether the file changed, and says something else now.

        Raises:
            ConfigError: it changed, and is bad now; once for each change. What it said before
                stays.
        """
        seen: _Version | str
        try:
            seen = _version(self.path.stat())
        except OSError as error:
            seen = error.strerror or "it cannot be read"
        if seen in (self._version, self._refused):
            return False
        self._refused = seen
        self._version, self.value = self._read()
        self._refused = None
        return True

    def _read(self) -> tuple[_Version, T]:
        try:
            with self.path.open("rb") as file:
                # Of the open file, not of the path: between two looks a path can change.
                status = os.fstat(file.fileno())
                data = file.read(self._bytes_max + 1)
        except OSError as error:
            raise ConfigError(
                f"{self._what} {self.path}: {error.strerror}", path=self.path
            ) from error
        if status.st_mode & self._closed_bits:
            raise ConfigError(
                f"{self._what} {self.path} has mode {stat.S_IMODE(status.st_mode):04o}: "
                f"{self._danger}, then run: chmod 600 {self.path}",
                path=self.path,
            )
        return _version(status), self._parse(data)


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
