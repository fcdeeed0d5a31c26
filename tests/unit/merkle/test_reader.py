"""Stored hashes read from tiles: those of the size, or full ones where partial are gone."""

from __future__ import annotations

import pytest

from meshtrail.errors import NotFoundError, ProofSyntaxError
from meshtrail.merkle.reader import TileReader
from meshtrail.merkle.tile import Tile, tiles_for_size
from meshtrail.units import TreeSize
from tests.stored_rows import StoredRows

SIZE = TreeSize(66_000)
STORED = StoredRows.with_leaves(SIZE)


class TileFolder:
    """The tiles that exist, by path, with a list of what was asked for."""

    def __init__(self, tree_size: int, stored: StoredRows = STORED) -> None:
        tiles = tiles_for_size(TreeSize(tree_size))
        self.tiles = {tile.path: stored.read_tile(tile) for tile in tiles}
        self.asked: list[str] = []

    def read_tile(self, tile: Tile) -> bytes:
        """Return the tile of exactly this path."""
        self.asked.append(tile.path)
        if tile.path not in self.tiles:
            raise NotFoundError(f"{tile.path} is not there", path=tile.path)
        return self.tiles[tile.path]


@pytest.mark.parametrize(
    ("level", "start", "end"),
    [
        (0, 0, 1),
        (0, 0, 256),
        (0, 255, 257),
        (0, 3, 700),
        (0, 65_999, 66_000),
        (1, 0, 257),
        (2, 0, 1),
    ],
)
def test_hashes_are_cut_from_the_tiles_that_they_span(level: int, start: int, end: int) -> None:
    folder = TileFolder(SIZE)
    row = TileReader(folder, tree_size=SIZE).read_hashes(level, start, end)
    assert row == STORED.rows[level][start * 32 : end * 32]
    assert len(folder.asked) == (end - 1) // 256 - start // 256 + 1


def test_no_hashes_are_no_reads() -> None:
    folder = TileFolder(SIZE)
    assert TileReader(folder, tree_size=SIZE).read_hashes(0, 300, 300) == b""
    assert folder.asked == []


def test_a_partial_tile_that_is_gone_is_cut_from_the_full_one() -> None:
    folder = TileFolder(512)
    reader = TileReader(folder, tree_size=TreeSize(300))
    assert reader.read_hashes(0, 256, 300) == STORED.rows[0][256 * 32 : 300 * 32]
    assert folder.asked == ["tile/0/001.p/44", "tile/0/001"]


def test_a_hash_after_the_tree_is_not_read_from_a_wider_tile() -> None:
    folder = TileFolder(512)
    reader = TileReader(folder, tree_size=TreeSize(300))
    for level, start, end in (
        (0, 256, 301),
        (0, 5, 4),
        (0, -1, 1),
        (1, 0, 2),
        (2, 0, 1),
        (-1, 0, 1),
    ):
        with pytest.raises(ProofSyntaxError, match="has no such hashes"):
            reader.read_hashes(level, start, end)
    assert folder.asked == []


def test_a_tile_that_is_gone_is_named() -> None:
    folder = TileFolder(300)
    del folder.tiles["tile/0/000"], folder.tiles["tile/0/001.p/44"]
    reader = TileReader(folder, tree_size=TreeSize(300))
    with pytest.raises(NotFoundError, match="tile/0/000 is not there"):
        reader.read_hashes(0, 0, 1)
    with pytest.raises(NotFoundError, match="tile/0/001 is not there"):
        reader.read_hashes(0, 256, 257)
    assert folder.asked == ["tile/0/000", "tile/0/001.p/44", "tile/0/001"]


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00" * 32])
def test_a_tile_of_the_wrong_length_is_refused(change: object) -> None:
    assert callable(change)
    folder = TileFolder(300)
    for path, data in folder.tiles.items():
        folder.tiles[path] = change(data)
    reader = TileReader(folder, tree_size=TreeSize(300))
    with pytest.raises(ProofSyntaxError, match=r"tile/0/001\.p/44 holds"):
        reader.read_hashes(0, 256, 257)
