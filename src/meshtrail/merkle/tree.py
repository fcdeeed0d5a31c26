"""The tree that grows: only its right edge is kept, and what became complete is handed out.

It holds no leaves and no storage. Whoever appends keeps the leaf hashes and the rows that
`Frontier.extend` returns; from those every proof can be built (`meshtrail.merkle.stored_tree`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import ProofSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES, fold_right, hash_pairs, split_hashes
from meshtrail.merkle.tile import TILE_HEIGHT
from meshtrail.units import INT64_MAX, TreeSize

if TYPE_CHECKING:
    from meshtrail.merkle.hashing import BytesLike

# Nodes folded at a time: what one step allocates stays inside the second-level cache. A row of
# 32,768 nodes at once was measured 9 % slower.
_STEP_BYTES = 2048 * 2 * HASH_BYTES


@dataclass(frozen=True, slots=True)
class HashRow:
    """Consecutive stored hashes of one tile level.

    Attributes:
        level: tile level; a hash of level l covers 256**l leaves.
        start: position of the first hash within its level.
        hashes: uint8[n * 32].
    """

    level: int
    start: int
    hashes: bytes

    @property
    def end(self) -> int:
        """Position after the last hash."""
        return self.start + len(self.hashes) // HASH_BYTES


class Frontier:
    """An RFC 6962 tree reduced to what appending needs: its size and the roots on its right edge.

    A tree of n leaves is a row of perfect subtrees, one for each binary digit 1 of n, the largest
    first. Their roots determine the root of the tree and of every tree that extends it.

    Source: RFC 6962 section 2.1; the compact range of draft-ietf-plants-merkle-tree-certs.
    """

    __slots__ = ("_edge", "_size")

    def __init__(self) -> None:
        self._size = 0
        # For each binary digit k that is 1 in the size: the root of the perfect subtree of 2**k
        # leaves on the right edge.
        self._edge: dict[int, bytes] = {}

    @classmethod
    def restore(cls, *, tree_size: TreeSize, hashes: bytes) -> Frontier:
        """Return the frontier that had this size and these hashes.

        The hashes are taken as they are: compare `root` with a checkpoint before relying on them.

        Args:
            tree_size: number of leaves.
            hashes: what `hashes` returned: uint8[n * 32], n = digits 1 in the size.

        Raises:
            ProofSyntaxError: not a tree size, or not the number of hashes that the size asks for.
        """
        heights = edge_heights(tree_size)
        if len(hashes) != len(heights) * HASH_BYTES:
            raise ProofSyntaxError(
                f"the right edge of a tree of size {tree_size} is {len(heights)} hashes, "
                f"got {len(hashes)} bytes",
                tree_size=tree_size,
                edge_bytes=len(hashes),
            )
        frontier = cls()
        frontier._size = tree_size
        frontier._edge = dict(zip(heights, split_hashes(hashes), strict=True))
        return frontier

    @property
    def size(self) -> TreeSize:
        """Number of leaves."""
        return TreeSize(self._size)

    @property
    def hashes(self) -> bytes:
        """The roots on the right edge, the largest subtree first: uint8[n * 32], for `restore`."""
        return b"".join(self._edge[height] for height in edge_heights(self._size))

    def copy(self) -> Frontier:
        """Return an independent frontier of the same tree, to extend without giving up this one."""
        frontier = Frontier()
        frontier._size = self._size
        frontier._edge = dict(self._edge)
        return frontier

    def root(self) -> bytes:
        """Return the root hash of the tree; `EMPTY_ROOT` when it has no leaves."""
        return fold_right(self._edge[height] for height in edge_heights(self._size))

    def extend(self, leaf_hashes: BytesLike) -> list[HashRow]:
        """Append leaves, and return the upper hashes that became complete.

        Args:
            leaf_hashes: uint8[n * 32], in the order of the leaves.

        Returns:
            For each tile level l from 1 up that gained hashes, the lowest first:
            MTH(D[i * 256**l : (i + 1) * 256**l]) for every i with
            old size < (i + 1) * 256**l <= new size. Level 0 is the argument itself.

        Raises:
            ProofSyntaxError: not a whole number of hashes; the frontier is as it was.

        Cost: one SHA-256 over 65 bytes for each leaf, and about 0.1 µs besides.
        """
        count, rest = divmod(len(leaf_hashes), HASH_BYTES)
        if rest:
            raise ProofSyntaxError(
                f"leaf hashes of {len(leaf_hashes)} bytes are not a whole number of hashes",
                row_bytes=len(leaf_hashes),
            )
        completed: list[HashRow] = []
        row, height = bytes(leaf_hashes), 0
        while row:
            if height and height % TILE_HEIGHT == 0:
                completed.append(
                    HashRow(level=height // TILE_HEIGHT, start=self._size >> height, hashes=row)
                )
            if waiting := self._edge.pop(height, None):
                row = waiting + row
            if len(row) % (2 * HASH_BYTES):
                self._edge[height] = row[-HASH_BYTES:]
                row = row[:-HASH_BYTES]
            row = _fold_row(row)
            height += 1
        self._size += count
        return completed


def edge_heights(leaves_count: int) -> list[int]:
    """Return the heights of the perfect subtrees that make up a tree, the largest first.

    Raises:
        ProofSyntaxError: no tree has so many leaves.
    """
    if not 0 <= leaves_count <= INT64_MAX:
        raise ProofSyntaxError("a tree size is outside 0 to 2**63 - 1", tree_size=leaves_count)
    digits = reversed(range(leaves_count.bit_length()))
    return [height for height in digits if leaves_count >> height & 1]


def _fold_row(row: bytes) -> bytes:
    """Fold an even row one level up, a cache-sized step at a time."""
    if len(row) <= _STEP_BYTES:
        return hash_pairs(row)
    return b"".join(
        [hash_pairs(row[start : start + _STEP_BYTES]) for start in range(0, len(row), _STEP_BYTES)]
    )
