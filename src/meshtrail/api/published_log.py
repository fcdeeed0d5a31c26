"""The published tree, read at its tlog-tiles paths: checkpoint, tiles and entry bundles.

Only what the published checkpoint covers is given out, and the checkpoint only after its signature
was checked. Hashes and entries are as they are stored: a client checks them against the checkpoint,
which is what the format is for.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import (
    ConsistencyError,
    ManifestError,
    MissingFileError,
    NotFoundError,
    RollbackError,
)
from meshtrail.merkle import encode_bundle, tile_width
from meshtrail.note import open_checkpoint
from meshtrail.store.checkpoint_files import read_published
from meshtrail.store.tiles import TilesReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.api.entry_reader import EntryReader
    from meshtrail.merkle import EntryBundle, Tile
    from meshtrail.note import Checkpoint, Verifier
    from meshtrail.store.layout import Layout, RangeFile
    from meshtrail.store.manifest_follower import ManifestFollower
    from meshtrail.units import TreeSize

PINNED_SECONDS_MAX: Final = 60.0
"""Files of an older manifest stay for 15 minutes; one minute is well within."""


@dataclass(frozen=True, slots=True)
class _View:
    """What is read from: the live files of one manifest."""

    tree_size: TreeSize
    tiles: TilesReader
    segments: tuple[RangeFile, ...]
    made_s: float


@dataclass(frozen=True, slots=True)
class PublishedHead:
    """The published checkpoint, verified, and its bytes."""

    note: bytes
    checkpoint: Checkpoint


class PublishedLog:
    """Reads one log for any number of threads."""

    def __init__(
        self,
        layout: Layout,
        verifier: Verifier,
        manifests: ManifestFollower,
        entries: EntryReader,
        *,
        origin: str,
    ) -> None:
        self._layout = layout
        self._verifier = verifier
        self._manifests = manifests
        self._entries = entries
        self._origin = origin
        self._head: PublishedHead | None = None
        self._view: _View | None = None
        self._lock = threading.Lock()

    def read_head(self) -> PublishedHead:
        """The published checkpoint.

        Raises:
            NotFoundError: nothing was published yet.
            SignatureError, NoteSyntaxError: it is not what the log signed.
            RollbackError, ConsistencyError: it is older than one that was there before, or another
                of the same size.
        """
        note = read_published(self._layout)
        if note is None:
            raise NotFoundError(f"{self._origin} has no published checkpoint yet")
        with self._lock:
            if self._head is None or self._head.note != note:
                checkpoint = open_checkpoint(note, self._verifier, origin=self._origin)
                if self._head is not None:
                    _check_goes_on(self._head.checkpoint, checkpoint)
                self._head = PublishedHead(note, checkpoint)
            return self._head

    def read_tile(self, tile: Tile) -> bytes:
        """The hashes of a tile.

        Raises:
            NotFoundError: the published tree has no such tile, or one that is not so wide yet.
            MissingFileError, DigestError: what should hold it is gone or too short.
        """

        def is_there(tree_size: TreeSize) -> bool:
            width = tile_width(level=tile.level, index=tile.index, tree_size=tree_size)
            return tile.width <= width

        return self._read(
            tile.path,
            is_there,
            lambda view: view.tiles.read_hashes(tile.level, tile.start, tile.end),
        )

    def read_bundle(self, bundle: EntryBundle) -> bytes:
        """An entry bundle.

        Raises:
            NotFoundError: the published tree has no such bundle, or one that is not so wide yet.
            MissingFileError, DigestError: a segment is gone, or does not read back.
        """
        return self._read(
            bundle.path,
            lambda tree_size: bundle.end <= tree_size,
            lambda view: encode_bundle(self._entries.read(view.segments, bundle.start, bundle.end)),
        )

    def _read(
        self, path: str, is_there: Callable[[TreeSize], bool], read: Callable[[_View], bytes]
    ) -> bytes:
        view = self._view
        is_old = view is None or time.monotonic() - view.made_s > PINNED_SECONDS_MAX
        if view is None or is_old or not is_there(view.tree_size):
            view = self._refresh()
        if not is_there(view.tree_size):
            raise NotFoundError(
                f"the published tree of {view.tree_size} entries has no {path}",
                path=path,
                tree_size=view.tree_size,
            )
        try:
            return read(view)
        except MissingFileError:
            # A merge put another file in its place, and its time was up: the newest manifest knows.
            return read(self._refresh())

    def _refresh(self) -> _View:
        # The checkpoint first: manifests are written before it, so they reach at least as far.
        checkpoint = self.read_head().checkpoint
        pinned = self._manifests.read()
        if pinned is None or pinned.manifest.tree_size < checkpoint.tree_size:
            got = 0 if pinned is None else pinned.manifest.tree_size
            raise ManifestError(
                f"the newest manifest has tree size {got}, the published checkpoint "
                f"{checkpoint.tree_size}",
                want=checkpoint.tree_size,
                got=got,
            )
        tiles = [file.named for file in pinned.live.folder("tiles")]
        self._view = _View(
            tree_size=checkpoint.tree_size,
            tiles=TilesReader(self._layout.root, tiles),
            segments=tuple(file.named for file in pinned.live.folder("segments")),
            made_s=time.monotonic(),
        )
        return self._view


def _check_goes_on(before: Checkpoint, now: Checkpoint) -> None:
    """Return unless a later reading is of an older or another tree."""
    if now.tree_size < before.tree_size:
        raise RollbackError(
            f"the published checkpoint has tree size {now.tree_size}, one of {before.tree_size} "
            "was there before",
            want=before.tree_size,
            got=now.tree_size,
        )
    if now.tree_size == before.tree_size and now.root_hash != before.root_hash:
        raise ConsistencyError(
            f"two checkpoints of tree size {now.tree_size}: root {before.root_hash.hex()[:16]} "
            f"before, {now.root_hash.hex()[:16]} now",
            want=before.root_hash,
            got=now.root_hash,
        )
