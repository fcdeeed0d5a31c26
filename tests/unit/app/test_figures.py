from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.app.figures import Figures, MergeBacklog, count_backlog, read_figures
from meshtrail.log.merge import plan_merge
from meshtrail.store.manifest_follower import ManifestFollower
from tests.log_rig import ORIGIN, LogRig

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def rig(tmp_path: Path) -> LogRig:
    return LogRig(tmp_path)


def figures_of(rig: LogRig) -> Figures:
    verifier = rig.signer.verifier
    manifests = ManifestFollower(rig.layout, verifier, origin=ORIGIN)
    return read_figures(rig.layout, verifier, manifests, origin=ORIGIN, clock=rig.clock)


def test_figures_of_a_log_are_what_its_files_hold(rig: LogRig) -> None:
    stream = rig.open_stream()
    rig.seal()
    rig.append(rig.load.http(stream, 3))
    rig.clock.advance(7_000_000_000)
    figures = figures_of(rig)
    assert figures.status.tree_size == 1
    assert figures.segments_by_tier == {0: 1, 1 << 12: 0, 1 << 16: 0, 1 << 20: 0}
    assert figures.backlog == MergeBacklog(0, 0)
    # Since the batch was appended: a millisecond passed with it.
    assert figures.seal_lag_seconds == pytest.approx(7.001, abs=0.01)
    journal = rig.layout.journals / "collect"
    assert figures.folder_bytes["journal"] == sum(path.stat().st_size for path in journal.iterdir())
    assert figures.folder_bytes["blobs"] == 0
    assert 0 < figures.disk_free_bytes <= figures.disk_bytes
    assert figures.run == {}
    rig.close()


def test_a_log_that_was_never_sealed_has_figures_too(rig: LogRig) -> None:
    figures = figures_of(rig)
    assert (figures.status.tree_size, figures.seal_lag_seconds) == (0, 0.0)
    assert sum(figures.segments_by_tier.values()) == 0


@pytest.mark.parametrize("sizes", [[], [1], [1] * 47, [1 << 20] * 5])
def test_where_no_merge_is_due_there_is_no_backlog(sizes: list[int]) -> None:
    assert plan_merge(sizes) is None
    assert count_backlog(sizes) == MergeBacklog(0, 0)


def test_a_backlog_counts_each_merge_that_is_due_and_what_it_writes() -> None:
    assert count_backlog([1] * 50) == MergeBacklog(1, 50)
    assert count_backlog([1 << 19] * 4) == MergeBacklog(2, 4 << 19)
