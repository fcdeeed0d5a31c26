"""Tiles: where 256 stored hashes of one level have their place, and which tiles a tree size has.

A tile's bytes are its hashes one after the other. This module names tiles and cuts trees into them;
it does not say whether a tile's hashes are true (`meshtrail.merkle.stored_tree` does).

Source: C2SP tlog-tiles v0.1.0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import ProofSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES
from meshtrail.units import INT64_MAX, TreeSize

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_HEIGHT = 8
"""Levels of the tree between two stored levels."""

TILE_WIDTH = 1 << TILE_HEIGHT
"""Hashes in a full tile; a full tile folds to one hash of the level above."""

TILE_LEVEL_MAX = 63

# No index within 63 bits needs more than seven path elements: the bound keeps int() off long input.
_TILE_PATH = re.compile(
    r"tile/(?P<level>[0-9]{1,2})/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[0-9]{1,3}))?"
)
_ENTRIES_PATH = re.compile(
    r"tile/entries/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[0-9]{1,3}))?"
)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """The place of a tile.

    Attributes:
        level: tile level, 0 for leaf hashes; a hash of level l covers 256**l leaves.
        index: position within the level, from 0.
        width: hashes in it, 1 to 256; fewer than 256 only on the right edge of a tree.

    Raises:
        ProofSyntaxError: a value outside its range.
    """

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check_place(index=self.index, width=self.width)
        if not 0 <= self.level <= TILE_LEVEL_MAX:
            raise ProofSyntaxError("a tile level is outside 0 to 63", level=self.level)

    @property
    def start(self) -> int:
        """Position of its first hash within the level."""
        return self.index * TILE_WIDTH

    @property
    def end(self) -> int:
        """Position after its last hash."""
        return self.start + self.width

    @property
    def path(self) -> str:
        """Its C2SP path: ``tile/0/x001/x234/067.p/8``."""
        return f"tile/{self.level}/{_format_place(self.index, self.width)}"


@dataclass(frozen=True, slots=True, order=True)
class EntryBundle:
    """The place of an entry bundle: the entries under one tile of level 0.

    Attributes:
        index: position among the bundles, from 0.
        width: entries in it, 1 to 256; fewer than 256 only at the end of a tree.

    Raises:
        ProofSyntaxError: a value outside its range.
    """

    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        _check_place(index=self.index, width=self.width)

    @property
    def start(self) -> int:
        """Index of its first leaf."""
        return self.index * TILE_WIDTH

    @property
    def end(self) -> int:
        """Index after its last leaf."""
        return self.start + self.width

    @property
    def path(self) -> str:
        """Its C2SP path: ``tile/entries/x001/x234/067.p/8``."""
        return f"tile/entries/{_format_place(self.index, self.width)}"


def parse_tile_path(path: str) -> Tile:
    """Return the tile that a path names.

    Raises:
        ProofSyntaxError: not the path of a tile, or not the one spelling of it.
    """
    if match := _TILE_PATH.fullmatch(path):
        tile = Tile(int(match["level"]), *_parse_place(match))
        if tile.path == path:
            return tile
    raise ProofSyntaxError(f"{path[:80]!a} is not the path of a tile", path=path)


def parse_bundle_path(path: str) -> EntryBundle:
    """Return the entry bundle that a path names.

    Raises:
        ProofSyntaxError: not the path of an entry bundle, or not the one spelling of it.
    """
    if match := _ENTRIES_PATH.fullmatch(path):
        bundle = EntryBundle(*_parse_place(match))
        if bundle.path == path:
            return bundle
    raise ProofSyntaxError(f"{path[:80]!a} is not the path of an entry bundle", path=path)


def tiles_for_size(tree_size: TreeSize) -> Iterator[Tile]:
    """Yield every tile that must exist for a tree, the lowest level first, each from the left.

    Raises:
        ProofSyntaxError: not a tree size.
    """
    return tiles_between(old_size=TreeSize(0), new_size=tree_size)


def tiles_between(*, old_size: TreeSize, new_size: TreeSize) -> Iterator[Tile]:
    """Yield the tiles that a tree has and an older one had not: completed, wider or new.

    The order is that of `tiles_for_size`.

    Raises:
        ProofSyntaxError: not 0 <= old size <= new size.
    """
    _check_growth(old_size=old_size, new_size=new_size)
    heights = range(0, new_size.bit_length(), TILE_HEIGHT)
    return (
        Tile(level, index, width)
        for level, height in enumerate(heights)
        for index, width in _cover(old_size >> height, new_size >> height)
    )


def bundles_for_size(tree_size: TreeSize) -> Iterator[EntryBundle]:
    """Yield every entry bundle that must exist for a tree, from the left.

    Raises:
        ProofSyntaxError: not a tree size.
    """
    return bundles_between(old_size=TreeSize(0), new_size=tree_size)


def bundles_between(*, old_size: TreeSize, new_size: TreeSize) -> Iterator[EntryBundle]:
    """Yield the entry bundles that a tree has and an older one had not, from the left.

    Raises:
        ProofSyntaxError: not 0 <= old size <= new size.
    """
    _check_growth(old_size=old_size, new_size=new_size)
    return (EntryBundle(index, width) for index, width in _cover(old_size, new_size))


def tile_width(*, level: int, index: int, tree_size: TreeSize) -> int:
    """Return how many hashes a tile has in a tree: 0 where the tree has no such tile.

    A hash whose 256**level leaves are not all there yet does not exist: a partial tile is never
    hashed into the level above.
    """
    items_count = tree_size >> TILE_HEIGHT * level
    return max(0, min(TILE_WIDTH, items_count - index * TILE_WIDTH))


def tile_indexes(start: int, end: int) -> range:
    """Return the indexes of the tiles that hold items [start, end) of a level; none when empty."""
    return range(start // TILE_WIDTH, -(-end // TILE_WIDTH)) if start < end else range(0)


def decode_tile(data: bytes, *, tile: Tile) -> bytes:
    """Return the row of hashes that a tile's bytes are.

    Returns:
        uint8[width * 32].

    Raises:
        ProofSyntaxError: the bytes are not as many hashes as the tile is wide.
    """
    if len(data) != tile.width * HASH_BYTES:
        raise ProofSyntaxError(
            f"{tile.path} holds {len(data)} bytes, want {tile.width * HASH_BYTES}",
            path=tile.path,
            tile_bytes=len(data),
        )
    return bytes(data)


def _cover(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield index and width of each tile with an item in [start, end), in a row that ends there."""
    for index in tile_indexes(start, end):
        yield index, min(TILE_WIDTH, end - index * TILE_WIDTH)


def _check_growth(*, old_size: int, new_size: int) -> None:
    if not 0 <= old_size <= new_size <= INT64_MAX:
        raise ProofSyntaxError(
            "tree sizes are not 0 <= old size <= new size <= 2**63 - 1",
            old_size=old_size,
            new_size=new_size,
        )


def _check_place(*, index: int, width: int) -> None:
    if not 0 <= index <= INT64_MAX:
        raise ProofSyntaxError("a tile index is outside 0 to 2**63 - 1", index=index)
    if not 1 <= width <= TILE_WIDTH:
        raise ProofSyntaxError("a tile width is outside 1 to 256", width=width)


def _format_place(index: int, width: int) -> str:
    """Write an index as path elements of three digits, and the width of a partial tile."""
    last = f"{index % 1000:03d}"
    while index := index // 1000:
        last = f"x{index % 1000:03d}/{last}"
    return last if width == TILE_WIDTH else f"{last}.p/{width}"


def _parse_place(match: re.Match[str]) -> tuple[int, int]:
    """Read what `_format_place` wrote; the caller writes it again and compares."""
    index = int(re.sub("[x/]", "", match["index"]))
    return index, int(match["width"] or TILE_WIDTH)
