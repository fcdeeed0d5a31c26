"""The lock that makes the sealer the only writer of a data directory."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

from meshtrail.errors import DurabilityError, WriterHeldError

if TYPE_CHECKING:
    from meshtrail.store.layout import Layout


_TRIES: Final = 6
_TRY_AGAIN_S: Final = 0.02
"""`meshtrail status` has the lock for microseconds to see whether somebody else has it."""


class DataLock:
    """Held from construction to ``close``; the kernel lets it go when the process dies."""

    def __init__(self, layout: Layout) -> None:
        """Take the lock.

        Raises:
            WriterHeldError: another sealer has it.
            DurabilityError: the directory cannot be written.
        """
        try:
            self._fd = os.open(layout.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise DurabilityError(
                f"open {layout.lock}: {error.strerror}. The sealer must be able to write there",
                path=layout.lock,
                errno=error.errno,
            ) from error
        if not _take(self._fd):
            os.close(self._fd)
            raise WriterHeldError(
                f"{layout.root} has a sealer already: a log has one writer. "
                "Stop the other `meshtrail up` first",
                path=layout.root,
            )

    def close(self) -> None:
        """Let it go."""
        os.close(self._fd)


def _take(descriptor: int) -> bool:
    """Whether the lock could be taken, within a tenth of a second."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Waiting in the kernel would have no end.
            time.sleep(_TRY_AGAIN_S)
        else:
            return True
    return False
