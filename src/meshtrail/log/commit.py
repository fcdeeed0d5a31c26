"""The commit: manifest, then lock record, then signed checkpoint, then what readers see.

Holds what the next manifest needs of the one before. Everything that a manifest names was made
durable by the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.merkle import EMPTY_ROOT
from meshtrail.note import UnverifiedCheckpoint, sign_checkpoint
from meshtrail.store.checkpoint_files import (
    append_checkpoint,
    publish_checkpoint,
    read_published,
)
from meshtrail.store.durable import append_file, remove_file
from meshtrail.store.manifest import (
    SNAPSHOT_EVERY,
    CommittedFile,
    JournalPosition,
    LiveFiles,
    Manifest,
)
from meshtrail.store.manifest_files import manifest_numbers, manifest_path, write_manifest
from meshtrail.units import TreeSize, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from meshtrail.log.recovery import Recovered
    from meshtrail.merkle import Frontier
    from meshtrail.note import SignerKey
    from meshtrail.store.durable import Disk
    from meshtrail.store.layout import Layout, RangeFile
    from meshtrail.units import Clock

REASON_START: Final = "start"
REASON_TICK: Final = "tick"
REASON_MERGE: Final = "merge"
REASON_SNAPSHOT: Final = "snapshot"

_SNAPSHOTS_KEPT: Final = 2


class Committer:
    """Writes the manifests and checkpoints of one log. Owned by the sealer's thread."""

    def __init__(
        self,
        disk: Disk,
        layout: Layout,
        signer: SignerKey,
        recovered: Recovered,
        *,
        lock_record: Path | None,
        clock: Clock,
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._signer = signer
        self._lock_record = lock_record
        self._clock = clock
        self._last_checkpoint = recovered.last_checkpoint
        self._last_recorded = recovered.last_recorded
        pinned = recovered.pinned
        self._number = pinned.manifest.number + 1 if pinned else 0
        self._previous = pinned.digest if pinned else None
        self._live = pinned.live if pinned else LiveFiles()
        self._journals = {at.writer: at for at in pinned.manifest.journals} if pinned else {}
        self._time_ns = pinned.manifest.time_ns if pinned else UnixNanos(0)
        self._tree_size = pinned.manifest.tree_size if pinned else TreeSize(0)
        self._root_hash = pinned.manifest.root_hash if pinned else EMPTY_ROOT
        self._snapshots: list[int] = []

    @property
    def live(self) -> Mapping[RangeFile, CommittedFile]:
        """The live files."""
        return self._live.by_name

    def segments(self) -> list[RangeFile]:
        """The live segments, oldest first."""
        return [file.named for file in self._live.folder("segments")]

    @property
    def time_ns(self) -> UnixNanos:
        """``received_ns`` of the last committed entry, 0 for an empty log."""
        return self._time_ns

    @property
    def tree_size(self) -> TreeSize:
        """Committed entries."""
        return self._tree_size

    def position(self, writer: str) -> JournalPosition | None:
        """How far a journal is sealed; None when nothing of it is."""
        return self._journals.get(writer)

    def start(self) -> None:
        """Commit what was recovered: a snapshot, and the checkpoint if it was not signed yet."""
        self._write_snapshot(REASON_START)
        self._publish()

    def commit_tick(
        self,
        tree: Frontier,
        *,
        time_ns: UnixNanos,
        files: Iterable[CommittedFile],
        journals: Iterable[JournalPosition],
        merged: tuple[tuple[CommittedFile, ...], tuple[RangeFile, ...]] | None,
    ) -> None:
        """Commit new entries, and a finished merge with them.

        Args:
            tree: the tree with the new leaves; their files are durable.
            time_ns: ``received_ns`` of the last of them.
            files: their segment and tiles.
            journals: how far each journal is sealed with them.
            merged: files that a merge made, and those that they replace.
        """
        self._write_due_snapshot()
        self._tree_size, self._root_hash, self._time_ns = tree.size, tree.root(), time_ns
        self._journals.update({at.writer: at for at in journals})
        added, dropped = merged or ((), ())
        reasons = (REASON_TICK, REASON_MERGE) if merged else (REASON_TICK,)
        self._write_delta(reasons, files=(*files, *added), dropped=dropped)
        self._publish()

    def commit_merge(
        self, files: tuple[CommittedFile, ...], dropped: tuple[RangeFile, ...]
    ) -> None:
        """Commit a finished merge by itself: the tree stays as it is."""
        self._write_due_snapshot()
        self._write_delta((REASON_MERGE,), files=files, dropped=dropped)

    def _write_delta(
        self,
        reasons: tuple[str, ...],
        *,
        files: tuple[CommittedFile, ...],
        dropped: tuple[RangeFile, ...],
    ) -> None:
        """Write what changed."""
        manifest = self._manifest(reasons, is_snapshot=False, files=files, dropped=dropped)
        self._live.apply(manifest)
        self._write(manifest)

    def _write_due_snapshot(self) -> None:
        """Write a snapshot where the next number asks for one, before anything changes.

        A snapshot changes nothing by itself, so an auditor can hold it against what the deltas
        before it give.
        """
        if self._number % SNAPSHOT_EVERY == 0:
            self._write_snapshot(REASON_SNAPSHOT)

    def _write_snapshot(self, reason: str) -> None:
        """Write the whole live set, and remove the manifests that nobody needs any more."""
        files = tuple(self._live.by_name.values())
        self._write(self._manifest((reason,), is_snapshot=True, files=files, dropped=()))
        self._snapshots = [*self._snapshots, self._number - 1][-_SNAPSHOTS_KEPT:]
        if len(self._snapshots) == _SNAPSHOTS_KEPT:
            for number in manifest_numbers(self._layout):
                if number < self._snapshots[0]:
                    remove_file(self._disk, manifest_path(self._layout, number))

    def _write(self, manifest: Manifest) -> None:
        """When this returns, the manifest is durable: it is the state of the log."""
        self._previous = write_manifest(self._disk, self._layout, manifest, self._signer)
        self._number += 1

    def _manifest(
        self,
        reasons: tuple[str, ...],
        *,
        is_snapshot: bool,
        files: tuple[CommittedFile, ...],
        dropped: tuple[RangeFile, ...],
    ) -> Manifest:
        """The next manifest."""
        return Manifest(
            origin=self._signer.name,
            number=self._number,
            previous=self._previous,
            time_ns=self._time_ns,
            tree_size=self._tree_size,
            root_hash=self._root_hash,
            reasons=reasons,
            is_snapshot=is_snapshot,
            journals=tuple(self._journals.values()),
            dropped=dropped,
            files=files,
        )

    def _publish(self) -> None:
        """Sign the tree of the last manifest and let readers see it, in the order of the layout.

        A step that an earlier run did before it crashed is not done again: Ed25519 is
        deterministic, so the same tree gives the same bytes.
        """
        checkpoint = UnverifiedCheckpoint(
            origin=self._signer.name, tree_size=self._tree_size, root_hash=self._root_hash
        )
        note = sign_checkpoint(checkpoint, self._signer)
        if self._lock_record is not None and note != self._last_recorded:
            append_file(self._disk, self._lock_record, note)
            self._last_recorded = note
        if note != self._last_checkpoint:
            append_checkpoint(self._disk, self._layout, note, signed_ns=self._clock.wall_ns())
            self._last_checkpoint = note
        if read_published(self._layout) != note:
            publish_checkpoint(self._disk, self._layout, note)
