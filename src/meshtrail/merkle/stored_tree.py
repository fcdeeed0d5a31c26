"""A tree read back from its stored hashes: any node, any proof, the root of any smaller tree.

`StoredTree` believes what it reads and serves a log's own provers. `AuthenticTree` believes nothing
that does not lead to the root it was given, and is what a client or an auditor uses.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

from meshtrail.errors import InclusionError, ProofSyntaxError
from meshtrail.merkle.hashing import HASH_BYTES, fold_right, hash_pairs
from meshtrail.merkle.proof import consistency_subtrees, inclusion_subtrees
from meshtrail.merkle.tile import TILE_HEIGHT, TILE_WIDTH, Tile, tile_indexes, tile_width
from meshtrail.merkle.tree import Frontier, edge_heights

if TYPE_CHECKING:
    from meshtrail.merkle.reader import HashReader
    from meshtrail.units import LeafIndex, TreeSize

_Pyramid: TypeAlias = list[bytes]

TILES_MAX = 512
"""Tiles kept by default: at most 8 MiB with the nodes above their hashes."""


def prove_inclusion(
    reader: HashReader, *, leaf_index: LeafIndex, tree_size: TreeSize
) -> list[bytes]:
    """Return the proof that a leaf is in a tree. For many proofs of one tree, use `StoredTree`.

    Raises:
        ProofSyntaxError: the tree has no such leaf, or the reader gave another number of hashes.
    """
    return StoredTree(reader, tree_size=tree_size).prove_inclusion(leaf_index)


def prove_consistency(reader: HashReader, *, old_size: TreeSize, new_size: TreeSize) -> list[bytes]:
    """Return the proof that a tree extends an older one.

    Raises:
        ProofSyntaxError: not 1 <= old size <= new size, or the reader gave another number of
            hashes.
    """
    return StoredTree(reader, tree_size=new_size).prove_consistency(old_size)


def tree_root(reader: HashReader, tree_size: TreeSize) -> bytes:
    """Return the root that stored hashes give for a tree size.

    Raises:
        ProofSyntaxError: not a tree size, or the reader gave another number of hashes.
    """
    return StoredTree(reader, tree_size=tree_size).root()


class StoredTree:
    """One tree over a `HashReader`, whose hashes are believed.

    Each tile is read at most once while it is among the `tiles_max` used last, and the nodes above
    its hashes are computed then: the next proof through the same tile hashes nothing.

    Cost: a proof reads at most one tile for each level and the right edge, 5 + 5 tiles at 10**12
    leaves.
    """

    def __init__(
        self, reader: HashReader, *, tree_size: TreeSize, tiles_max: int = TILES_MAX
    ) -> None:
        edge_heights(tree_size)
        self._reader = reader
        self._tree_size = tree_size
        self._tiles_max = max(1, tiles_max)
        self._pyramids: OrderedDict[tuple[int, int], _Pyramid] = OrderedDict()

    @property
    def size(self) -> TreeSize:
        """Number of leaves."""
        return self._tree_size

    def root(self, tree_size: TreeSize | None = None) -> bytes:
        """Return the root of this tree, or of the tree that its first leaves once were.

        With an `AuthenticTree`, a signed root of an older size that equals this one is consistent
        with it: no consistency proof is needed.

        Raises:
            ProofSyntaxError: a size that this tree has not reached.
        """
        return self.subtree_hash(0, self._tree_size if tree_size is None else tree_size)

    def prove_inclusion(self, leaf_index: LeafIndex) -> list[bytes]:
        """Return the inclusion proof of a leaf in this tree, its sibling first.

        Raises:
            ProofSyntaxError: the tree has no such leaf.
        """
        subtrees = inclusion_subtrees(leaf_index=leaf_index, tree_size=self._tree_size)
        return [self.subtree_hash(start, end) for start, end in subtrees]

    def prove_consistency(self, old_size: TreeSize) -> list[bytes]:
        """Return the proof that this tree extends the one of an older size.

        Raises:
            ProofSyntaxError: not 1 <= old size <= this size.
        """
        subtrees = consistency_subtrees(old_size=old_size, new_size=self._tree_size)
        return [self.subtree_hash(start, end) for start, end in subtrees]

    def frontier(self) -> Frontier:
        """Return the frontier of this tree, to append to."""
        heights = edge_heights(self._tree_size)
        hashes = [self.node_hash(height, (self._tree_size >> height) - 1) for height in heights]
        return Frontier.restore(tree_size=self._tree_size, hashes=b"".join(hashes))

    def subtree_hash(self, start: int, end: int) -> bytes:
        """Return MTH(D[start:end]).

        Args:
            start: first leaf; a multiple of the smallest power of two that is not below the number
                of leaves, as in every subtree that a tree or a proof has.
            end: leaf after the last.

        Raises:
            ProofSyntaxError: not a subtree of this tree.
        """
        if not 0 <= start <= end <= self._tree_size or _is_unaligned(start, end - start):
            raise ProofSyntaxError(
                "a range of leaves is not a subtree of the tree",
                start=start,
                end=end,
                tree_size=self._tree_size,
            )
        hashes: list[bytes] = []
        for height in edge_heights(end - start):
            hashes.append(self.node_hash(height, start >> height))
            start += 1 << height
        return fold_right(hashes)

    def node_hash(self, height: int, index: int) -> bytes:
        """Return the root of the perfect subtree over leaves [index, index + 1) * 2**height.

        Raises:
            ProofSyntaxError: the tree has not all of these leaves.
        """
        if height < 0 or not 0 <= index < self._tree_size >> height:
            raise ProofSyntaxError(
                f"a tree of size {self._tree_size} has no such node",
                height=height,
                index=index,
                tree_size=self._tree_size,
            )
        level, rise = divmod(height, TILE_HEIGHT)
        nodes_per_tile = TILE_WIDTH >> rise
        row = self._pyramid(level, index // nodes_per_tile)[rise]
        place = index % nodes_per_tile * HASH_BYTES
        return row[place : place + HASH_BYTES]

    def read_hashes(self, level: int, start: int, end: int) -> bytes:
        """Return stored hashes; a `StoredTree` is a `HashReader` itself.

        Raises:
            ProofSyntaxError: the tree has not all of these hashes.
        """
        if level < 0 or not 0 <= start <= end <= self._tree_size >> level * TILE_HEIGHT:
            raise ProofSyntaxError(
                f"a tree of size {self._tree_size} has no such hashes of level {level}",
                start=start,
                end=end,
                tree_size=self._tree_size,
            )
        rows = b"".join(self._pyramid(level, index)[0] for index in tile_indexes(start, end))
        skip = start % TILE_WIDTH * HASH_BYTES
        return rows[skip : skip + (end - start) * HASH_BYTES]

    def _pyramid(self, level: int, index: int) -> _Pyramid:
        """Return the rows of a tile: its hashes, the nodes over each 2, 4, 8 … up to 256."""
        key = (level, index)
        if pyramid := self._pyramids.get(key):
            self._pyramids.move_to_end(key)
            return pyramid
        pyramid = self._load(level, index)
        self._pyramids[key] = pyramid
        if len(self._pyramids) > self._tiles_max:
            self._pyramids.popitem(last=False)
        return pyramid

    def _load(self, level: int, index: int) -> _Pyramid:
        width = tile_width(level=level, index=index, tree_size=self._tree_size)
        start = index * TILE_WIDTH
        row = bytes(self._reader.read_hashes(level, start, start + width))
        if len(row) != width * HASH_BYTES:
            raise ProofSyntaxError(
                f"{Tile(level, index, width).path} was read as {len(row)} bytes, "
                f"want {width * HASH_BYTES}",
                level=level,
                index=index,
                tile_bytes=len(row),
            )
        pyramid = [row]
        for _ in range(TILE_HEIGHT):
            pairs_bytes = len(row) // (2 * HASH_BYTES) * (2 * HASH_BYTES)
            row = hash_pairs(row[:pairs_bytes])
            pyramid.append(row)
        return pyramid


class AuthenticTree(StoredTree):
    """One tree over a `HashReader` that is not trusted: every hash given out leads to the root.

    The partial tiles on the right edge give the root, so that comparing it proves all their
    hashes at once. A full tile is proven by folding it and comparing with its hash in the tile
    above, which was proven in the same way before.

    Raises:
        InclusionError: the right edge does not lead to the root; later, from any method, a tile
            that was changed. The message names the tile.
        ProofSyntaxError: the reader gave another number of hashes.

    Source: C2SP tlog-tiles v0.1.0: clients verify tiles against a checkpoint before use.
    """

    def __init__(
        self,
        reader: HashReader,
        *,
        tree_size: TreeSize,
        root_hash: bytes,
        tiles_max: int = TILES_MAX,
    ) -> None:
        super().__init__(reader, tree_size=tree_size, tiles_max=tiles_max)
        # Kept apart from the bounded cache: only the root could prove these again.
        self._edge = self._prove_edge(root_hash)

    def _prove_edge(self, root_hash: bytes) -> dict[tuple[int, int], _Pyramid]:
        """Read the partial tile of each level, and believe them all when they give the root."""
        edge: dict[tuple[int, int], _Pyramid] = {}
        hashes: list[bytes] = []
        for level in reversed(range(self._tree_size.bit_length() // TILE_HEIGHT + 1)):
            items_count = self._tree_size >> level * TILE_HEIGHT
            index, width = divmod(items_count, TILE_WIDTH)
            if width:
                pyramid = edge[level, index] = super()._load(level, index)
                hashes += [pyramid[height][-HASH_BYTES:] for height in edge_heights(width)]
        got = fold_right(hashes)
        if got != root_hash:
            raise InclusionError(
                f"the right edge of the stored tree of size {self._tree_size} leads to root "
                f"{got.hex()[:16]}, want {root_hash.hex()[:16]}",
                tree_size=self._tree_size,
                want=root_hash,
                got=got,
            )
        return edge

    def _load(self, level: int, index: int) -> _Pyramid:
        if edge := self._edge.get((level, index)):
            return edge
        pyramid = super()._load(level, index)
        # The tile above is proven by this same method, up to one on the right edge.
        want, got = self.node_hash((level + 1) * TILE_HEIGHT, index), pyramid[TILE_HEIGHT]
        if want != got:
            raise InclusionError(
                f"{Tile(level, index).path} of the tree of size {self._tree_size} folds to "
                f"{got.hex()[:16]}, the tile above says {want.hex()[:16]}",
                level=level,
                index=index,
                want=want,
                got=got,
            )
        return pyramid


def _is_unaligned(start: int, leaves_count: int) -> bool:
    """Tell whether no tree has a subtree of so many leaves that starts there."""
    return leaves_count > 0 and start % (1 << (leaves_count - 1).bit_length()) != 0
