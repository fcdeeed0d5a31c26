"""Tiles and bundles: their names, and which of them a tree has."""

from __future__ import annotations

import pytest

from meshtrail.errors import ProofSyntaxError
from meshtrail.merkle.tile import (
    EntryBundle,
    Tile,
    bundles_between,
    bundles_for_size,
    decode_tile,
    parse_bundle_path,
    parse_tile_path,
    tile_width,
    tiles_between,
    tiles_for_size,
)
from meshtrail.units import INT64_MAX, TreeSize

PLACES = [
    (0, 256, "000"),
    (0, 1, "000.p/1"),
    (7, 255, "007.p/255"),
    (999, 256, "999"),
    (1000, 256, "x001/000"),
    (1_234_067, 256, "x001/x234/067"),
    (1_234_067, 8, "x001/x234/067.p/8"),
    (INT64_MAX, 256, "x009/x223/x372/x036/x854/x775/807"),
]

REFUSED_PLACES = [
    "",
    "0",
    "00",
    "0000",
    "x000/000",
    "x000/x001/000",
    "001/000",
    "x1/000",
    "x001",
    "x001/x000",
    "x001//000",
    "000/",
    "/000",
    "000.p",
    "000.p/",
    "000.p/0",
    "000.p/00",
    "000.p/01",
    "000.p/256",
    "000.p/999",
    "000.p/1000",
    "000.p/-1",
    "000.p/1 ",
    "000.p/1\n",
    "000\n",
    " 000",
    "+00",
    "0_0",
    "\u0660\u0660\u0660",
    "\uff10\uff10\uff10",
    "\ud800",
    "x009/x223/x372/x036/x854/x775/808",
    "x001/x009/x223/x372/x036/x854/x775/807",
    "x001/" * 100_000 + "000",
]


@pytest.mark.parametrize(("index", "width", "place"), PLACES)
def test_path_of_a_tile_reads_back(index: int, width: int, place: str) -> None:
    for level in (0, 1, 9, 10, 63):
        path = f"tile/{level}/{place}"
        assert Tile(level, index, width).path == path
        assert parse_tile_path(path) == Tile(level, index, width)


@pytest.mark.parametrize(("index", "width", "place"), PLACES)
def test_path_of_a_bundle_reads_back(index: int, width: int, place: str) -> None:
    path = f"tile/entries/{place}"
    assert EntryBundle(index, width).path == path
    assert parse_bundle_path(path) == EntryBundle(index, width)


@pytest.mark.parametrize("place", REFUSED_PLACES, ids=range(len(REFUSED_PLACES)))
def test_any_other_spelling_of_a_place_is_refused(place: str) -> None:
    with pytest.raises(ProofSyntaxError) as caught:
        parse_tile_path(f"tile/0/{place}")
    assert len(caught.value.message) < 200
    with pytest.raises(ProofSyntaxError) as caught:
        parse_bundle_path(f"tile/entries/{place}")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "level", ["", "00", "01", "64", "99", "100", "-1", "+1", "x", "1_0", "\uff11"]
)
def test_any_other_spelling_of_a_level_is_refused(level: str) -> None:
    with pytest.raises(ProofSyntaxError):
        parse_tile_path(f"tile/{level}/000")


@pytest.mark.parametrize(
    "path", ["", "tile", "tile/0", "/tile/0/000", "tile//000", "Tile/0/000", "checkpoint"]
)
def test_what_is_no_tile_is_refused(path: str) -> None:
    with pytest.raises(ProofSyntaxError, match="is not the path of a tile"):
        parse_tile_path(path)


def test_tiles_and_bundles_are_not_taken_for_one_another() -> None:
    with pytest.raises(ProofSyntaxError):
        parse_tile_path("tile/entries/000")
    with pytest.raises(ProofSyntaxError):
        parse_bundle_path("tile/0/000")


@pytest.mark.parametrize(
    ("level", "index", "width"),
    [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, INT64_MAX + 1, 1), (0, 0, 0), (0, 0, 257), (0, 0, -1)],
)
def test_a_place_out_of_range_is_refused(level: int, index: int, width: int) -> None:
    with pytest.raises(ProofSyntaxError, match="outside"):
        Tile(level, index, width)
    if level == 0:
        with pytest.raises(ProofSyntaxError, match="outside"):
            EntryBundle(index, width)


