"""Leaf and node hashes, one at a time and in rows."""

from __future__ import annotations

import hashlib

import pytest

from meshtrail.errors import ProofSyntaxError
from meshtrail.merkle.hashing import (
    EMPTY_ROOT,
    HASH_BYTES,
    fold_right,
    hash_leaf,
    hash_leaves,
    hash_node,
    hash_pairs,
    split_hashes,
)
from tests.naive_rfc6962 import naive_leaf_hash, naive_node_hash, naive_root
from tests.stored_rows import leaf_data


def test_leaf_and_node_hashes_are_those_of_the_rfc() -> None:
    assert hash_leaf(b"entry") == hashlib.sha256(b"\x00entry").digest()
    left, right = bytes(range(32)), bytes(range(32, 64))
    assert hash_node(left, right) == hashlib.sha256(b"\x01" + left + right).digest()


def test_a_node_and_a_leaf_of_the_same_bytes_differ() -> None:
    left, right = hash_leaf(b"a"), hash_leaf(b"b")
    assert hash_leaf(left + right) != hash_node(left, right)


def test_leaf_hashes_of_a_row_are_those_of_each_entry() -> None:
    entries = [b"", b"\x00", *leaf_data(40), bytes(65_535)]
    assert split_hashes(hash_leaves(entries)) == [naive_leaf_hash(each) for each in entries]
    assert hash_leaves([]) == b""


def test_leaves_may_be_slices_of_one_buffer() -> None:
    frame = memoryview(b"one|two|three")
    assert hash_leaves([frame[0:3], frame[4:7]]) == hash_leaf(b"one") + hash_leaf(b"two")
    assert hash_leaf(frame[8:]) == hash_leaf(b"three")
    assert hash_leaf(bytearray(b"one")) == hash_leaf(b"one")


@pytest.mark.parametrize("pairs_count", [0, 1, 2, 7, 128])
def test_pairs_of_a_row_fold_to_nodes(pairs_count: int) -> None:
    hashes = [naive_leaf_hash(each) for each in leaf_data(2 * pairs_count)]
    want = [naive_node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    assert hash_pairs(b"".join(hashes)) == b"".join(want)
    assert hash_pairs(memoryview(b"".join(hashes))) == b"".join(want)


@pytest.mark.parametrize("row_bytes", [1, 31, 32, 33, 63, 65, 96])
def test_pairs_of_a_row_are_refused_when_they_are_not_whole(row_bytes: int) -> None:
    with pytest.raises(ProofSyntaxError, match="whole number of pairs") as caught:
        hash_pairs(bytes(row_bytes))
    assert caught.value.row_bytes == row_bytes


@pytest.mark.parametrize("row_bytes", [1, 31, 33, 65])
def test_a_row_is_refused_when_it_is_not_whole_hashes(row_bytes: int) -> None:
    with pytest.raises(ProofSyntaxError, match="whole number of hashes"):
        split_hashes(bytes(row_bytes))


def test_subtrees_on_the_right_edge_fold_to_the_root() -> None:
    leaves = leaf_data(13)
    subtrees = [naive_root(leaves[:8]), naive_root(leaves[8:12]), naive_root(leaves[12:])]
    assert fold_right(subtrees) == naive_root(leaves)
    assert fold_right(subtrees[:1]) == subtrees[0]
    assert fold_right([]) == EMPTY_ROOT == naive_root([])
    assert len(EMPTY_ROOT) == HASH_BYTES
