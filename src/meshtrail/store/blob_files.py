"""Blobs on disk: bytes too large for an entry, each under its SHA-256.

A blob stands under its name only when it is whole and its bytes are durable, see ``durable``.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from meshtrail.errors import MissingFileError
from meshtrail.store.durable import sync_directory, write_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout


def write_blobs(disk: Disk, layout: Layout, blobs: Iterable[bytes]) -> None:
    """Store each distinct blob once, durably.

    Raises:
        DurabilityError: the disk refuses.
    """
    is_new = False
    for blob in blobs:
        path = layout.blob(hashlib.sha256(blob).digest())
        if not path.exists():
            write_file(disk, path, blob)
            is_new = True
    if is_new:
        sync_directory(disk, layout.blobs)


def read_blob(layout: Layout, sha256: bytes) -> bytes:
    """The bytes of a blob; nobody has checked them against the digest.

    Raises:
        MissingFileError: it is gone.
    """
    path = layout.blob(sha256)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFileError(f"blobs/{sha256.hex()} is gone", path=path) from error
