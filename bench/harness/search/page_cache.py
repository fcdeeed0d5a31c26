"""Files in and out of the kernel's page cache."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_CHUNK_BYTES: Final = 1 << 22


def read_through(paths: Iterable[Path]) -> None:
    """Read files once, so that the page cache holds as much of them as it can."""
    buffer = bytearray(_CHUNK_BYTES)
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def drop_cached(paths: Iterable[Path]) -> None:
    """Drop what the page cache holds of files."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # What is not on disk yet would be kept.
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
