"""The live files as the newest manifest has them, also while a sealer goes on merging.

A long audit outlives the 15 minutes that superseded files stay. When one is gone, newer manifests
are read: if they replaced it, the audit goes on with what replaced it; if not, it is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.errors import ManifestError
from meshtrail.units import INT64_MAX
from meshtrail.verify.files import missing_file
from meshtrail.verify.manifests import extend_chain
from meshtrail.verify.snapshot import read_manifests_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.note import VerifierKey
    from meshtrail.store.layout import Layout
    from meshtrail.store.manifest import CommittedFile
    from meshtrail.verify.files import CommittedFiles
    from meshtrail.verify.findings import Findings
    from meshtrail.verify.manifests import Chain


class LiveView:
    """What is live now, and which of it is good."""

    def __init__(
        self,
        layout: Layout,
        chain: Chain,
        *,
        files: CommittedFiles,
        verifier: VerifierKey,
        findings: Findings,
        index_range: tuple[int, int] | None,
    ) -> None:
        self._layout = layout
        self._chain = chain
        self._verifier = verifier
        self._findings = findings
        self._range = index_range
        self.files = files

    @property
    def is_known(self) -> bool:
        """Whether the manifests tell which files cover the tree."""
        if self._chain.live is None:
            return False
        try:
            self._chain.live.check_cover(self._chain.tree_size, number=0)
        except ManifestError:
            return False
        return True

    def segments(self, start: int, end: int) -> list[CommittedFile]:
        """The live segments with leaves in [start, end), in order."""
        return [
            file
            for file in self._folder("segments")
            if file.named.start < end and start < file.named.end
        ]

    def tiles(self) -> list[CommittedFile]:
        """The live tiles files, in order."""
        return self._folder("tiles")

    def tiles_over(self, leaf_index: int) -> CommittedFile | None:
        """The live tiles file of a leaf."""
        for file in self._folder("tiles"):
            if file.named.start <= leaf_index < file.named.end:
                return file
        return None

    def check_files(self, progress: Callable[[int, int], None]) -> None:
        """Hash every live file; report those that are changed, or gone and not replaced."""
        if self._chain.live is None:
            return
        self._findings.extend(self.files.check(self._wanted(), progress))
        while self._gone() and self.refresh():
            pass
        for file in self._gone():
            self._findings.add(missing_file(file))

    def refresh(self) -> bool:
        """Read the manifests that were written since.

        Returns:
            Whether the live files are others now; then they are hashed already.
        """
        newest, before = self._chain.newest, self._live()
        if newest is None or not before:
            return False
        known = len(self._chain.findings)
        extend_chain(self._chain, read_manifests_after(self._layout, newest.number), self._verifier)
        self._findings.extend(self._chain.findings[known:])
        if not self.is_known or self._live() == before:
            return False
        self._findings.extend(self.files.check(self._wanted()))
        return True

    def _wanted(self) -> list[CommittedFile]:
        """The live files that this audit reads: all tiles, and the segments of its range."""
        start, end = self._range or (0, INT64_MAX)
        return [*self.segments(start, end), *self.tiles()]

    def _gone(self) -> list[CommittedFile]:
        return sorted(self.files.gone & self._live())

    def _live(self) -> set[CommittedFile]:
        return set(self._chain.live.by_name.values()) if self._chain.live else set()

    def _folder(self, folder: str) -> list[CommittedFile]:
        return self._chain.live.folder(folder) if self._chain.live else []
