"""Published values: the eight leaves that Certificate Transparency software is tested on."""

from __future__ import annotations

import pytest

from meshtrail.merkle import (
    EMPTY_ROOT,
    AuthenticTree,
    Frontier,
    Tile,
    hash_leaf,
    hash_leaves,
    parse_tile_path,
    tiles_for_size,
)
from meshtrail.units import TreeSize
from tests.naive_rfc6962 import naive_root
from tests.stored_rows import StoredRows

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]

# Root of the first 1, 2, 3 … of these leaves.
# Source: github.com/google/certificate-transparency, tests of its merkletree.
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_root_of_the_empty_tree_is_the_hash_of_nothing() -> None:
    want = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert EMPTY_ROOT.hex() == Frontier().root().hex() == want


def test_hash_of_an_empty_leaf_is_not_that_of_the_empty_tree() -> None:
    assert hash_leaf(b"").hex() == ROOTS[0]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_published(size: int) -> None:
    frontier = Frontier()
    frontier.extend(hash_leaves(LEAVES[:size]))
    assert frontier.root().hex() == ROOTS[size - 1]
    # What the other tests compare with is held against the published values too.
    assert naive_root(LEAVES[:size]).hex() == ROOTS[size - 1]
    stored = StoredRows()
    stored.extend(hash_leaves(LEAVES[:size]))
    AuthenticTree(stored, tree_size=TreeSize(size), root_hash=bytes.fromhex(ROOTS[size - 1]))


def test_tiles_are_those_of_the_specifications_example() -> None:
    # C2SP tlog-tiles, "Partial Tiles": a tree of size 70,000; and its example of a long index.
    tiles = list(tiles_for_size(TreeSize(70_000)))
    assert [tile for tile in tiles if tile.level == 0] == [
        *(Tile(0, index) for index in range(273)),
        Tile(0, 273, 112),
    ]
    assert [tile for tile in tiles if tile.level > 0] == [Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert parse_tile_path("tile/0/x001/x234/067") == Tile(0, 1_234_067)
