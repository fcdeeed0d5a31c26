"""Files that are not open, of which it is known how far they were taken."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from meshtrail.journal import FINGERPRINT_BYTES_MAX, FilePosition, FileState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshtrail.collect.tail.found_files import FoundFile
    from meshtrail.journal import FileIdentity

COPY_BYTES_MIN: Final = 64
"""A file that begins with as many bytes of another, or more, is a copy of it."""


class Remembered:
    """Positions by file."""

    def __init__(self, left: Iterable[FilePosition]) -> None:
        self._positions = {position.identity: position for position in left}

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[FilePosition]:
        return iter(tuple(self._positions.values()))

    def __contains__(self, identity: FileIdentity) -> bool:
        return identity in self._positions

    def add(self, position: FilePosition) -> None:
        """Remember a file; the last position counts."""
        self._positions[position.identity] = position

    def take(self, identity: FileIdentity) -> None:
        """Forget a file, because it is open or gone."""
        self._positions.pop(identity, None)

    def recall(self, found: FoundFile) -> FilePosition | None:
        """The position of a file, if it may be the one.

        A disk may have another number after a restart of the machine: then the inode and the first
        bytes tell.
        """
        position = self._positions.get(found.identity)
        if position is not None:
            return position
        inode = found.identity.inode
        return next(
            (
                one
                for one in self._positions.values()
                if one.inode == inode and one.fingerprint_bytes and holds(found, one)
            ),
            None,
        )

    def is_copy(self, found: FoundFile, *, path: str, heads: Iterable[bytes]) -> bool:
        """Whether a file begins as another does that was read under a path.

        Args:
            found: the file.
            path: the files that were found under it are compared, and
            heads: the beginnings of those that are open.
        """
        beginning = read_head(found.target)
        return any(is_long_start(head, beginning) for head in heads) or any(
            starts_as(one, beginning)
            for one in self._positions.values()
            if one.path == path and one.identity != found.identity
        )


def is_long_start(head: bytes, beginning: bytes) -> bool:
    """Whether a file begins as another did, with so much that it is no chance."""
    return len(head) >= COPY_BYTES_MIN and beginning.startswith(head)


def starts_as(position: FilePosition, beginning: bytes) -> bool:
    """The same, for a file of which the position is remembered."""
    count = position.fingerprint_bytes
    return (
        COPY_BYTES_MIN <= count <= len(beginning)
        and hashlib.sha256(beginning[:count]).digest() == position.fingerprint
    )


def holds(found: FoundFile, position: FilePosition) -> bool:
    """Whether a file still begins with what was taken of it, and is as long at least."""
    if found.size < position.offset:
        return False
    head = read_head(found.target)[: position.fingerprint_bytes]
    return (
        len(head) == position.fingerprint_bytes
        and hashlib.sha256(head).digest() == position.fingerprint
    )


def is_unread(found: FoundFile, position: FilePosition) -> bool:
    """Whether there is anything to read: it was left unfinished, or written to after its end."""
    if position.state is FileState.ENDED:
        return found.size > position.offset
    return position.state is FileState.OPEN


def read_head(path: str) -> bytes:
    """The first bytes of a file; none when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, FINGERPRINT_BYTES_MAX, 0)
    except OSError:
        return b""
    finally:
        os.close(fd)
