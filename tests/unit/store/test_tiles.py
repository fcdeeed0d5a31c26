from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.errors import DigestError, MissingFileError, NotFoundError
from meshtrail.merkle import HASH_BYTES, Frontier, hash_leaves
from meshtrail.store.layout import RangeFile, tiles_file
from meshtrail.store.tiles import (
    TilesReader,
    completed_range,
    encode_tiles,
    merge_tiles,
    tiles_bytes,
    tiles_levels,
)
from tests.naive_rfc6962 import naive_root
from tests.stored_rows import leaf_data

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LEAVES = 65_536 + 700
HASHES = hash_leaves(leaf_data(LEAVES))
EDGES = (0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, LEAVES)


def tiles_of(cuts: Sequence[int]) -> dict[RangeFile, bytes]:
    """The tiles file of each range between cuts, as ticks write them."""
    frontier = Frontier()
    frontier.extend(HASHES[: cuts[0] * HASH_BYTES])
    files = {}
    for start, end in pairwise(cuts):
        row = HASHES[start * HASH_BYTES : end * HASH_BYTES]
        files[tiles_file(start, end)] = encode_tiles(row, frontier.extend(row))
    return files


def write_tiles(root: Path, files: dict[RangeFile, bytes]) -> TilesReader:
    (root / "tiles").mkdir()
    for named, data in files.items():
        (root / named.path).write_bytes(data)
    return TilesReader(root, list(files))


@given(cuts=st.sets(st.integers(0, LEAVES) | st.sampled_from(EDGES), min_size=2, max_size=8))
@settings(max_examples=30)
def test_tiles_of_any_split_have_their_lengths_and_merge_to_those_of_the_whole(
    cuts: set[int],
) -> None:
    ends = sorted(cuts)
    files = tiles_of(ends)
    for named, data in files.items():
        assert len(data) == tiles_bytes(named.start, named.end)
    (whole,) = tiles_of([ends[0], ends[-1]]).values()
    assert merge_tiles(files.items()) == whole


def test_tiles_hold_leaf_hashes_then_each_level_that_gained_hashes() -> None:
    assert tiles_levels(0, 255) == [(0, 0, 255)]
    assert tiles_levels(255, 256) == [(0, 255, 256), (1, 0, 1)]
    assert tiles_levels(65_535, 65_537) == [(0, 65_535, 65_537), (1, 255, 256), (2, 0, 1)]
    assert completed_range(200, 600, 1) == (0, 2)
    (data,) = tiles_of([0, 512]).values()
    assert data[: 512 * HASH_BYTES] == HASHES[: 512 * HASH_BYTES]
    assert data[512 * HASH_BYTES :] == (
        naive_root(leaf_data(256)) + naive_root(leaf_data(512)[256:])
    )


@pytest.fixture(scope="module")
def level_one() -> list[bytes]:
    leaves = leaf_data(LEAVES)
    return [naive_root(leaves[start : start + 256]) for start in range(0, LEAVES - 255, 256)]


@pytest.mark.parametrize(
    "cuts",
    [
        (0, LEAVES),
        (0, 1, 255, 256, 300, 65_535, 65_537, LEAVES),
        (0, 65_536, LEAVES),
        (*range(0, LEAVES, 4_099), LEAVES),
    ],
    ids=["one file", "at the edges", "full tiles", "many files"],
)
def test_reader_gives_the_naive_hashes_across_files_and_levels(
    cuts: tuple[int, ...], level_one: list[bytes], tmp_path: Path
) -> None:
    reader = write_tiles(tmp_path, tiles_of(cuts))
    assert reader.read_hashes(0, 0, LEAVES) == HASHES
    for start in (0, 254, 256, 65_530):
        want = HASHES[start * HASH_BYTES : (start + 300) * HASH_BYTES]
        assert reader.read_hashes(0, start, start + 300) == want
    assert reader.read_hashes(1, 0, len(level_one)) == b"".join(level_one)
    assert reader.read_hashes(1, 255, 257) == level_one[255] + level_one[256]
    assert reader.read_hashes(2, 0, 1) == naive_root(leaf_data(65_536))
    assert reader.read_hashes(0, 5, 5) == b""


def test_reader_refuses_hashes_that_no_file_holds(tmp_path: Path) -> None:
    reader = write_tiles(tmp_path, tiles_of([300, 600]))
    for level, position in ((0, 299), (0, 600), (1, 2), (2, 0)):
        with pytest.raises(NotFoundError):
            reader.read_hashes(level, position, position + 1)
    assert reader.read_hashes(1, 1, 2) == naive_root(leaf_data(512)[256:])


def test_reader_names_a_file_that_is_gone_or_too_short(tmp_path: Path) -> None:
    files = tiles_of([0, 300, 600])
    reader = write_tiles(tmp_path, files)
    first, second = (tmp_path / named.path for named in files)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1])
    with pytest.raises(MissingFileError, match=r"tiles/000000000000-000000000300\.tiles is gone"):
        reader.read_hashes(0, 0, 1)
    with pytest.raises(DigestError, match=r"000000000300-000000000600\.tiles ends early"):
        reader.read_hashes(1, 1, 2)
    assert len(reader.read_hashes(0, 300, 301)) == HASH_BYTES
