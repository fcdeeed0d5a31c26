"""Proofs built from stored hashes, and the tree that believes none of them unproven."""

from __future__ import annotations

import pytest

from meshtrail.errors import InclusionError, ProofSyntaxError
from meshtrail.merkle.hashing import EMPTY_ROOT, HASH_BYTES, hash_leaf
from meshtrail.merkle.proof import check_consistency, check_inclusion
from meshtrail.merkle.reader import TileReader
from meshtrail.merkle.stored_tree import (
    AuthenticTree,
    StoredTree,
    prove_consistency,
    prove_inclusion,
    tree_root,
)
from meshtrail.units import INT64_MAX, LeafIndex, TreeSize
from tests.damaged_proofs import flip_bit
from tests.naive_rfc6962 import naive_consistency_proof, naive_inclusion_proof, naive_root
from tests.stored_rows import EqualLeaves, StoredRows, leaf_data

# One more leaf than the largest size that the tests ask for: what is stored outgrows the tree.
LEAVES = leaf_data(65_539)
STORED = StoredRows.with_leaves(65_539)

AROUND_TILES = [254, 255, 256, 257, 258, 511, 512, 513, 65_535, 65_536, 65_537, 65_538]
AROUND_256_CUBED = [256**3 - 1, 256**3, 256**3 + 1]
HUGE = [256**5 + 70_000, INT64_MAX]


