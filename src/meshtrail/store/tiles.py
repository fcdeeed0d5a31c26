"""Tiles files: the hashes of a range of leaves, and the tree read back from many of them.

A file's length follows from its name, see docs/formats/layout.md. Nothing read here is believed
before it leads to a signed root.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from meshtrail.errors import DigestError, MissingFileError, NotFoundError
from meshtrail.merkle.hashing import HASH_BYTES
from meshtrail.merkle.tile import TILE_HEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from meshtrail.merkle.tree import HashRow
    from meshtrail.store.layout import RangeFile


def completed_range(start: int, end: int, level: int) -> tuple[int, int]:
    """Which hashes of a tile level became complete when the tree grew from start to end leaves."""
    shift = level * TILE_HEIGHT
    return start >> shift, end >> shift


def tiles_levels(start: int, end: int) -> list[tuple[int, int, int]]:
    """What a tiles file holds, in order.

    Returns:
        (level, first, after the last) for level 0 and each higher level that gained hashes.
    """
    rows: list[tuple[int, int, int]] = []
    level = 0
    while True:
        first, last = completed_range(start, end, level)
        if first == last:
            return rows
        rows.append((level, first, last))
        level += 1


def tiles_bytes(start: int, end: int) -> int:
    """Length of the tiles file of leaves [start, end)."""
    return sum(last - first for _, first, last in tiles_levels(start, end)) * HASH_BYTES


def encode_tiles(leaf_hashes: bytes, completed: Sequence[HashRow]) -> bytes:
    """The tiles file of leaves whose hashes were appended to a tree.

    Args:
        leaf_hashes: uint8[n * 32].
        completed: what ``Frontier.extend`` returned for them.
    """
    return b"".join([leaf_hashes, *(row.hashes for row in completed)])


def merge_tiles(parts: Iterable[tuple[RangeFile, bytes]]) -> bytes:
    """The tiles file of adjacent ranges, from the files of each, in order."""
    levels: dict[int, list[bytes]] = {}
    for named, data in parts:
        offset = 0
        for level, first, last in tiles_levels(named.start, named.end):
            length = (last - first) * HASH_BYTES
            levels.setdefault(level, []).append(data[offset : offset + length])
            offset += length
    return b"".join(b"".join(levels[level]) for level in sorted(levels))


class TilesReader:
    """The stored hashes of a tree over its live tiles files; a ``merkle.HashReader``.

    Files are opened for each read and never held: a merge may supersede them meanwhile, and
    superseded files stay for a while.
    """

    def __init__(self, root: Path, files: Sequence[RangeFile]) -> None:
        """Take the tiles files of one manifest, which cover [0, tree size) in order."""
        self._root = root
        self._files = sorted(files, key=lambda named: named.start)

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Consecutive stored hashes of one level; see ``merkle.HashReader``.

        Raises:
            NotFoundError: no file covers them.
            MissingFileError, DigestError: a file is gone or shorter than its name says.
        """
        rows = []
        position = start
        while position < end:
            named = self._find(level, position)
            first, last = completed_range(named.start, named.end, level)
            until = min(end, last)
            skip = position - first + _hashes_below(named, level)
            rows.append(self._read(named, skip, until - position))
            position = until
        return b"".join(rows)

    def _find(self, level: int, position: int) -> RangeFile:
        """The file whose range completed this hash."""
        # The hash becomes complete with the leaf before (position + 1) << shift.
        leaf = ((position + 1) << level * TILE_HEIGHT) - 1
        at = bisect.bisect_right(self._files, leaf, key=lambda named: named.start) - 1
        if at < 0 or not self._files[at].start <= leaf < self._files[at].end:
            raise NotFoundError(
                f"no tiles file holds hash {position} of level {level}",
                level=level,
                position=position,
            )
        return self._files[at]

    def _read(self, named: RangeFile, skip: int, count: int) -> bytes:
        path = self._root / named.path
        try:
            with path.open("rb") as file:
                file.seek(skip * HASH_BYTES)
                data = file.read(count * HASH_BYTES)
        except FileNotFoundError as error:
            raise MissingFileError(f"{named.path} is gone", path=named.path) from error
        if len(data) != count * HASH_BYTES:
            raise DigestError(
                f"{named.path} ends early: want {tiles_bytes(named.start, named.end)} bytes",
                path=named.path,
            )
        return data


def _hashes_below(named: RangeFile, level: int) -> int:
    """How many hashes stand in the file before those of a level."""
    levels = tiles_levels(named.start, named.end)
    return sum(last - first for at, first, last in levels if at < level)
