"""The checks of proofs, against every small tree and every small damage."""

from __future__ import annotations

from functools import partial

import pytest

from meshtrail.errors import ConsistencyError, InclusionError, ProofSyntaxError
from meshtrail.merkle.hashing import EMPTY_ROOT, hash_leaf
from meshtrail.merkle.proof import (
    check_consistency,
    check_inclusion,
    consistency_subtrees,
    inclusion_subtrees,
)
from meshtrail.units import INT64_MAX, LeafIndex, TreeSize
from tests.damaged_proofs import damaged_once, flip_bit
from tests.naive_rfc6962 import naive_consistency_proof, naive_inclusion_proof, naive_root
from tests.stored_rows import leaf_data

LEAVES = leaf_data(70)
# Python refuses to print integers of more than 4,300 digits, and a message must not stumble on it.
TOO_LONG_TO_PRINT = pytest.param(10**5000, 10**5001, id="too long to print")


@pytest.mark.parametrize("size", range(1, 71))
def test_every_leaf_of_every_small_tree_is_proven_and_every_damaged_proof_refused(
    size: int,
) -> None:
    leaves = LEAVES[:size]
    root = naive_root(leaves)
    for index, leaf in enumerate(leaves):
        proof = naive_inclusion_proof(index, leaves)
        check = partial(
            check_inclusion,
            hash_leaf(leaf),
            leaf_index=LeafIndex(index),
            tree_size=TreeSize(size),
            root_hash=root,
        )
        check(proof=proof)
        for damaged in damaged_once(proof):
            with pytest.raises(InclusionError):
                check(proof=damaged)


