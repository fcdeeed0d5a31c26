"""What the start of a sealer makes good after a crash, wherever in a commit it came."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import pytest

from meshtrail.errors import DurabilityError
from meshtrail.log import merge
from meshtrail.store.layout import segment_file, tiles_file
from meshtrail.store.manifest_files import manifest_numbers
from tests.faults.fake_disk import Failure, FaultyDisk, TracingDisk
from tests.log_rig import ORIGIN, LogRig, make_sealed_rig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshtrail.store.durable import Disk

R = TypeVar("R")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    """Seven entries in two ticks, with a lock record, and frames for a third tick."""
    rig = make_sealed_rig(tmp_path)
    yield rig
    rig.close()


def test_clean_restart_goes_on_and_writes_a_snapshot_alone(rig: LogRig) -> None:
    before = rig.state()
    with rig.open_sealer() as sealing:
        assert sealing.tree_size == 7
        after = rig.state()
        (added,) = after.keys() - before.keys()
        assert added == f"data/manifest/{len(manifest_numbers(rig.layout)) - 1:012}"
        assert {name: after[name] for name in before} == before
        assert sealing.tick() == 2
    assert rig.audit().published[0] == 9


COMMIT_STEPS = {
    "segment written": "rename data/segments",
    "tiles written": "rename data/tiles",
    "segments folder synced": "fsync data/segments",
    "manifest written": "rename data/manifest",
    "manifest folder synced": "fsync data/manifest",
    "head recorded": "fsync elsewhere/heads",
    "checkpoint appended": "fsync data/checkpoints/",
    "published written": "rename data/published/checkpoint",
    "published folder synced": "fsync data/published",
}


class KilledError(BaseException):
    """The process ends here."""


class KillingDisk(TracingDisk):
    """Ends the process before or after the first call that begins like ``step``."""

    def __init__(self, root: Path, *, is_after: bool) -> None:
        super().__init__(root)
        self.root = root
        self.step = "no step"
        self.is_after = is_after

    def around(self, name: str, path: Path, call: Callable[[], R]) -> R:
        is_step = f"{name} {path.relative_to(self.root)}".startswith(self.step)
        if is_step and not self.is_after:
            raise KilledError(self.step)
        done = call()
        if is_step:
            raise KilledError(self.step)
        return done


@pytest.mark.parametrize("step", COMMIT_STEPS)
def test_crash_before_and_after_each_step_of_a_commit_loses_and_repeats_nothing(
    step: str, rig: LogRig, tmp_path: Path
) -> None:
    for is_after in (False, True):
        disk = KillingDisk(tmp_path, is_after=is_after)
        sealing = rig.open_sealer(disk=disk)
        disk.step = COMMIT_STEPS[step]
        with pytest.raises(KilledError):
            sealing.tick()
        sealing.close()
        rig.append(rig.load.http(next(iter(rig.load.made)), 1))
    size = 7 + 2 + 2
    assert rig.seal() == size
    log = rig.audit()
    assert log.published[0] == len(log.entries) == size
    assert not list(rig.layout.root.rglob("*.tmp"))


def test_commit_keeps_to_the_documented_order(rig: LogRig, tmp_path: Path) -> None:
    stream = next(iter(rig.load.made))
    rig.append(rig.load.blob(b"identifier"), rig.load.http(stream, 1, record_bytes=70_000))
    disk = TracingDisk(tmp_path)
    with rig.open_sealer(disk=disk) as sealing:
        disk.calls.clear()
        assert sealing.tick() == 3
    names = [call for call in disk.calls if not call.startswith(("write", "fsync data/journal"))]
    first, second = sorted(path.name for path in rig.layout.blobs.iterdir())
    segment, tiles = segment_file(7, 10).path, tiles_file(7, 10).path
    number = f"{manifest_numbers(rig.layout)[-1]:012}"
    of_blobs, rest = names[:4], names[4:]
    assert {first, second} == {name.rpartition("/")[2] for name in of_blobs[1::2]}
    assert rest == [
        "fsync data/blobs",
        f"fsync data/{segment}.tmp",
        f"rename data/{segment}",
        f"fsync data/{tiles}.tmp",
        f"rename data/{tiles}",
        "fsync data/segments",
        "fsync data/tiles",
        f"fsync data/manifest/{number}.tmp",
        f"rename data/manifest/{number}",
        "fsync data/manifest",
        "fsync elsewhere/heads",
        f"fsync data/checkpoints/{rig.day().name}",
        "fsync data/published/checkpoint.tmp",
        "rename data/published/checkpoint",
        "fsync data/published",
    ]


def test_start_makes_durable_what_a_killed_process_may_not_have(
    rig: LogRig, tmp_path: Path
) -> None:
    disk = TracingDisk(tmp_path)
    rig.open_sealer(disk=disk).close()
    synced = {call.removeprefix("fsync ") for call in disk.calls if call.startswith("fsync")}
    folders = {str(folder.relative_to(tmp_path)) for folder in rig.layout.folders()}
    assert folders <= synced
    assert {"elsewhere", "elsewhere/heads", f"data/checkpoints/{rig.day().name}"} <= synced


@pytest.mark.parametrize("cut", [1, 60, -1])
@pytest.mark.parametrize("zeros", [False, True])
def test_torn_checkpoint_is_cut_off_and_signed_again(rig: LogRig, cut: int, *, zeros: bool) -> None:
    whole = rig.day().read_bytes()
    start = whole.rindex(ORIGIN.encode() + b"\n7\n")
    last = whole[start:]
    torn = last[:cut] + (bytes(len(last) - len(last[:cut])) if zeros else b"")
    rig.day().write_bytes(whole[:start] + torn)
    rig.open_sealer().close()
    assert rig.day().read_bytes() == whole
    assert rig.seal() == 9
    rig.audit()


@pytest.mark.parametrize("cut", [1, 60, -1])
def test_torn_lock_record_is_cut_off_and_the_head_recorded_again(rig: LogRig, cut: int) -> None:
    assert rig.lock_record is not None
    whole = rig.lock_record.read_bytes()
    start = whole.rindex(ORIGIN.encode() + b"\n7\n")
    rig.lock_record.write_bytes(whole[:start] + whole[start:][:cut])
    rig.open_sealer().close()
    assert rig.lock_record.read_bytes() == whole


def test_damage_in_the_middle_of_a_run_of_notes_does_not_cost_those_after_it(rig: LogRig) -> None:
    data = rig.day().read_bytes()
    at = data.index(b"\n\n")
    rig.day().write_bytes(data[:at] + b"x" + data[at + 1 :])
    assert rig.seal() == 9
    after = rig.day().read_bytes()
    assert after[at + 1 : len(data)] == data[at + 1 :]
    assert len(after) > len(data)


@pytest.mark.parametrize("gone", ["published", "checkpoints", "lock record"])
def test_head_that_was_not_written_yet_is_written_by_the_start(rig: LogRig, gone: str) -> None:
    before = rig.state()
    if gone == "published":
        rig.layout.published.unlink()
    elif gone == "checkpoints":
        start = rig.day().read_bytes().rindex(ORIGIN.encode() + b"\n7\n")
        os.truncate(rig.day(), start)
    else:
        assert rig.lock_record is not None
        rig.lock_record.unlink()
    rig.open_sealer().close()
    after = rig.state()
    if gone == "lock record":
        assert after["elsewhere/heads"].count(ORIGIN.encode() + b"\n7\n") == 1
        before.pop("elsewhere/heads")
    assert {name: after[name] for name in before} == before


def test_half_made_files_are_removed_and_others_left(rig: LogRig) -> None:
    layout = rig.layout
    half = [
        layout.root / segment_file(7, 9).path,
        layout.root / tiles_file(7, 8).path,
        layout.segments / "000000000000-000000000007.parquet.tmp",
        layout.manifests / "000000000009.tmp",
        layout.published.with_name("checkpoint.tmp"),
        layout.blobs / f"{'0' * 64}.tmp",
    ]
    others = [layout.segments / "notes.txt", layout.blobs / ("0" * 64), layout.root / "README"]
    for path in (*half, *others):
        path.write_bytes(b"x")
    rig.open_sealer().close()
    assert [path for path in half if path.exists()] == []
    assert rig.seal() == 9
    assert all(path.exists() for path in others)
    rig.audit()


def test_merge_that_was_not_committed_is_left_and_made_again(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = rig.layout.root / segment_file(0, 7).path
    leftover.write_bytes(b"a merge that a crash ended before its commit")
    monkeypatch.setattr(merge, "TIERS", (7,))
    monkeypatch.setattr(merge, "SEGMENTS_MAX", {7: 9})
    with rig.open_sealer() as sealing:
        assert leftover.exists()
        sealing.tick()
        sealing.finish_merges()
    log = rig.audit()
    assert len(log.entries) == 9
    assert leftover.read_bytes()[:4] == b"PAR1"


def test_start_that_fails_at_any_call_can_be_tried_again(rig: LogRig) -> None:
    def starts(disk: Disk) -> bool:
        try:
            rig.open_sealer(disk=disk).close()
        except DurabilityError:
            return False
        return True

    calls = next(calls for calls in count() if starts(FaultyDisk(calls, Failure.LOST)))
    assert calls > 10
    assert rig.seal() == 9
    rig.audit()
