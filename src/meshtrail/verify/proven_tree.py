"""A part of the log against a signed root: its leaves come from tiles that lead there.

For an audit of a range: entries outside it are not read, and yet every signed head is compared,
because the tree of every smaller size follows from the same tiles.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from meshtrail.errors import InclusionError, InputError, TamperError
from meshtrail.merkle import HASH_BYTES, AuthenticTree
from meshtrail.store.tiles import TilesReader
from meshtrail.units import TreeSize
from meshtrail.verify.findings import Finding, Findings, tampered
from meshtrail.verify.tree import other_root, wrong_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from meshtrail.merkle import HashRow
    from meshtrail.store.layout import RangeFile
    from meshtrail.verify.heads import SignedHead, SignedHeads


class ProvenTree:
    """The tree of one signed head, read from tiles; takes the leaves of a range in order.

    Attributes:
        heads_checked: signed heads that this tree's first leaves give.
        is_complete: whether every signed head could be compared.
    """

    def __init__(
        self,
        root: Path,
        tiles: Sequence[RangeFile],
        *,
        head: SignedHead,
        start: int,
        findings: Findings,
    ) -> None:
        self._findings = findings
        self._position = start
        self._tree: AuthenticTree | None = None
        self.heads_checked = 0
        self.is_complete = False
        reader = TilesReader(root, tiles)
        self._guarded(lambda: self._open(reader, head))

    def check_heads(self, heads: SignedHeads) -> None:
        """Compare every signed head with the tree of its size."""
        self.is_complete = self._tree is not None
        for head in heads.ordered():
            if self._tree is None:
                return
            got = self._guarded(partial(self._root, head.tree_size))
            if got is None:
                self.is_complete = False
            elif got == head.root_hash:
                self.heads_checked += 1
            else:
                self._findings.add(other_root(head, got))

    def extend(
        self,
        count: int,
        *,
        hashed: bytes | None,
        stored: bytes | None,  # noqa: ARG002 - as TreeFold has it
    ) -> list[HashRow]:
        """Compare the next leaves with what their entries hash to."""
        start = self._position
        self._position += count
        if hashed is None:
            return []
        want = self._guarded(lambda: self._leaves(start, start + count))
        if want is not None and want != hashed:
            for at in range(count):
                part = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
                if want[part] != hashed[part]:
                    finding = wrong_entry(start + at, want=want[part], got=hashed[part])
                    self._findings.add(finding)
        return []

    def finish(self) -> None:
        """Nothing waits here for a later root."""

    def _open(self, reader: TilesReader, head: SignedHead) -> bytes:
        self._tree = AuthenticTree(
            reader, tree_size=TreeSize(head.tree_size), root_hash=head.root_hash
        )
        return head.root_hash

    def _root(self, tree_size: int) -> bytes | None:
        if self._tree is None or tree_size > self._tree.size:
            return None
        return self._tree.root(TreeSize(tree_size))

    def _leaves(self, start: int, end: int) -> bytes | None:
        return self._tree.read_hashes(0, start, end) if self._tree is not None else None

    def _guarded(self, read: Callable[[], bytes | None]) -> bytes | None:
        """Report what tiles do not give, once it is asked for."""
        try:
            return read()
        except TamperError as error:
            self._findings.add(tampered(error, "tiles"))
        except InputError as error:
            self._findings.add(_not_there(error))
        return None


def _not_there(error: InputError) -> Finding:
    return tampered(InclusionError(f"the tiles do not hold the tree: {error.message}"), "tiles")