def test_a_place_knows_its_range() -> None:
    assert (Tile(1, 3, 7).start, Tile(1, 3, 7).end) == (768, 775)
    assert (EntryBundle(3).start, EntryBundle(3).end) == (768, 1024)


@pytest.mark.parametrize(
    ("tree_size", "right_edge"),
    [
        (0, []),
        (1, ["0/000.p/1"]),
        (255, ["0/000.p/255"]),
        (256, ["0/000", "1/000.p/1"]),
        (257, ["0/000", "0/001.p/1", "1/000.p/1"]),
        (65_535, ["0/255.p/255", "1/000.p/255"]),
        (65_536, ["0/255", "1/000", "2/000.p/1"]),
        (70_000, ["0/272", "0/273.p/112", "1/000", "1/001.p/17", "2/000.p/1"]),
    ],
)
def test_tiles_of_a_size_end_as_the_specification_says(
    tree_size: int, right_edge: list[str]
) -> None:
    paths = [tile.path for tile in tiles_for_size(TreeSize(tree_size))]
    assert [path for path in paths if path.removeprefix("tile/") in right_edge] == [
        f"tile/{each}" for each in right_edge
    ]
    full_count = sum(tree_size // 256**level for level in (1, 2, 3))
    assert sum(".p/" not in path for path in paths) == full_count
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("tree_size", [0, 1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_793])
def test_tiles_of_a_size_hold_each_stored_hash_once(tree_size: int) -> None:
    held: dict[int, list[int]] = {}
    for tile in tiles_for_size(TreeSize(tree_size)):
        held.setdefault(tile.level, []).extend(range(tile.start, tile.end))
        width = tile_width(level=tile.level, index=tile.index, tree_size=TreeSize(tree_size))
        assert width == tile.width
        after = tile_width(level=tile.level, index=tile.index + 1, tree_size=TreeSize(tree_size))
        assert after == 0 or tile.width == 256
    levels = [level for level in range(4) if tree_size // 256**level]
    assert held == {level: list(range(tree_size // 256**level)) for level in levels}


@pytest.mark.parametrize("new_size", [0, 1, 255, 256, 257, 600, 65_536, 66_000])
def test_new_tiles_are_those_that_the_older_size_had_not(new_size: int) -> None:
    every_tile = list(tiles_for_size(TreeSize(new_size)))
    every_bundle = list(bundles_for_size(TreeSize(new_size)))
    for old_size in {0, 1, 255, 256, 300, 512, 599, 65_535, 65_536, new_size}:
        if old_size <= new_size:
            sizes = {"old_size": TreeSize(old_size), "new_size": TreeSize(new_size)}
            had_tiles = set(tiles_for_size(TreeSize(old_size)))
            had_bundles = set(bundles_for_size(TreeSize(old_size)))
            want_tiles = [each for each in every_tile if each not in had_tiles]
            want_bundles = [each for each in every_bundle if each not in had_bundles]
            assert list(tiles_between(**sizes)) == want_tiles
            assert list(bundles_between(**sizes)) == want_bundles


def test_bundles_stand_beside_the_tiles_of_level_0() -> None:
    for size in (0, 1, 256, 70_000):
        tiles = [tile for tile in tiles_for_size(TreeSize(size)) if tile.level == 0]
        bundles = list(bundles_for_size(TreeSize(size)))
        assert [(each.index, each.width) for each in bundles] == [
            (each.index, each.width) for each in tiles
        ]


@pytest.mark.parametrize(("old_size", "new_size"), [(-1, 0), (2, 1), (0, INT64_MAX + 1)])
def test_tiles_between_impossible_sizes_are_refused_at_once(old_size: int, new_size: int) -> None:
    for between in (tiles_between, bundles_between):
        with pytest.raises(ProofSyntaxError, match="0 <= old size"):
            between(old_size=TreeSize(old_size), new_size=TreeSize(new_size))


def test_tiles_of_the_largest_tree_are_not_listed_in_memory() -> None:
    assert next(iter(tiles_for_size(TreeSize(INT64_MAX)))) == Tile(0, 0)


def test_tile_bytes_are_refused_at_any_other_length() -> None:
    tile = Tile(0, 5, 3)
    assert decode_tile(bytes(96), tile=tile) == bytes(96)
    for tile_bytes in (0, 32, 64, 95, 97, 128, 8192):
        with pytest.raises(ProofSyntaxError, match=r"tile/0/005\.p/3 holds \d+ bytes, want 96"):
            decode_tile(bytes(tile_bytes), tile=tile)
