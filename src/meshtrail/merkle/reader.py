"""Where stored hashes come from: the interface that storage implements, and tiles behind it.

Nothing read here is believed: `meshtrail.merkle.stored_tree.AuthenticTree` holds it against a root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from meshtrail.errors import NotFoundError, ProofSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES
from meshtrail.merkle.tile import (
    TILE_HEIGHT,
    TILE_WIDTH,
    Tile,
    decode_tile,
    tile_indexes,
    tile_width,
)

if TYPE_CHECKING:
    from meshtrail.units import TreeSize


class HashReader(Protocol):
    """Stored hashes by position."""

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return consecutive stored hashes of one tile level.

        A caller asks for no hash whose leaves are not all in the tree, and for at most 256 hashes
        of one tile at a time.

        Args:
            level: tile level; 0 holds leaf hashes, l the roots of 256**l leaves each.
            start: position of the first hash within the level.
            end: position after the last.

        Returns:
            uint8[(end - start) * 32].

        Raises:
            MeshtrailError: the storage does not have them, or cannot be read.
        """
        ...


class TileSource(Protocol):
    """Tiles by name: a folder or a web server in the tlog-tiles layout."""

    def read_tile(self, tile: Tile) -> bytes:
        """Return the bytes of a tile.

        Raises:
            NotFoundError: there is no such tile.
        """
        ...


class TileReader:
    """The stored hashes of one tree, read from its tiles.

    Only tiles that the tree size implies are asked for. A log may have deleted a partial tile once
    the tile was full: then the full one is read and cut.

    Source: C2SP tlog-tiles v0.1.0, "Partial Tiles".
    """

    def __init__(self, source: TileSource, *, tree_size: TreeSize) -> None:
        self._source = source
        self._tree_size = tree_size

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return consecutive stored hashes of one tile level, from as many tiles as they span.

        Raises:
            NotFoundError: a tile is gone, in every width that would do.
            ProofSyntaxError: the tree has no such hashes, or a tile has not the bytes of its width.
        """
        if level < 0 or not 0 <= start <= end <= self._tree_size >> level * TILE_HEIGHT:
            raise ProofSyntaxError(
                f"a tree of size {self._tree_size} has no such hashes of level {level}",
                start=start,
                end=end,
                tree_size=self._tree_size,
            )
        rows: list[bytes] = []
        for index in tile_indexes(start, end):
            width = tile_width(level=level, index=index, tree_size=self._tree_size)
            rows.append(self._read_tile(Tile(level, index, width)))
        skip = start % TILE_WIDTH * HASH_BYTES
        return b"".join(rows)[skip : skip + (end - start) * HASH_BYTES]

    def _read_tile(self, tile: Tile) -> bytes:
        try:
            return decode_tile(self._source.read_tile(tile), tile=tile)
        except NotFoundError:
            if tile.width == TILE_WIDTH:
                raise
        full = Tile(tile.level, tile.index)
        return decode_tile(self._source.read_tile(full), tile=full)
