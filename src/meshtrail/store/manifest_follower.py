"""The newest manifest of a log that goes on, without reading again what was read before.

``read_newest`` checks the signatures of up to 256 manifests, a tenth of a second. Who looks often
keeps one of these.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from meshtrail.errors import MissingFileError, RollbackError
from meshtrail.store.manifest import LiveFiles, manifest_digest
from meshtrail.store.manifest_files import (
    PinnedManifest,
    manifest_numbers,
    manifest_path,
    read_manifests,
    read_newest,
)

if TYPE_CHECKING:
    from meshtrail.note import Verifier
    from meshtrail.store.layout import Layout


class ManifestFollower:
    """Reads on from the manifest that it read last. Any number of threads may use it."""

    def __init__(self, layout: Layout, verifier: Verifier, *, origin: str) -> None:
        self._layout = layout
        self._verifier = verifier
        self._origin = origin
        self._pinned: PinnedManifest | None = None
        self._lock = threading.Lock()

    def read(self) -> PinnedManifest | None:
        """The newest manifest with its live files; None when there is none yet.

        Raises:
            RollbackError: a newer one was there before.
            SignatureError, ManifestSyntaxError, ManifestError, MissingFileError: see
                ``read_manifests``.

        Cost: lists the folder, reads the manifests since the last time and that one once more.
        """
        with self._lock:
            if self._pinned is None or not self._is_there(self._pinned):
                self._pinned = self._read_anew(self._pinned)
            else:
                try:
                    self._pinned = self._read_on(self._pinned)
                except MissingFileError:
                    # Removed behind two newer snapshots since we looked; if not, this says so too.
                    self._pinned = self._read_anew(self._pinned)
            return self._pinned

    def _is_there(self, pinned: PinnedManifest) -> bool:
        """Whether the manifest still stands in its place, byte for byte."""
        try:
            data = manifest_path(self._layout, pinned.manifest.number).read_bytes()
        except FileNotFoundError:
            return False
        return manifest_digest(data) == pinned.digest

    def _read_anew(self, before: PinnedManifest | None) -> PinnedManifest | None:
        newest = read_newest(self._layout, self._verifier, origin=self._origin)
        if before is None:
            return newest
        # Older manifests go when two snapshots stand behind them, so this one may rightly be gone;
        # but never for a smaller one, nor for another in its place.
        number = newest.manifest.number if newest is not None else -1
        if number <= before.manifest.number:
            raise RollbackError(
                f"{self._layout.manifests}: the newest manifest is {number}, or is another than "
                f"the {before.manifest.number} that was there before",
                want=before.manifest.number,
                got=number,
            )
        return newest

    def _read_on(self, pinned: PinnedManifest) -> PinnedManifest:
        first = pinned.manifest.number
        numbers = [number for number in manifest_numbers(self._layout) if number >= first]
        if not numbers or numbers[0] != first:
            raise MissingFileError(f"manifest/{first:012} is gone", number=first)
        if len(numbers) == 1:
            return pinned
        live = LiveFiles(pinned.live.by_name.values())
        manifests = read_manifests(
            self._layout, self._verifier, origin=self._origin, numbers=numbers
        )
        for manifest, digest in manifests:
            if manifest.number != first:
                live.apply(manifest)
                pinned = PinnedManifest(manifest, digest, live)
        return pinned
