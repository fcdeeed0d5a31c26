"""An implementation that shares nothing with ours computes the same roots."""

from __future__ import annotations

import pytest
from pymerkle import InmemoryTree

from meshtrail.merkle import Frontier, hash_leaf, hash_leaves
from tests.stored_rows import leaf_data


def test_roots_are_pymerkles_for_every_small_tree() -> None:
    entries = leaf_data(70)
    theirs = InmemoryTree(algorithm="sha256")
    ours = Frontier()
    for size, entry in enumerate(entries, start=1):
        theirs.append_entry(entry)
        ours.extend(hash_leaf(entry))
        assert ours.root() == theirs.get_root(size)


@pytest.mark.parametrize("size", [257, 3001])
def test_root_is_pymerkles_for_a_larger_tree(size: int) -> None:
    entries = leaf_data(size)
    theirs = InmemoryTree(algorithm="sha256")
    for entry in entries:
        theirs.append_entry(entry)
    ours = Frontier()
    ours.extend(hash_leaves(entries))
    assert ours.root() == theirs.get_root(size)