@pytest.mark.parametrize("size", range(1, 71))
def test_a_proof_is_refused_for_any_other_index_leaf_or_root(size: int) -> None:
    leaves = LEAVES[:size]
    root = naive_root(leaves)
    for index in {0, size // 3, size - 1}:
        leaf_hash = hash_leaf(leaves[index])
        proof = naive_inclusion_proof(index, leaves)
        others = [(leaf_hash, other, root) for other in range(-1, size + 2) if other != index]
        others += [(flip_bit(leaf_hash, 9), index, root), (leaf_hash, index, flip_bit(root, 255))]
        others += [(leaf_hash[:31], index, root), (leaf_hash, index, root + b"\x00")]
        for other_leaf, other_index, other_root in others:
            with pytest.raises(InclusionError):
                check_inclusion(
                    other_leaf,
                    leaf_index=LeafIndex(other_index),
                    tree_size=TreeSize(size),
                    root_hash=other_root,
                    proof=proof,
                )


@pytest.mark.parametrize("size", range(1, 71))
def test_every_pair_of_small_trees_is_consistent_and_every_damaged_proof_refused(
    size: int,
) -> None:
    leaves = LEAVES[:size]
    new_root = naive_root(leaves)
    for old_size in range(1, size + 1):
        old_root = naive_root(leaves[:old_size])
        proof = naive_consistency_proof(old_size, leaves)
        check = partial(check_consistency, old_size=TreeSize(old_size), new_size=TreeSize(size))
        check(old_root=old_root, new_root=new_root, proof=proof)
        for damaged in damaged_once(proof):
            with pytest.raises(ConsistencyError):
                check(old_root=old_root, new_root=new_root, proof=damaged)
        for bad_old, bad_new in (
            (flip_bit(old_root, 3), new_root),
            (old_root, flip_bit(new_root, 3)),
            (old_root[:31], new_root),
            (old_root, new_root + b"\x00"),
        ):
            with pytest.raises(ConsistencyError):
                check(old_root=bad_old, new_root=bad_new, proof=proof)


@pytest.mark.parametrize("size", [2, 3, 8, 13])
def test_a_fork_is_refused_with_the_proofs_of_both_its_sides(size: int) -> None:
    honest = LEAVES[:size]
    for changed in range(size):
        forked = [*honest[:changed], b"forged", *honest[changed + 1 :]]
        for old_size in range(changed + 1, size + 1):
            for side in (honest, forked):
                with pytest.raises(ConsistencyError, match="does not extend"):
                    check_consistency(
                        old_size=TreeSize(old_size),
                        old_root=naive_root(honest[:old_size]),
                        new_size=TreeSize(size),
                        new_root=naive_root(forked),
                        proof=naive_consistency_proof(old_size, side),
                    )


@pytest.mark.parametrize(
    ("leaf_index", "tree_size"),
    [(0, 0), (1, 1), (-1, 1), (0, -1), (7, 7), (0, INT64_MAX + 1), TOO_LONG_TO_PRINT],
)
def test_inclusion_of_no_leaf_of_no_tree_is_refused(leaf_index: int, tree_size: int) -> None:
    with pytest.raises(InclusionError, match="outside") as caught:
        check_inclusion(
            EMPTY_ROOT,
            leaf_index=LeafIndex(leaf_index),
            tree_size=TreeSize(tree_size),
            root_hash=EMPTY_ROOT,
            proof=[],
        )
    assert caught.value.leaf_index == leaf_index
    with pytest.raises(ProofSyntaxError, match="outside"):
        inclusion_subtrees(leaf_index=LeafIndex(leaf_index), tree_size=TreeSize(tree_size))


@pytest.mark.parametrize(
    ("old_size", "new_size"),
    [(0, 0), (0, 5), (6, 5), (-1, 5), (1, INT64_MAX + 1), TOO_LONG_TO_PRINT],
)
def test_consistency_of_no_two_trees_is_refused(old_size: int, new_size: int) -> None:
    with pytest.raises(ConsistencyError, match="1 <= old size") as caught:
        check_consistency(
            old_size=TreeSize(old_size),
            old_root=EMPTY_ROOT,
            new_size=TreeSize(new_size),
            new_root=EMPTY_ROOT,
            proof=[],
        )
    assert caught.value.new_size == new_size
    with pytest.raises(ProofSyntaxError, match="1 <= old size"):
        consistency_subtrees(old_size=TreeSize(old_size), new_size=TreeSize(new_size))


def test_a_proof_of_the_wrong_length_is_refused_before_anything_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hash_nothing(*_: bytes) -> bytes:
        raise AssertionError

    monkeypatch.setattr("meshtrail.merkle.proof.hash_node", hash_nothing)
    too_long = [EMPTY_ROOT] * 70
    with pytest.raises(InclusionError, match="by 3 hashes of 32 bytes, got 70"):
        check_inclusion(
            EMPTY_ROOT,
            leaf_index=LeafIndex(0),
            tree_size=TreeSize(8),
            root_hash=EMPTY_ROOT,
            proof=too_long,
        )
    with pytest.raises(ConsistencyError, match="by a proof of 2 hashes of 32 bytes, got 70"):
        check_consistency(
            old_size=TreeSize(2),
            old_root=EMPTY_ROOT,
            new_size=TreeSize(8),
            new_root=EMPTY_ROOT,
            proof=too_long,
        )


@pytest.mark.parametrize("hash_bytes", [0, 31, 33])
def test_what_is_no_hash_is_refused_even_where_both_sides_agree(hash_bytes: int) -> None:
    no_hash = bytes(hash_bytes)
    with pytest.raises(InclusionError, match="by 0 hashes of 32 bytes"):
        check_inclusion(
            no_hash,
            leaf_index=LeafIndex(0),
            tree_size=TreeSize(1),
            root_hash=no_hash,
            proof=[],
        )
    with pytest.raises(ConsistencyError, match="by a proof of 0 hashes of 32 bytes"):
        check_consistency(
            old_size=TreeSize(5),
            old_root=no_hash,
            new_size=TreeSize(5),
            new_root=no_hash,
            proof=[],
        )


def test_a_refusal_says_what_was_wanted_and_got() -> None:
    root = naive_root(LEAVES[:7])
    with pytest.raises(InclusionError) as caught:
        check_inclusion(
            hash_leaf(b"forged"),
            leaf_index=LeafIndex(2),
            tree_size=TreeSize(7),
            root_hash=root,
            proof=naive_inclusion_proof(2, LEAVES[:7]),
        )
    forged = [*LEAVES[:2], b"forged", *LEAVES[3:7]]
    assert caught.value.want == root
    assert caught.value.got == naive_root(forged)
    assert caught.value.message == (
        f"leaf 2 is not in the tree of size 7: the proof leads to root "
        f"{naive_root(forged).hex()[:16]}, want {root.hex()[:16]}"
    )


def test_subtrees_of_a_proof_are_those_of_the_rfcs_example() -> None:
    # RFC 6962 section 2.1.3, the tree of seven leaves: PATH(0) = [b, h, l], PATH(3) = [c, g, l],
    # PATH(4) = [f, j, k], PATH(6) = [i, k]; PROOF(3) = [c, d, g, l], PROOF(4) = [l],
    # PROOF(6) = [i, j, k].
    size = TreeSize(7)
    b, c, d, f = (1, 2), (2, 3), (3, 4), (5, 6)
    g, h, i, j = (0, 2), (2, 4), (4, 6), (6, 7)
    k, tail = (0, 4), (4, 7)
    assert inclusion_subtrees(leaf_index=LeafIndex(0), tree_size=size) == [b, h, tail]
    assert inclusion_subtrees(leaf_index=LeafIndex(3), tree_size=size) == [c, g, tail]
    assert inclusion_subtrees(leaf_index=LeafIndex(4), tree_size=size) == [f, j, k]
    assert inclusion_subtrees(leaf_index=LeafIndex(6), tree_size=size) == [i, k]
    assert consistency_subtrees(old_size=TreeSize(3), new_size=size) == [c, d, g, tail]
    assert consistency_subtrees(old_size=TreeSize(4), new_size=size) == [tail]
    assert consistency_subtrees(old_size=TreeSize(6), new_size=size) == [i, j, k]