def probes(size: int) -> list[int]:
    """Return indexes at the ends of a tree and at the seams of its tiles and halves."""
    seams = {0, 1, 127, 128, 255, 256, 257, 65_535, 65_536, size // 2, size // 3}
    seams |= {size - 1, size - 2, size - 256, size - 257, 1 << (size - 1).bit_length() >> 1}
    return sorted(each for each in seams if 0 <= each < size)


@pytest.mark.parametrize("size", range(1, 71))
def test_proofs_are_the_rfcs_for_every_small_tree(size: int) -> None:
    leaves, tree_size = LEAVES[:size], TreeSize(size)
    assert tree_root(STORED, tree_size) == naive_root(leaves)
    for index in range(size):
        proof = prove_inclusion(STORED, leaf_index=LeafIndex(index), tree_size=tree_size)
        assert proof == naive_inclusion_proof(index, leaves)
    for old_size in range(1, size + 1):
        assert prove_consistency(
            STORED, old_size=TreeSize(old_size), new_size=tree_size
        ) == naive_consistency_proof(old_size, leaves)


@pytest.mark.parametrize("size", AROUND_TILES)
def test_proofs_from_tiles_lead_to_the_rfcs_roots_around_tile_edges(size: int) -> None:
    root = naive_root(LEAVES[:size])
    reader = TileReader(STORED, tree_size=TreeSize(size))
    tree = AuthenticTree(reader, tree_size=TreeSize(size), root_hash=root)
    assert tree.root() == root
    assert tree.size == size
    for index in probes(size):
        check_inclusion(
            hash_leaf(LEAVES[index]),
            leaf_index=LeafIndex(index),
            tree_size=TreeSize(size),
            root_hash=root,
            proof=tree.prove_inclusion(LeafIndex(index)),
        )
    for old_size in {each + 1 for each in probes(size)}:
        old_root = naive_root(LEAVES[:old_size])
        assert tree.root(TreeSize(old_size)) == old_root
        check_consistency(
            old_size=TreeSize(old_size),
            old_root=old_root,
            new_size=TreeSize(size),
            new_root=root,
            proof=tree.prove_consistency(TreeSize(old_size)),
        )


@pytest.mark.parametrize("size", AROUND_256_CUBED + HUGE)
def test_proofs_lead_to_the_root_in_trees_of_many_levels(size: int) -> None:
    reader = EqualLeaves(hash_leaf(b"equal"))
    root = reader.root(size)
    tree = AuthenticTree(reader, tree_size=TreeSize(size), root_hash=root)
    for index in [*probes(size), *(256**n - 1 for n in range(8) if 256**n <= size)]:
        check_inclusion(
            reader.perfect[0],
            leaf_index=LeafIndex(index),
            tree_size=TreeSize(size),
            root_hash=root,
            proof=tree.prove_inclusion(LeafIndex(index)),
        )
        check_consistency(
            old_size=TreeSize(index + 1),
            old_root=reader.root(index + 1),
            new_size=TreeSize(size),
            new_root=root,
            proof=tree.prove_consistency(TreeSize(index + 1)),
        )
        assert tree.frontier().root() == root


@pytest.mark.parametrize("size", [0, 1, 70, 255, 256, 257, 65_537])
def test_frontier_of_a_stored_tree_goes_on_growing(size: int) -> None:
    frontier = StoredTree(STORED, tree_size=TreeSize(size)).frontier()
    assert frontier.size == size
    frontier.extend(STORED.rows[0][size * HASH_BYTES :])
    assert frontier.root() == STORED.frontier.root()


def test_tree_without_leaves_has_the_empty_root() -> None:
    assert tree_root(StoredRows(), TreeSize(0)) == EMPTY_ROOT
    AuthenticTree(StoredRows(), tree_size=TreeSize(0), root_hash=EMPTY_ROOT)
    with pytest.raises(InclusionError):
        AuthenticTree(StoredRows(), tree_size=TreeSize(0), root_hash=bytes(32))


def test_proofs_of_one_tree_read_each_tile_once() -> None:
    stored = StoredRows.with_leaves(66_000)
    tree = StoredTree(stored, tree_size=TreeSize(66_000))
    for index in range(0, 66_000, 97):
        tree.prove_inclusion(LeafIndex(index))
    assert len(stored.reads) == len(set(stored.reads)) == 258 + 2 + 1


def test_tiles_kept_are_bounded_and_the_least_used_go_first() -> None:
    stored = StoredRows.with_leaves(1024)
    tree = StoredTree(stored, tree_size=TreeSize(1024), tiles_max=2)
    for leaf_index in (0, 256, 0, 512, 0):
        tree.read_hashes(0, leaf_index, leaf_index + 1)
    assert stored.reads == [(0, 0, 256), (0, 256, 512), (0, 512, 768)]
    tree.read_hashes(0, 256, 257)
    assert stored.reads[3:] == [(0, 256, 512)]


def test_proofs_need_no_cache_beyond_one_tile() -> None:
    size, root = TreeSize(65_537), naive_root(LEAVES[:65_537])
    tree = AuthenticTree(STORED, tree_size=size, root_hash=root, tiles_max=0)
    for index in (0, 65_535, 65_536, 12_345):
        check_inclusion(
            hash_leaf(LEAVES[index]),
            leaf_index=LeafIndex(index),
            tree_size=size,
            root_hash=root,
            proof=tree.prove_inclusion(LeafIndex(index)),
        )


def test_stored_tree_is_a_reader_of_its_own_hashes() -> None:
    tree = StoredTree(STORED, tree_size=TreeSize(65_538))
    assert tree.read_hashes(0, 250, 600) == STORED.rows[0][250 * 32 : 600 * 32]
    assert tree.read_hashes(1, 0, 256) == STORED.rows[1]
    assert tree.read_hashes(0, 9, 9) == b""
    assert tree_root(tree, TreeSize(65_538)) == tree.root()


def test_what_the_tree_does_not_have_is_refused() -> None:
    tree = StoredTree(STORED, tree_size=TreeSize(300))
    for call in (
        lambda: tree.prove_inclusion(LeafIndex(300)),
        lambda: tree.prove_consistency(TreeSize(0)),
        lambda: tree.prove_consistency(TreeSize(301)),
        lambda: tree.root(TreeSize(301)),
        lambda: tree.read_hashes(0, 299, 301),
        lambda: tree.read_hashes(-1, 0, 1),
        lambda: tree.read_hashes(1, 0, 2),
        lambda: tree.node_hash(0, 300),
        lambda: tree.node_hash(8, 1),
        lambda: tree.node_hash(-1, 0),
        lambda: tree.subtree_hash(1, 3),
        lambda: tree.subtree_hash(4, 12),
        lambda: tree.subtree_hash(2, 1),
        lambda: StoredTree(STORED, tree_size=TreeSize(-1)),
        lambda: StoredTree(STORED, tree_size=TreeSize(INT64_MAX + 1)),
    ):
        with pytest.raises(ProofSyntaxError):
            call()


class ShortReader:
    """A reader that gives one hash less, or one more, than it is asked for."""

    def __init__(self, difference: int) -> None:
        self.difference = difference

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return another number of hashes than asked for."""
        return bytes(32 * (end - start + self.difference) + level)


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_reader_that_gives_another_number_of_hashes_is_refused(difference: int) -> None:
    reader = ShortReader(difference)
    with pytest.raises(ProofSyntaxError, match=r"tile/0/000\.p/5 was read as"):
        tree_root(reader, TreeSize(5))
    with pytest.raises(ProofSyntaxError, match=r"tile/0/000\.p/5 was read as"):
        AuthenticTree(reader, tree_size=TreeSize(5), root_hash=bytes(32))


def read_everything(stored: StoredRows, size: int, root: bytes) -> None:
    """Authenticate every tile of a tree, by its leaves."""
    tree = AuthenticTree(stored, tree_size=TreeSize(size), root_hash=root)
    tree.read_hashes(0, 0, size)


@pytest.mark.parametrize("size", [1, 2, 70, 256, 300, 513])
def test_every_changed_stored_hash_is_noticed_when_it_is_read(size: int) -> None:
    stored = StoredRows.with_leaves(size)
    root = stored.frontier.root()
    read_everything(stored, size, root)
    for row in stored.rows:
        for place in range(0, len(row), HASH_BYTES):
            row[place + place // HASH_BYTES % HASH_BYTES] ^= 1
            with pytest.raises(InclusionError):
                read_everything(stored, size, root)
            row[place + place // HASH_BYTES % HASH_BYTES] ^= 1
    read_everything(stored, size, root)


def test_a_changed_tile_is_named_and_the_others_still_serve() -> None:
    stored = StoredRows.with_leaves(66_000)
    root = stored.frontier.root()
    stored.rows[0][(7 * 256 + 9) * HASH_BYTES] ^= 0x80
    tree = AuthenticTree(stored, tree_size=TreeSize(66_000), root_hash=root)
    with pytest.raises(InclusionError, match="tile/0/007 of the tree of size 66000 folds to"):
        tree.prove_inclusion(LeafIndex(7 * 256 + 1))
    with pytest.raises(InclusionError, match="tile/0/007"):
        tree.read_hashes(0, 7 * 256, 8 * 256)
    assert tree.read_hashes(0, 8 * 256, 9 * 256) == stored.rows[0][8 * 8192 : 9 * 8192]


def test_swapped_tiles_are_refused() -> None:
    stored = StoredRows.with_leaves(800)
    root = stored.frontier.root()
    row = stored.rows[0]
    row[:8192], row[8192:16384] = row[8192:16384], row[:8192]
    tree = AuthenticTree(stored, tree_size=TreeSize(800), root_hash=root)
    for start in (0, 256):
        with pytest.raises(InclusionError, match=f"tile/0/00{start // 256}"):
            tree.read_hashes(0, start, start + 1)


def test_a_root_of_another_size_or_tree_is_refused() -> None:
    stored = StoredRows.with_leaves(300)
    for root in (naive_root(LEAVES[:299]), flip_bit(naive_root(LEAVES[:300]), 0), b""):
        with pytest.raises(InclusionError, match="right edge of the stored tree of size 300"):
            AuthenticTree(stored, tree_size=TreeSize(300), root_hash=root)


class TurncoatReader:
    """A reader that is honest about each tile the first time, and then never again."""

    def __init__(self, stored: StoredRows) -> None:
        self.stored = stored
        self.seen: set[tuple[int, int]] = set()

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return the stored hashes once, and changed ones from then on."""
        row = self.stored.read_hashes(level, start, end)
        if (level, start) in self.seen:
            return flip_bit(row, 0)
        self.seen.add((level, start))
        return row


def test_a_tile_that_changes_between_reads_is_noticed_when_it_comes_back() -> None:
    stored = StoredRows.with_leaves(66_000)
    root = stored.frontier.root()
    tree = AuthenticTree(
        TurncoatReader(stored), tree_size=TreeSize(66_000), root_hash=root, tiles_max=4
    )
    for start in range(0, 66_000 - 256, 256):
        assert tree.read_hashes(0, start, start + 1) == stored.rows[0][start * 32 : start * 32 + 32]
    for start in (0, 256, 512):
        with pytest.raises(InclusionError, match=f"tile/0/00{start // 256}"):
            tree.read_hashes(0, start, start + 1)
    # The right edge was read once and is kept, however small the cache is.
    assert tree.root() == root
    assert tree.read_hashes(2, 0, 1) == stored.rows[2]
