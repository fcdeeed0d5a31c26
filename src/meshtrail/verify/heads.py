"""Every tree head that the log's key signed, by tree size: what the entries have to lead to.

Two heads of one size with different roots are a fork by themselves. Whether a head is that of the
entries is found out where the tree is rebuilt; then all of them are consistent with each other.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import ConsistencyError
from meshtrail.merkle import HASH_BYTES
from meshtrail.verify.findings import Finding, short, tampered

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class SignedHead:
    """One tree head with the place where it was read."""

    tree_size: int
    root_hash: bytes
    source: str


class SignedHeads:
    """Signed tree heads in little memory: 48 bytes for each, however many ticks a log has seen."""

    def __init__(self) -> None:
        self._sizes = array("q")
        self._roots = bytearray()
        self._sources = array("q")
        self._names: list[str] = []
        # Heads of a size that lies below one that came before: not many in an honest log.
        self._late: dict[int, SignedHead] = {}

    def __len__(self) -> int:
        return len(self._sizes) + len(self._late)

    @property
    def largest(self) -> int | None:
        """The largest tree size; None when nothing is signed."""
        sizes = [*self._sizes[-1:], *self._late]
        return max(sizes) if sizes else None

    def find(self, tree_size: int) -> SignedHead | None:
        """The head of a size."""
        at = bisect_left(self._sizes, tree_size)
        if at < len(self._sizes) and self._sizes[at] == tree_size:
            return self._head(at)
        return self._late.get(tree_size)

    def count_above(self, tree_size: int) -> int:
        """How many sizes are larger."""
        above = len(self._sizes) - bisect_left(self._sizes, tree_size + 1)
        return above + sum(size > tree_size for size in self._late)

    def add(self, tree_size: int, root_hash: bytes, source: str) -> Finding | None:
        """Take a signed head.

        Returns:
            The fork, when another root of this size was signed; the first one stays.
        """
        known = self.find(tree_size)
        if known is not None:
            return None if known.root_hash == root_hash else _fork(known, root_hash, source)
        if self._sizes and tree_size < self._sizes[-1]:
            self._late[tree_size] = SignedHead(tree_size, root_hash, source)
            return None
        if not self._names or self._names[-1] != source:
            self._names.append(source)
        self._sizes.append(tree_size)
        self._roots += root_hash
        self._sources.append(len(self._names) - 1)
        return None

    def ordered(self) -> Iterator[SignedHead]:
        """All heads, the smallest tree first."""
        late = sorted(self._late.values(), key=lambda head: head.tree_size)
        early = (self._head(at) for at in range(len(self._sizes)))
        return heapq.merge(early, late, key=lambda head: head.tree_size)

    def _head(self, at: int) -> SignedHead:
        root_hash = bytes(self._roots[at * HASH_BYTES : (at + 1) * HASH_BYTES])
        return SignedHead(self._sizes[at], root_hash, self._names[self._sources[at]])


def _fork(known: SignedHead, root_hash: bytes, source: str) -> Finding:
    return tampered(
        ConsistencyError(
            f"two roots are signed for tree size {known.tree_size}: {short(known.root_hash)} in "
            f"{known.source}, {short(root_hash)} in {source}",
            tree_size=known.tree_size,
            want=known.root_hash,
            got=root_hash,
        ),
        f"checkpoint {known.tree_size}",
    )
