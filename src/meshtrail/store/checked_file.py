"""Reading committed files whose every byte goes into a new one.

What was edited must not come back under a new signature, so the bytes that are used are the bytes
that were hashed: a file is never read again once it was checked.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from meshtrail.errors import DigestError, MissingFileError

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.store.manifest import CommittedFile


def read_checked(root: Path, committed: CommittedFile) -> bytes:
    """The bytes of a committed file, which are what the manifest names.

    Raises:
        MissingFileError, DigestError: it is gone, or was changed.
    """
    with open_committed(root, committed) as file:
        data = file.read()
    check_digest(committed, hashlib.sha256(data).digest())
    return data


def open_committed(root: Path, committed: CommittedFile) -> BinaryIO:
    """Open a committed file; nothing of it is checked yet.

    Raises:
        MissingFileError: it is gone.
    """
    path = committed.named.path
    try:
        return (root / path).open("rb")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} is gone", path=path) from error


def check_digest(committed: CommittedFile, got: bytes) -> None:
    """Raise unless ``got`` is the SHA-256 that the manifest names.

    Raises:
        DigestError: it is not.
    """
    if got != committed.sha256:
        path = committed.named.path
        raise DigestError(
            f"{path} has SHA-256 {got.hex()[:16]}, "
            f"the manifest names {committed.sha256.hex()[:16]}",
            path=path,
            want=committed.sha256,
            got=got,
        )
