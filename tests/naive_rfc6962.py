"""RFC 6962 section 2.1 and RFC 9162 section 2.1, line by line: slow, and plainly right.

Names and variables are those of the RFCs, so that the two can be read side by side. Nothing of
`meshtrail` is used.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def naive_leaf_hash(d: bytes) -> bytes:
    return sha256(b"\x00" + d)


def naive_node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def split_point(n: int) -> int:
    """Return the k with k < n <= 2k, a power of two."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH(D[n])."""
    n = len(leaves)
    if n == 0:
        return sha256(b"")
    if n == 1:
        return naive_leaf_hash(leaves[0])
    k = split_point(n)
    return naive_node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_inclusion_proof(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    n = len(leaves)
    if n == 1:
        return []
    k = split_point(n)
    if m < k:
        return [*naive_inclusion_proof(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_inclusion_proof(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_consistency_proof(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PROOF(m, D[n]), 0 < m <= n."""
    return _subproof(m, leaves, b=True)


def _subproof(m: int, leaves: Sequence[bytes], *, b: bool) -> list[bytes]:
    n = len(leaves)
    if m == n:
        return [] if b else [naive_root(leaves)]
    k = split_point(n)
    if m <= k:
        return [*_subproof(m, leaves[:k], b=b), naive_root(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], b=False), naive_root(leaves[:k])]


def naive_includes(
    leaf_hash: bytes, leaf_index: int, tree_size: int, root_hash: bytes, proof: Sequence[bytes]
) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if leaf_index >= tree_size:
        return False
    fn, sn, r = leaf_index, tree_size - 1, leaf_hash
    for p in proof:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = naive_node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = naive_node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root_hash


def naive_extends(
    first: int, second: int, first_hash: bytes, second_hash: bytes, proof: Sequence[bytes]
) -> bool:
    """RFC 9162 section 2.1.4.2, with the empty proof of two equal trees before it."""
    if first == second:
        return not proof and first_hash == second_hash
    if not proof:
        return False
    path = [first_hash, *proof] if first & (first - 1) == 0 else list(proof)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = naive_node_hash(c, fr), naive_node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = naive_node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_hash and sr == second_hash
