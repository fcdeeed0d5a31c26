"""The tree rebuilt from the entries, held against every signed root and against the stored tiles.

Entries and tiles say the same hashes in an honest log. Where they differ, the next signed root
tells which of the two was changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.errors import ConsistencyError, InclusionError, LeafError
from meshtrail.merkle import HASH_BYTES, Frontier
from meshtrail.store.tiles import tiles_levels
from meshtrail.verify.findings import FINDINGS_MAX, Finding, Findings, short, tampered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.merkle import HashRow
    from meshtrail.verify.heads import SignedHead, SignedHeads

_ROW: Final = np.dtype(("u1", HASH_BYTES))


class TreeFold:
    """Grows a tree from hashes in the order of the log, and compares its roots on the way.

    Attributes:
        heads_checked: signed heads whose root is that of the entries.
    """

    def __init__(self, heads: SignedHeads, findings: Findings) -> None:
        self._heads = heads.ordered()
        self._due = next(self._heads, None)
        self._findings = findings
        self._tree = Frontier()
        # The tree as the tiles have it, while it differs from the entries'.
        self._stored: Frontier | None = None
        self._suspects: list[tuple[int, bytes, bytes]] = []
        self._is_broken = False
        self.heads_checked = 0
        self._check_due()

    @property
    def tree_size(self) -> int:
        """Leaves so far."""
        return self._tree.size

    @property
    def is_complete(self) -> bool:
        """Whether every hash was there, so that every signed root could be compared."""
        return not self._is_broken and self._due is None

    def extend(self, count: int, *, hashed: bytes | None, stored: bytes | None) -> list[HashRow]:
        """Append leaves, and compare with the signed roots of the sizes on the way.

        Args:
            count: how many.
            hashed: uint8[n * 32], what their entries hash to; None when they cannot be read.
            stored: uint8[n * 32], what the tiles say; None when they cannot be read.

        Returns:
            The upper hashes that became complete, from the tiles' leaves where there are any.
        """
        rows: list[HashRow] = []
        position = 0
        while position < count:
            step = count - position
            if self._due is not None and self._due.tree_size > self.tree_size:
                step = min(step, self._due.tree_size - self.tree_size)
            part = slice(position * HASH_BYTES, (position + step) * HASH_BYTES)
            rows += self._append(
                step,
                hashed[part] if hashed is not None else None,
                stored[part] if stored is not None else None,
            )
            position += step
            self._check_due()
        return rows

    def finish(self) -> None:
        """Report the leaves that no signed root came after."""
        self._blame_entries()

    def _append(self, count: int, hashed: bytes | None, stored: bytes | None) -> list[HashRow]:
        row = hashed if hashed is not None else stored
        if row is None:
            # The sizes go on; roots are not compared any more.
            self._is_broken = True
            row = bytes(count * HASH_BYTES)
        other = stored if stored is not None else row
        if other != row:
            self._suspect(row, other)
            self._stored = self._stored or self._tree.copy()
        if self._stored is None:
            return self._tree.extend(row)
        self._tree.extend(row)
        return self._stored.extend(other)

    def _suspect(self, hashed: bytes, stored: bytes) -> None:
        """Remember which leaves differ."""
        is_other = np.frombuffer(hashed, _ROW) != np.frombuffer(stored, _ROW)
        for at in np.flatnonzero(is_other.any(axis=1)).tolist():
            if len(self._suspects) < FINDINGS_MAX:
                part = slice(at * HASH_BYTES, (at + 1) * HASH_BYTES)
                self._suspects.append((self.tree_size + at, stored[part], hashed[part]))

    def _check_due(self) -> None:
        """Compare with every signed head of the size that is reached."""
        while self._due is not None and self._due.tree_size == self.tree_size:
            head = self._due
            self._due = next(self._heads, None)
            if not self._is_broken:
                self._compare(head)

    def _compare(self, head: SignedHead) -> None:
        got = self._tree.root()
        stored = self._stored.root() if self._stored is not None else got
        if got == head.root_hash:
            self.heads_checked += 1
            self._blame_tiles()
        elif stored == head.root_hash:
            self.heads_checked += 1
            self._blame_entries()
        else:
            self._blame_entries()
            self._findings.add(other_root(head, got))

    def _blame_tiles(self) -> None:
        """The entries lead to the signed root: where tiles differ, they were changed."""
        for leaf_index, stored, hashed in self._suspects:
            self._findings.add(_wrong_tile(leaf_index, want=hashed, got=stored))
        self._suspects, self._stored = [], None

    def _blame_entries(self) -> None:
        """The tiles lead to the signed root, or nothing does: entries are not their leaves."""
        for leaf_index, stored, hashed in self._suspects:
            self._findings.add(wrong_entry(leaf_index, want=stored, got=hashed))
        if self._stored is not None:
            self._tree = self._stored
        self._suspects, self._stored = [], None


def upper_hashes_findings(
    name: str, *, start: int, end: int, data: bytes, rows: list[HashRow]
) -> Iterator[Finding]:
    """Compare the upper hashes in a tiles file with those that its leaves complete.

    Args:
        name: its path in DATA.
        start: its first leaf.
        end: the leaf after its last.
        data: the whole file.
        rows: what the tree completed while the leaves [start, end) were appended.
    """
    want: dict[int, bytes] = {}
    for row in rows:
        want[row.level] = want.get(row.level, b"") + row.hashes
    offset = 0
    for level, first, last in tiles_levels(start, end):
        length = (last - first) * HASH_BYTES
        got = data[offset : offset + length]
        offset += length
        if level and got != want.get(level, b""):
            yield tampered(
                InclusionError(
                    f"{name}: the hashes {first} to {last} of level {level} are not those of the "
                    "leaves below them",
                    path=name,
                    level=level,
                ),
                name,
            )


def wrong_entry(leaf_index: int, *, want: bytes, got: bytes) -> Finding:
    """An entry that does not hash to its leaf."""
    return tampered(
        LeafError(
            f"entry {leaf_index} hashes to {short(got)}, its leaf is {short(want)}",
            leaf_index=leaf_index,
            want=want,
            got=got,
        ),
        f"entry {leaf_index}",
    )


def other_root(head: SignedHead, got: bytes) -> Finding:
    """A signed head that is not that of the entries."""
    return tampered(
        ConsistencyError(
            f"{head.source} has a signed root {short(head.root_hash)} at size {head.tree_size}, "
            f"the entries make {short(got)}: another history was signed",
            tree_size=head.tree_size,
            want=head.root_hash,
            got=got,
        ),
        f"checkpoint {head.tree_size}",
    )


def _wrong_tile(leaf_index: int, *, want: bytes, got: bytes) -> Finding:
    return tampered(
        InclusionError(
            f"the tiles have {short(got)} for leaf {leaf_index}, its entry hashes to "
            f"{short(want)}, and that leads to the signed root",
            leaf_index=leaf_index,
            want=want,
            got=got,
        ),
        f"leaf {leaf_index}",
    )
