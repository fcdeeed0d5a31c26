"""Single entries with their proofs, from a log that is believed no further than its checkpoint.

Every proof leads from the entry's own bytes to the root that the key signed, through tiles that are
held against that root; segments and manifests only say where to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.errors import (
    DigestError,
    LeafError,
    ManifestError,
    MissingFileError,
    NotFoundError,
)
from meshtrail.merkle import AuthenticTree, hash_leaf
from meshtrail.model.event import SEGMENT_SCHEMA
from meshtrail.note import UnverifiedProof, format_proof, open_checkpoint
from meshtrail.store.checkpoint_files import read_published
from meshtrail.store.layout import Layout
from meshtrail.store.manifest_files import read_newest
from meshtrail.store.tiles import TilesReader
from meshtrail.units import LeafIndex
from meshtrail.verify.findings import short

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from meshtrail.store.layout import RangeFile
    from meshtrail.verify.pins import TrustedKey

INDEXES_MAX: Final = 100_000
"""Entries proven at a time: a bundle is for people to hand over."""

_BATCH_ROWS: Final = 1_024
"""About a page of entries; what stands behind the last row that is wanted is not decoded."""

_FOOTERS_KEPT: Final = 32
"""That of a million entries takes 14 ms to read, twice as long as an entry, and 9 MiB to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One entry and what proves it.

    Attributes:
        entry: its exact bytes.
        proof: the ``.tlog-proof`` file.
        event: the row of the segment, by column, if it was asked for; for reading only, nothing
            proves it.
    """

    leaf_index: int
    entry: bytes
    proof: bytes
    event: dict[str, Any]

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return {
            "log_index": self.leaf_index,
            "entry_bytes": len(self.entry),
            "leaf_hash": hash_leaf(self.entry).hex(),
        }


class ProvenLog:
    """The tree of the published checkpoint, with the segments that hold its entries.

    Raises:
        NotFoundError: nothing is published yet.
        SignatureError, ManifestError, InclusionError: what is stored is not what was signed.
    """

    def __init__(self, root: Path, trusted: TrustedKey) -> None:
        layout = Layout(root)
        verifier = trusted.verifier
        # The checkpoint first: manifests are written before it, so they reach at least as far.
        note = read_published(layout)
        if note is None:
            raise NotFoundError(f"{root} has no published checkpoint yet", path=root)
        self.checkpoint_note = note
        self.checkpoint = open_checkpoint(note, verifier, origin=verifier.name)
        pinned = read_newest(layout, verifier, origin=verifier.name)
        if pinned is None:
            raise ManifestError(f"{root} has a published checkpoint and no manifest", path=root)
        self._root = root
        self._read_footer = lru_cache(maxsize=_FOOTERS_KEPT)(pq.read_metadata)
        self._segments = [file.named for file in pinned.live.folder("segments")]
        tiles = [file.named for file in pinned.live.folder("tiles")]
        self._tree = AuthenticTree(
            TilesReader(root, tiles),
            tree_size=self.checkpoint.tree_size,
            root_hash=self.checkpoint.root_hash,
        )

    def prove(self, indexes: Sequence[int], *, has_events: bool = True) -> Iterator[Evidence]:
        """The entries at some indexes with their proofs, in ascending order, each once.

        Args:
            indexes: leaf indexes, in any order.
            has_events: whether their events are read too, which takes three times as long.

        Raises:
            NotFoundError: an index outside the published tree, or too many of them.
            LeafError: what a segment holds is not the leaf of the tree.
            DigestError, MissingFileError: a segment or tiles file cannot be read.
            InclusionError: tiles do not lead to the signed root.
        """
        wanted = sorted(set(indexes))
        tree_size = self.checkpoint.tree_size
        for index in wanted:
            if not 0 <= index < tree_size:
                raise NotFoundError(
                    f"the published log has {tree_size} entries, 0 to {tree_size - 1}: "
                    f"there is no entry {index}",
                    leaf_index=index,
                    tree_size=tree_size,
                )
        if len(wanted) > INDEXES_MAX:
            raise NotFoundError(f"{len(wanted)} entries at a time, at most {INDEXES_MAX}")
        columns = SEGMENT_SCHEMA.names if has_events else ["entry"]
        for index, row in self._rows(wanted, columns):
            entry = row.pop("entry")
            self._check_leaf(index, entry)
            yield Evidence(
                leaf_index=index, entry=entry, proof=self._proof(LeafIndex(index)), event=row
            )

    def _check_leaf(self, index: int, entry: bytes) -> None:
        want, got = self._tree.read_hashes(0, index, index + 1), hash_leaf(entry)
        if want != got:
            raise LeafError(
                f"entry {index} hashes to {short(got)}, its leaf is {short(want)}",
                leaf_index=index,
                want=want,
                got=got,
            )

    def _proof(self, index: LeafIndex) -> bytes:
        return format_proof(
            UnverifiedProof(
                leaf_index=index,
                hashes=tuple(self._tree.prove_inclusion(index)),
                checkpoint_note=self.checkpoint_note,
            )
        )

    def _rows(self, wanted: list[int], columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """The rows of some leaves: each row group that holds any is read once."""
        for named in self._segments:
            here = [index for index in wanted if named.start <= index < named.end]
            if here:
                yield from self._segment_rows(named, here, columns)

    def _segment_rows(
        self, named: RangeFile, wanted: Iterable[int], columns: list[str]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            path = self._root / named.path
            with pq.ParquetFile(path, metadata=self._read_footer(path)) as file:
                start = named.start
                for group in range(file.num_row_groups):
                    end = start + file.metadata.row_group(group).num_rows
                    rows = [index - start for index in wanted if start <= index < end]
                    for row, values in _read_rows(file, group, rows, columns):
                        yield start + row, values
                    start = end
        except FileNotFoundError as error:
            raise MissingFileError(f"{named.path} is gone", path=named.path) from error
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DigestError(
                f"{named.path} cannot be read as the file that the manifest names: {error}",
                path=named.path,
            ) from error


def _read_rows(
    file: pq.ParquetFile, group: int, rows: Sequence[int], columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Some rows of a row group, ascending; the group is read no further than the last of them."""
    if not rows:
        return
    start = 0
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=columns):
        end = start + batch.num_rows
        here = [row for row in rows if start <= row < end]
        chosen = batch.take([row - start for row in here]) if here else batch.slice(0, 0)
        yield from zip(here, chosen.to_pylist(), strict=True)
        if rows[-1] < end:
            return
        start = end
    raise ValueError(f"row group {group} ends at row {start}, before row {rows[-1]}")
