"""The frontier: roots, what becomes complete, and starting again from what was kept."""

from __future__ import annotations

import pytest

from meshtrail.errors import ProofSyntaxError
from meshtrail.merkle.hashing import EMPTY_ROOT, HASH_BYTES, hash_leaves
from meshtrail.merkle.tree import Frontier, HashRow, edge_heights
from meshtrail.units import INT64_MAX, TreeSize
from tests.naive_rfc6962 import naive_root
from tests.stored_rows import StoredRows, leaf_data

LEAVES = leaf_data(70)
ROW = hash_leaves(LEAVES)


def frontier_of(size: int) -> Frontier:
    frontier = Frontier()
    frontier.extend(ROW[: size * HASH_BYTES])
    return frontier


@pytest.mark.parametrize("size", range(71))
def test_root_is_the_rfcs_for_every_small_tree_in_any_two_steps(size: int) -> None:
    want = naive_root(LEAVES[:size])
    for first in range(size + 1):
        frontier = frontier_of(first)
        frontier.extend(ROW[first * HASH_BYTES : size * HASH_BYTES])
        assert frontier.root() == want
        assert frontier.size == size


def test_root_is_the_rfcs_when_leaves_come_one_by_one() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size in range(1, 71):
        frontier.extend(ROW[(size - 1) * HASH_BYTES : size * HASH_BYTES])
        assert frontier.root() == naive_root(LEAVES[:size])


def test_root_is_the_rfcs_for_a_row_longer_than_one_step_of_folding() -> None:
    leaves = leaf_data(70_001)
    frontier = Frontier()
    frontier.extend(hash_leaves(leaves))
    assert frontier.root() == naive_root(leaves)


@pytest.mark.parametrize(
    "sizes",
    [(0, 255), (0, 256), (0, 257), (255, 256), (255, 513), (256, 511), (0, 65_537), (300, 66_000)],
)
def test_extension_returns_each_upper_hash_that_became_complete(sizes: tuple[int, int]) -> None:
    old_size, new_size = sizes
    leaves = leaf_data(new_size)
    row = hash_leaves(leaves)
    frontier = Frontier()
    frontier.extend(row[: old_size * HASH_BYTES])
    want = []
    for level in (1, 2):
        width = 256**level
        start, end = old_size // width, new_size // width
        hashes = [naive_root(leaves[i * width : (i + 1) * width]) for i in range(start, end)]
        if hashes:
            want.append(HashRow(level=level, start=start, hashes=b"".join(hashes)))
    assert frontier.extend(row[old_size * HASH_BYTES :]) == want
    assert [each.end for each in want] == [new_size // 256**each.level for each in want]


def test_upper_hashes_do_not_depend_on_the_batches() -> None:
    whole = StoredRows.with_leaves(66_000, batch=66_000)
    for batch in (997, 4096):
        assert StoredRows.with_leaves(66_000, batch=batch).rows == whole.rows


def test_extension_by_nothing_changes_nothing() -> None:
    frontier = frontier_of(7)
    assert frontier.extend(b"") == []
    assert (frontier.size, frontier.root()) == (7, naive_root(LEAVES[:7]))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_leaf_hashes_may_be_any_kind_of_bytes(kind: type[bytes | bytearray | memoryview]) -> None:
    frontier = frontier_of(3)
    row = kind(ROW[3 * HASH_BYTES :])
    frontier.extend(row)
    assert frontier.root() == naive_root(LEAVES)


@pytest.mark.parametrize("row_bytes", [1, 31, 33, 65])
def test_extension_by_a_part_of_a_hash_is_refused_and_changes_nothing(row_bytes: int) -> None:
    frontier = frontier_of(5)
    with pytest.raises(ProofSyntaxError, match="whole number of hashes"):
        frontier.extend(bytes(row_bytes))
    assert (frontier.size, frontier.root()) == (5, naive_root(LEAVES[:5]))


@pytest.mark.parametrize("size", range(71))
def test_frontier_goes_on_from_its_own_hashes(size: int) -> None:
    before = frontier_of(size)
    assert len(before.hashes) == size.bit_count() * HASH_BYTES
    after = Frontier.restore(tree_size=before.size, hashes=before.hashes)
    assert (after.size, after.root(), after.hashes) == (size, before.root(), before.hashes)
    after.extend(ROW[size * HASH_BYTES :])
    assert after.root() == naive_root(LEAVES)


@pytest.mark.parametrize(("size", "hashes_bytes"), [(0, 32), (1, 0), (3, 32), (3, 63), (4, 64)])
def test_frontier_is_refused_when_size_and_hashes_disagree(size: int, hashes_bytes: int) -> None:
    with pytest.raises(ProofSyntaxError, match=f"tree of size {size} is"):
        Frontier.restore(tree_size=TreeSize(size), hashes=bytes(hashes_bytes))


@pytest.mark.parametrize(
    "size", [-1, INT64_MAX + 1, pytest.param(10**5000, id="too long to print")]
)
def test_frontier_of_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(ProofSyntaxError, match="tree size is outside"):
        Frontier.restore(tree_size=TreeSize(size), hashes=b"")


def test_copy_is_extended_alone() -> None:
    frontier = frontier_of(6)
    copy = frontier.copy()
    copy.extend(ROW[6 * HASH_BYTES :])
    assert (frontier.size, frontier.root()) == (6, naive_root(LEAVES[:6]))
    assert (copy.size, copy.root()) == (70, naive_root(LEAVES))


def test_edge_heights_add_up_to_the_size() -> None:
    for size in (0, 1, 2, 255, 256, 70_000, INT64_MAX):
        heights = edge_heights(size)
        assert sum(1 << height for height in heights) == size
        assert heights == sorted(set(heights), reverse=True)
