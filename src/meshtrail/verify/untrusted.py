"""Reading files that an attacker may have put there: regular files only, bounded, never blocking.

A named pipe or a device in the place of a committed file must not hang the auditor, and a file of
any length must not fill its memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Final

from meshtrail.errors import DigestError, MissingFileError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20


def open_regular(path: Path, *, name: str) -> BinaryIO:
    """Open a file for reading.

    Args:
        path: where it lies.
        name: what messages call it; its path in DATA.

    Raises:
        MissingFileError: it is not there, or is no regular file.
        UnavailableError: the operating system does not let us read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"{name} is gone", path=name) from error
    except OSError as error:
        raise UnavailableError(f"{name} cannot be read: {error.strerror}", path=name) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MissingFileError(f"{name} is no regular file", path=name)
    return os.fdopen(descriptor, "rb")


def read_bounded(path: Path, *, name: str, bytes_max: int) -> bytes:
    """Read a whole file of at most so many bytes.

    Raises:
        MissingFileError, UnavailableError: see ``open_regular``.
        DigestError: it is longer than anything that was written there.
    """
    with open_regular(path, name=name) as file:
        data = _read(file, bytes_max + 1, name)
    if len(data) > bytes_max:
        raise DigestError(f"{name} has over {bytes_max} bytes", path=name, want=bytes_max)
    return data


def read_beginning(path: Path, *, name: str, length: int) -> bytes:
    """Read the first ``length`` bytes of a file, or fewer where it ends before.

    Raises:
        MissingFileError, UnavailableError: see ``open_regular``.
    """
    with open_regular(path, name=name) as file:
        return _read(file, length, name)


def digest_file(path: Path, *, name: str) -> tuple[int, bytes]:
    """The length and SHA-256 of a file, read a piece at a time.

    Raises:
        MissingFileError, UnavailableError: see ``open_regular``.
    """
    digest = hashlib.sha256()
    length = 0
    with open_regular(path, name=name) as file:
        while chunk := _read(file, CHUNK_BYTES, name):
            digest.update(chunk)
            length += len(chunk)
    return length, digest.digest()


def list_folder(path: Path) -> list[str]:
    """The names in a folder, sorted; none when there is no such folder."""
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - names, not paths, are what is compared
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UnavailableError(f"{path} cannot be listed: {error.strerror}", path=path) from error


def _read(file: BinaryIO, length: int, name: str) -> bytes:
    try:
        return file.read(length)
    except OSError as error:
        raise UnavailableError(f"{name} cannot be read: {error.strerror}", path=name) from error
