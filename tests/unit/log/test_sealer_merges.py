"""What a sealer does beside its ticks: merges, snapshots, and removing what they supersede."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DigestError
from meshtrail.log import commit, merge
from meshtrail.store.manifest import LiveFiles
from meshtrail.store.manifest_files import manifest_numbers, read_manifests, read_newest
from tests.independent_audit import check_heads, head_of, newest_files
from tests.log_rig import MINUTE, ORIGIN, SIGNER, LogRig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.log.sealer import Sealer


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    rig = LogRig(tmp_path)
    yield rig
    rig.close()


@pytest.fixture
def small_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges after a few entries, snapshots after a few manifests."""
    monkeypatch.setattr(merge, "TIERS", (64, 16, 4))
    monkeypatch.setattr(merge, "SEGMENTS_MAX", {4: 3, 16: 4, 64: 5})
    monkeypatch.setattr(commit, "SNAPSHOT_EVERY", 8)


@pytest.mark.usefixtures("small_tiers")
def test_merges_keep_the_log_and_every_earlier_checkpoint(rig: LogRig) -> None:
    stream = rig.open_stream()
    heads = []
    with rig.open_sealer() as sealing:
        for number in range(60):
            rig.append(rig.load.http(stream, number % 4))
            sealing.tick()
            sealing.finish_merges()
            heads.append(head_of(rig.layout.published.read_bytes(), SIGNER.verifier))
            if number % 10 == 0:
                check_heads(rig.audit(), heads)
        assert len(sealing._committer.segments()) < 10
    log = rig.audit()
    check_heads(log, heads)
    assert log.published[0] == 1 + 15 * (0 + 1 + 2 + 3)


def test_finished_merge_is_committed_with_the_next_tick_or_alone(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "TIERS", (4, 3, 2))
    monkeypatch.setattr(merge, "SEGMENTS_MAX", {4: 5, 3: 4, 2: 3})
    stream = rig.open_stream()
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 1
        rig.append(rig.load.http(stream, 1))
        assert sealing.tick() == 1
        rig.append(rig.load.http(stream, 1))
        assert sealing.tick() == 1
        await_merge(sealing)
        rig.append(rig.load.http(stream, 1))
        assert sealing.tick() == 1
        assert reasons(rig)[-1] == ("tick", "merge")
        await_merge(sealing)
        assert sealing.tick() == 0
        assert reasons(rig)[-1] == ("merge",)
    rig.audit()


def await_merge(sealing: Sealer) -> None:
    thread = sealing._merging._thread
    assert thread is not None
    thread.join()


def reasons(rig: LogRig) -> list[tuple[str, ...]]:
    numbers = manifest_numbers(rig.layout)
    read = read_manifests(rig.layout, rig.signer.verifier, origin=ORIGIN, numbers=numbers)
    return [manifest.reasons for manifest, _ in read]


@pytest.mark.usefixtures("small_tiers")
def test_superseded_files_stay_a_quarter_of_an_hour_also_over_a_restart(rig: LogRig) -> None:
    stream = rig.open_stream()
    with rig.open_sealer() as sealing:
        for _ in range(4):
            rig.append(rig.load.http(stream, 1))
            sealing.tick()
            sealing.finish_merges()
    old = superseded(rig)
    assert len(old) >= 6
    rig.clock.advance(60 * MINUTE)
    with rig.open_sealer() as sealing:
        assert superseded(rig) == old
        rig.clock.advance(14 * MINUTE)
        sealing.tick()
        assert superseded(rig) == old
        rig.clock.advance(1 * MINUTE)
        sealing.tick()
        assert superseded(rig) == set()
    rig.audit()


def superseded(rig: LogRig) -> set[str]:
    """Segments and tiles that the newest manifest does not name."""
    there = {
        f"{folder.name}/{path.name}"
        for folder in (rig.layout.segments, rig.layout.tiles)
        for path in folder.iterdir()
    }
    return there - newest_files(rig.layout.root).keys()


@pytest.mark.usefixtures("small_tiers")
def test_manifests_before_the_last_two_snapshots_are_removed(rig: LogRig) -> None:
    stream = rig.open_stream()
    with rig.open_sealer() as sealing:
        for _ in range(30):
            rig.append(rig.load.http(stream, 1))
            sealing.tick()
    numbers = manifest_numbers(rig.layout)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    read = read_manifests(rig.layout, rig.signer.verifier, origin=ORIGIN, numbers=numbers)
    snapshots = [manifest.number for manifest, _ in read if manifest.is_snapshot]
    assert len(snapshots) == 2
    assert numbers[0] == snapshots[0]
    assert snapshots[0] % 8 == 0
    assert len(numbers) <= 16


@pytest.mark.usefixtures("small_tiers")
def test_every_snapshot_equals_what_the_manifests_before_it_give(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "_SNAPSHOTS_KEPT", 1_000)
    stream = rig.open_stream()
    for _ in range(3):
        with rig.open_sealer() as sealing:
            for _ in range(13):
                rig.append(rig.load.http(stream, 2))
                sealing.tick()
                sealing.finish_merges()
    numbers = manifest_numbers(rig.layout)
    assert numbers[0] == 0
    live = LiveFiles()
    for manifest, _ in read_manifests(
        rig.layout, rig.signer.verifier, origin=ORIGIN, numbers=numbers
    ):
        # Folds snapshots too: one of another set would be refused.
        live.apply(manifest)
        live.check_cover(manifest.tree_size, number=manifest.number)
        assert manifest.is_snapshot or manifest.number % 8, "every eighth has to be a snapshot"
    pinned = read_newest(rig.layout, rig.signer.verifier, origin=ORIGIN)
    assert pinned is not None
    assert pinned.live.by_name == live.by_name


@pytest.mark.usefixtures("small_tiers")
def test_edited_segment_does_not_come_back_under_a_new_signature(rig: LogRig) -> None:
    stream = rig.open_stream()
    with rig.open_sealer() as sealing:
        sealing.tick()
        rig.append(rig.load.http(stream, 1))
        sealing.tick()
        path = next(rig.layout.segments.iterdir())
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        rig.append(rig.load.http(stream, 1))
        sealing.tick()
        with pytest.raises(DigestError, match=path.name):
            sealing.finish_merges()


@pytest.mark.usefixtures("small_tiers")
def test_closed_sealer_leaves_no_thread_behind(rig: LogRig) -> None:
    stream = rig.open_stream()
    with rig.open_sealer() as sealing:
        for _ in range(3):
            rig.append(rig.load.http(stream, 1))
            sealing.tick()
    assert "merge" not in {thread.name for thread in threading.enumerate()}
    assert rig.seal() == 4
    rig.audit()
