"""The one writer of a journal: an flock that the kernel releases when the process ends."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from meshtrail.errors import WriterHeldError
from meshtrail.journal.files import LOCK_NAME, guarded

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.store.durable import Disk


class JournalLock:
    """Holds ``lock`` of a journal's directory until closed.

    Raises:
        WriterHeldError: another writer holds it.
    """

    def __init__(self, disk: Disk, directory: Path) -> None:
        path = directory / LOCK_NAME
        self._disk = disk
        self._path = path
        with guarded("open", path):
            self._fd = disk.open(path, os.O_RDWR | os.O_CREAT)
        try:
            with guarded("lock", path):
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException as error:
            disk.close(self._fd)
            if isinstance(error.__cause__, BlockingIOError):
                raise WriterHeldError(
                    f"another process writes the journal {directory}", path=path
                ) from error
            raise

    def close(self) -> None:
        """Let the lock go."""
        with guarded("close", self._path):
            self._disk.close(self._fd)
