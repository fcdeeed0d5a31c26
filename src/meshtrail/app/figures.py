"""Everything that can be counted of a log from its files, in one look, for metrics and readiness.

Keeps no lock and changes no file.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.app.run_file import read_run_files
from meshtrail.app.status import make_status
from meshtrail.log.merge import TIERS, plan_merge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from meshtrail.app.run_file import RunFacts
    from meshtrail.app.status import Status
    from meshtrail.note import Verifier
    from meshtrail.store.layout import Layout
    from meshtrail.store.manifest_follower import ManifestFollower
    from meshtrail.units import Clock

_NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class MergeBacklog:
    """The merges that are due now, and those that they make due.

    Attributes:
        merges_count: how many.
        entries_count: that they write again.
    """

    merges_count: int
    entries_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One look at a log.

    Attributes:
        now_ns: when, on the wall clock.
        segments_by_tier: live segments by the tier that they fill; 0 for those below the lowest.
        folder_bytes: what lies in each folder of the data directory, superseded files included.
        disk_free_bytes: that this user may still write on the disk of the data directory.
        run: what the processes last told of themselves.
    """

    now_ns: int
    status: Status
    segments_by_tier: Mapping[int, int]
    backlog: MergeBacklog
    folder_bytes: Mapping[str, int]
    disk_free_bytes: int
    disk_bytes: int
    run: Mapping[str, RunFacts]

    @property
    def seal_lag_seconds(self) -> float:
        """How long the oldest durable entry has been waiting to be sealed; 0 when none waits."""
        since = [
            journal.oldest_unsealed_ns
            for journal in self.status.journals
            if journal.oldest_unsealed_ns is not None
        ]
        return max(self.now_ns - min(since), 0) / _NANOS if since else 0.0


def read_figures(
    layout: Layout,
    verifier: Verifier,
    manifests: ManifestFollower,
    *,
    origin: str,
    clock: Clock,
) -> Figures:
    """Look at a log.

    Args:
        layout: of the data directory.
        verifier: the log's key.
        manifests: reads on from the last look.
        origin: of the log.
        clock: of the machine.

    Raises:
        TamperError, InputError: what it says of itself does not hold.
        OSError: the directory cannot be read.

    Cost: the manifests since the last look, a stat of each file, a batch of each journal.
    """
    pinned = manifests.read()
    segments = pinned.live.folder("segments") if pinned is not None else ()
    sizes = [file.named.end - file.named.start for file in segments]
    status = make_status(layout, verifier, pinned, origin=origin)
    disk = os.statvfs(layout.root)
    return Figures(
        now_ns=clock.wall_ns(),
        status=status,
        segments_by_tier=_count_tiers(sizes),
        backlog=count_backlog(sizes),
        folder_bytes={folder.parts[-1]: _measure(folder) for folder in layout.folders()},
        disk_free_bytes=disk.f_bavail * disk.f_frsize,
        disk_bytes=disk.f_blocks * disk.f_frsize,
        run=read_run_files(layout),
    )


def count_backlog(sizes: Sequence[int]) -> MergeBacklog:
    """What is left to merge of live segments with these numbers of entries, oldest first."""
    left = list(sizes)
    merges_count = entries_count = 0
    while (due := plan_merge(left)) is not None:
        start, end = due
        merged = sum(left[start:end])
        left[start:end] = [merged]
        merges_count += 1
        entries_count += merged
    return MergeBacklog(merges_count, entries_count)


def _count_tiers(sizes: Sequence[int]) -> dict[int, int]:
    tiers = (*TIERS, 0)
    counted = Counter(next(tier for tier in tiers if size >= tier) for size in sizes)
    return {tier: counted[tier] for tier in reversed(tiers)}


def _measure(folder: Path) -> int:
    """Bytes of the files in a folder and below; one that goes meanwhile counts nothing."""
    total = 0
    try:
        with os.scandir(folder) as found:
            for item in found:
                try:
                    if item.is_dir(follow_symlinks=False):
                        total += _measure(folder / item.name)
                    else:
                        total += item.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue
    except FileNotFoundError:
        return total
    return total
