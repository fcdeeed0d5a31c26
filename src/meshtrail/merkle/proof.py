"""Which subtrees make up a proof, and the checks of proofs.

Pure arithmetic on positions and hashes: where hashes are read from is the concern of
`meshtrail.merkle.stored_tree`. The checks return None or raise, and refuse a proof by its length
before they hash anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.errors import ConsistencyError, InclusionError, ProofSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES, hash_node
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.units import LeafIndex, TreeSize


def check_inclusion(
    leaf_hash: bytes,
    *,
    leaf_index: LeafIndex,
    tree_size: TreeSize,
    root_hash: bytes,
    proof: Sequence[bytes],
) -> None:
    """Check that a leaf stands at an index of the tree with a root.

    Args:
        leaf_hash: what `hash_leaf` gives for the entry.
        leaf_index: position of the leaf, from 0.
        tree_size: number of leaves, from a checkpoint that the caller trusts: a proof does not
            prove the size.
        root_hash: root of that checkpoint.
        proof: hash of the leaf's sibling first, of the root's child last.

    Raises:
        InclusionError: there is no such leaf, the proof has not the shape that index and size
            ask for, or it leads to another root.

    Source: RFC 9162 section 2.1.3.2.
    """
    if not 0 <= leaf_index < tree_size <= INT64_MAX:
        raise InclusionError(
            "a leaf index is outside its tree, or a tree size outside 0 to 2**63 - 1",
            leaf_index=leaf_index,
            tree_size=tree_size,
        )
    inner = _inner_count(leaf_index, tree_size)
    want_count = inner + (leaf_index >> inner).bit_count()
    if _is_misshapen([leaf_hash, root_hash, *proof], hashes_count=2 + want_count):
        raise InclusionError(
            f"leaf {leaf_index} in a tree of size {tree_size} is proven by {want_count} hashes "
            f"of {HASH_BYTES} bytes, got {_describe_lengths(proof)}",
            leaf_index=leaf_index,
            tree_size=tree_size,
        )
    got = _climb(leaf_hash, position=leaf_index, inner=inner, path=proof)
    if got != root_hash:
        raise InclusionError(
            f"leaf {leaf_index} is not in the tree of size {tree_size}: "
            f"the proof leads to root {got.hex()[:16]}, want {root_hash.hex()[:16]}",
            leaf_index=leaf_index,
            tree_size=tree_size,
            want=root_hash,
            got=got,
        )


def check_consistency(
    *,
    old_size: TreeSize,
    old_root: bytes,
    new_size: TreeSize,
    new_root: bytes,
    proof: Sequence[bytes],
) -> None:
    """Check that a tree extends an older one: the old leaves are the first of the new.

    The empty tree is refused. Any tree extends it, so the check would say nothing about the new
    root; who may start from nothing (a witness that meets a log) decides so where it is visible.

    Args:
        old_size: number of leaves of the old tree, from 1.
        old_root: root of the old tree.
        new_size: number of leaves of the new tree.
        new_root: root of the new tree.
        proof: hashes in the order of RFC 9162, the lowest first; empty for equal sizes.

    Raises:
        ConsistencyError: there are no such two trees, the proof has not the shape that the sizes
            ask for, or it does not lead to both roots: one of the trees is a fork.

    Source: RFC 9162 section 2.1.4.2.
    """
    if not 1 <= old_size <= new_size <= INT64_MAX:
        raise ConsistencyError(
            "tree sizes are not 1 <= old size <= new size <= 2**63 - 1",
            old_size=old_size,
            new_size=new_size,
        )
    want_count = len(consistency_subtrees(old_size=old_size, new_size=new_size))
    if _is_misshapen([old_root, new_root, *proof], hashes_count=2 + want_count):
        raise ConsistencyError(
            f"tree size {new_size} extends {old_size} by a proof of {want_count} hashes "
            f"of {HASH_BYTES} bytes, got {_describe_lengths(proof)}",
            old_size=old_size,
            new_size=new_size,
        )
    got_old, got_new = _consistent_roots(
        old_size=old_size, old_root=old_root, new_size=new_size, proof=proof
    )
    for name, want, got in (("old", old_root, got_old), ("new", new_root, got_new)):
        if want != got:
            raise ConsistencyError(
                f"the tree of size {new_size} does not extend the tree of size {old_size}: "
                f"the proof leads to {name} root {got.hex()[:16]}, want {want.hex()[:16]}",
                old_size=old_size,
                new_size=new_size,
                want=want,
                got=got,
            )


def inclusion_subtrees(*, leaf_index: LeafIndex, tree_size: TreeSize) -> list[tuple[int, int]]:
    """Return the subtrees whose hashes are the inclusion proof of a leaf, in the proof's order.

    Returns:
        ``(start, end)`` for MTH(D[start:end]), at most 63 of them.

    Raises:
        ProofSyntaxError: the tree has no such leaf.

    Source: RFC 6962 section 2.1.1, PATH.
    """
    if not 0 <= leaf_index < tree_size <= INT64_MAX:
        raise ProofSyntaxError(
            "no inclusion proof: the leaf index is outside the tree",
            leaf_index=leaf_index,
            tree_size=tree_size,
        )
    subtrees: list[tuple[int, int]] = []
    start, end = 0, int(tree_size)
    while end - start > 1:
        middle = start + _split_size(end - start)
        if leaf_index < middle:
            subtrees.append((middle, end))
            end = middle
        else:
            subtrees.append((start, middle))
            start = middle
    return subtrees[::-1]


def consistency_subtrees(*, old_size: TreeSize, new_size: TreeSize) -> list[tuple[int, int]]:
    """Return the subtrees whose hashes are a consistency proof, in the proof's order.

    Returns:
        ``(start, end)`` for MTH(D[start:end]), at most 64 of them; none for equal sizes.

    Raises:
        ProofSyntaxError: not 1 <= old size <= new size.

    Source: RFC 6962 section 2.1.2, SUBPROOF.
    """
    if not 1 <= old_size <= new_size <= INT64_MAX:
        raise ProofSyntaxError(
            "no consistency proof: tree sizes are not 1 <= old size <= new size",
            old_size=old_size,
            new_size=new_size,
        )
    subtrees: list[tuple[int, int]] = []
    start, end = 0, int(new_size)
    while old_size != end:
        middle = start + _split_size(end - start)
        if old_size <= middle:
            subtrees.append((middle, end))
            end = middle
        else:
            subtrees.append((start, middle))
            start = middle
    # A checker knows the old root. Only when that is not this last subtree must the proof name it.
    if start:
        subtrees.append((start, end))
    return subtrees[::-1]


def _split_size(leaves_count: int) -> int:
    """Return the largest power of two below a number of leaves, which is at least 2."""
    return 1 << (leaves_count - 1).bit_length() - 1


def _inner_count(leaf_index: int, tree_size: int) -> int:
    r"""Return how many siblings of a leaf's path come before it meets the tree's right edge.

    Below that point the path has a sibling at every height, on the side that the index's binary
    digit says. From there on only left siblings exist, one for each digit 1.

                 root
               /      \
            o            o        size 7, leaf 4: sibling 5 is on its right, 6 on the right
          /   \        /   \      of (4,5), and from there only (0..3) is left, on the left:
         o     o      o     6     inner 2, and one more.
        0 1   2 3    4 5
    """
    return (leaf_index ^ (tree_size - 1)).bit_length()


def _climb(node: bytes, *, position: int, inner: int, path: Sequence[bytes]) -> bytes:
    """Return the hash at the top of a path that starts with a node at a position of its row."""
    for height, sibling in enumerate(path):
        if height >= inner or position >> height & 1:
            node = hash_node(sibling, node)
        else:
            node = hash_node(node, sibling)
    return node


def _consistent_roots(
    *, old_size: int, old_root: bytes, new_size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """Return the old and the new root that a consistency proof of the right length leads to."""
    if old_size == new_size:
        return old_root, old_root
    # Both climbs start at the largest perfect subtree that ends where the old tree ends. When it
    # is the whole old tree, its hash is the old root and the proof leaves it out.
    height = (old_size & -old_size).bit_length() - 1
    if old_size == 1 << height:
        seed, path = old_root, proof
    else:
        seed, path = proof[0], proof[1:]
    position = old_size - 1 >> height
    inner = _inner_count(old_size - 1, new_size) - height
    # What stands right of the path came after the old tree, so the old root has only the left.
    lefts = [
        sibling for level, sibling in enumerate(path) if level >= inner or position >> level & 1
    ]
    return (
        _climb(seed, position=0, inner=0, path=lefts),
        _climb(seed, position=position, inner=inner, path=path),
    )


def _is_misshapen(hashes: Sequence[bytes], *, hashes_count: int) -> bool:
    """Tell whether hashes are not so many, or not all of 32 bytes."""
    return len(hashes) != hashes_count or any(len(each) != HASH_BYTES for each in hashes)


def _describe_lengths(proof: Sequence[bytes]) -> str:
    """Say how many hashes a proof has, and which lengths are wrong."""
    wrong = sorted({len(each) for each in proof if len(each) != HASH_BYTES})
    return f"{len(proof)}" + (f" with lengths of {wrong[:4]} bytes" if wrong else "")
