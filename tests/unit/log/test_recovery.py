from __future__ import annotations

import os
import shutil
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import pytest

from meshtrail.errors import (
    ConsistencyError,
    DurabilityError,
    InclusionError,
    LayoutError,
    ManifestError,
    MissingFileError,
    RollbackError,
    SignatureError,
)
from meshtrail.log import commit, merge
from meshtrail.merkle import HASH_BYTES
from meshtrail.note import UnverifiedCheckpoint, generate_signer, sign_checkpoint
from meshtrail.store.layout import read_format, segment_file, tiles_file
from meshtrail.store.manifest_files import manifest_numbers, manifest_path
from meshtrail.units import TreeSize
from tests.faults.fake_disk import Failure, FaultyDisk, TracingDisk
from tests.independent_audit import read_log
from tests.log_rig import ORIGIN, SIGNER, LogRig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from meshtrail.store.durable import Disk

R = TypeVar("R")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    """A log of seven entries in two ticks, with a lock record, and frames for a third tick."""
    rig = LogRig(tmp_path, lock_record=tmp_path / "elsewhere" / "heads")
    (tmp_path / "elsewhere").mkdir()
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 3))
    with rig.open_sealer() as sealing:
        assert sealing.tick() == 4
        rig.append(rig.load.http(stream, 3))
        assert sealing.tick() == 3
    rig.append(rig.load.http(stream, 2))
    yield rig
    rig.close()


def state_of(rig: LogRig) -> dict[str, bytes]:
    """Every file but the locks, which starts may touch."""
    root = rig.layout.root.parent
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def refuse(rig: LogRig, kind: type[Exception], match: str | None = None) -> None:
    """The start is refused with this error, and has changed nothing."""
    before = state_of(rig)
    with pytest.raises(kind, match=match):
        rig.open_sealer()
    assert state_of(rig) == before


def day(rig: LogRig) -> Path:
    (path,) = rig.layout.checkpoints.iterdir()
    return path


def head(size: int, root_hash: bytes = bytes(32)) -> bytes:
    checkpoint = UnverifiedCheckpoint(origin=ORIGIN, tree_size=TreeSize(size), root_hash=root_hash)
    return sign_checkpoint(checkpoint, SIGNER)


def keep(rig: LogRig, to: Path) -> None:
    """Set the directory aside, as a backup does."""
    shutil.copytree(rig.layout.root, to)


def bring_back(rig: LogRig, copy: Path) -> None:
    """Put a directory that was set aside in the place of the present one, journals excepted."""
    for folder in rig.layout.folders():
        if folder != rig.layout.journals:
            shutil.rmtree(folder)
            shutil.copytree(copy / folder.relative_to(rig.layout.root), folder)


def test_clean_restart_goes_on_and_writes_a_snapshot_alone(rig: LogRig) -> None:
    before = state_of(rig)
    with rig.open_sealer() as sealing:
        assert sealing.tree_size == 7
        after = state_of(rig)
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
        f"fsync data/checkpoints/{day(rig).name}",
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
    assert {"elsewhere", "elsewhere/heads", f"data/checkpoints/{day(rig).name}"} <= synced


@pytest.mark.parametrize("cut", [1, 60, -1])
@pytest.mark.parametrize("zeros", [False, True])
def test_torn_checkpoint_is_cut_off_and_signed_again(rig: LogRig, cut: int, *, zeros: bool) -> None:
    whole = day(rig).read_bytes()
    start = whole.rindex(ORIGIN.encode() + b"\n7\n")
    last = whole[start:]
    torn = last[:cut] + (bytes(len(last) - len(last[:cut])) if zeros else b"")
    day(rig).write_bytes(whole[:start] + torn)
    rig.open_sealer().close()
    assert day(rig).read_bytes() == whole
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


@pytest.mark.parametrize("name", ["checkpoints", "lock record"])
@pytest.mark.parametrize("damage", ["flip", "append", "blank"])
def test_bytes_that_no_crash_leaves_behind_notes_are_not_cut_off(
    rig: LogRig, name: str, damage: str
) -> None:
    path = day(rig) if name == "checkpoints" else rig.lock_record
    assert path is not None
    data = path.read_bytes()
    if damage == "flip":
        # The blank line of the last note, which then is none any more.
        at = data.rindex(b"\n\n")
        data = data[:at] + b"x" + data[at + 1 :]
    elif damage == "append":
        data += b"something else\n"
    else:
        data = data[:-1] + b"\0" * 300
    path.write_bytes(data)
    refuse(rig, SignatureError)


def test_damage_in_the_middle_of_a_run_of_notes_does_not_cost_those_after_it(rig: LogRig) -> None:
    data = day(rig).read_bytes()
    at = data.index(b"\n\n")
    day(rig).write_bytes(data[:at] + b"x" + data[at + 1 :])
    assert rig.seal() == 9
    after = day(rig).read_bytes()
    assert after[at + 1 : len(data)] == data[at + 1 :]
    assert len(after) > len(data)


@pytest.mark.parametrize("gone", ["published", "checkpoints", "lock record"])
def test_head_that_was_not_written_yet_is_written_by_the_start(rig: LogRig, gone: str) -> None:
    before = state_of(rig)
    if gone == "published":
        rig.layout.published.unlink()
    elif gone == "checkpoints":
        start = day(rig).read_bytes().rindex(ORIGIN.encode() + b"\n7\n")
        os.truncate(day(rig), start)
    else:
        assert rig.lock_record is not None
        rig.lock_record.unlink()
    rig.open_sealer().close()
    after = state_of(rig)
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


@pytest.mark.parametrize("what", ["manifests", "manifests and checkpoints"])
def test_directory_that_lost_its_manifests_is_refused_and_its_segments_stay(
    rig: LogRig, what: str
) -> None:
    shutil.rmtree(rig.layout.manifests)
    rig.layout.manifests.mkdir()
    if what == "manifests":
        refuse(rig, RollbackError, "has no manifest")
    else:
        day(rig).unlink()
        rig.layout.published.unlink()
        rig.lock_record = None
        refuse(rig, MissingFileError, "every manifest is gone")


def test_files_of_later_commits_mean_that_manifests_were_taken_away(
    rig: LogRig, tmp_path: Path
) -> None:
    keep(rig, tmp_path / "old")
    stream = next(iter(rig.load.made))
    with rig.open_sealer() as sealing:
        sealing.tick()
        rig.append(rig.load.http(stream, 1))
        sealing.tick()
    for name in ("manifest", "checkpoints", "published"):
        shutil.rmtree(rig.layout.root / name)
        shutil.copytree(tmp_path / "old" / name, rig.layout.root / name)
    rig.lock_record = None
    refuse(rig, RollbackError, r"segments/000000000009-000000000010\.parquet is there")


def test_older_directory_is_refused_by_the_lock_record(rig: LogRig, tmp_path: Path) -> None:
    keep(rig, tmp_path / "old")
    assert rig.seal() == 9
    bring_back(rig, tmp_path / "old")
    refuse(rig, RollbackError, r"heads has a signed tree of size 9.*has 7: it is older")
    rig.lock_record = None
    # Without the record nothing says that there was more; the waiting frames are sealed again.
    assert rig.seal() == 9


@pytest.mark.parametrize("where", ["published", "checkpoints"])
def test_signed_tree_larger_than_the_manifest_is_a_rollback(rig: LogRig, where: str) -> None:
    if where == "published":
        rig.layout.published.write_bytes(head(8))
    else:
        with day(rig).open("ab") as file:
            file.write(head(8))
    refuse(rig, RollbackError, f"{where}.*has a signed tree of size 8, the log .* has 7")


@pytest.mark.parametrize("size", [0, 3, 7])
@pytest.mark.parametrize("where", ["published", "checkpoints", "lock record"])
def test_signed_tree_of_another_history_is_a_fork(rig: LogRig, where: str, size: int) -> None:
    if where == "published":
        rig.layout.published.write_bytes(head(size))
    else:
        path = day(rig) if where == "checkpoints" else rig.lock_record
        assert path is not None
        with path.open("ab") as file:
            file.write(head(size))
    refuse(rig, ConsistencyError, f"signed root 0000000000000000 at size {size}.*the log forked")


@pytest.mark.parametrize("where", ["published", "checkpoints", "lock record", "manifest"])
def test_key_of_another_log_is_refused(rig: LogRig, where: str) -> None:
    other = generate_signer(ORIGIN)
    if where == "manifest":
        rig.signer = other
    else:
        checkpoint = UnverifiedCheckpoint(
            origin=ORIGIN,
            tree_size=TreeSize(7),
            root_hash=read_log(rig.layout.root, SIGNER.verifier).roots[7],
        )
        paths = {"published": rig.layout.published, "checkpoints": day(rig)}
        path = paths.get(where, rig.lock_record)
        assert path is not None
        path.write_bytes(sign_checkpoint(checkpoint, other))
    refuse(rig, SignatureError)


def test_lock_record_of_another_log_is_refused(rig: LogRig) -> None:
    assert rig.lock_record is not None
    other = generate_signer("mesh/two/00000000")
    checkpoint = UnverifiedCheckpoint(origin=other.name, tree_size=TreeSize(0), root_hash=bytes(32))
    rig.lock_record.write_bytes(sign_checkpoint(checkpoint, other))
    refuse(rig, SignatureError)


def test_every_flipped_byte_of_the_newest_tiles_is_refused(rig: LogRig) -> None:
    path = rig.layout.root / tiles_file(4, 7).path
    good = path.read_bytes()
    for at in range(0, 3 * HASH_BYTES, 5):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        refuse(rig, InclusionError, "right edge of the stored tree of size 7")
    path.write_bytes(good)
    assert rig.seal() == 9


def test_tiles_that_are_gone_are_named(rig: LogRig) -> None:
    (rig.layout.root / tiles_file(0, 4).path).unlink()
    refuse(rig, MissingFileError, r"tiles/000000000000-000000000004\.tiles is gone")


def test_segment_that_is_gone_is_named(rig: LogRig) -> None:
    (rig.layout.root / segment_file(0, 4).path).unlink()
    with pytest.raises(MissingFileError, match=r"000000000000-000000000004\.parquet"):
        rig.open_sealer()


def test_every_flipped_byte_of_the_newest_manifest_is_refused(rig: LogRig) -> None:
    path = manifest_path(rig.layout, manifest_numbers(rig.layout)[-1])
    good = path.read_bytes()
    for at in range(0, len(good), 11):
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        refuse(rig, SignatureError)


def test_manifest_that_is_gone_from_between_is_named(rig: LogRig) -> None:
    manifest_path(rig.layout, manifest_numbers(rig.layout)[-2]).unlink()
    refuse(rig, MissingFileError, "is gone")


def test_newest_manifest_that_is_gone_is_a_rollback(rig: LogRig) -> None:
    manifest_path(rig.layout, manifest_numbers(rig.layout)[-1]).unlink()
    refuse(rig, RollbackError, "signed tree of size 7, the log in this directory has 4")


def test_manifest_whose_files_do_not_cover_the_tree_is_refused(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Signed by the log itself: a bug of the writer must not be believed either.
    with rig.open_sealer() as sealing:
        monkeypatch.setattr(commit.Committer, "_publish", lambda _: None)
        sealing._committer._tree_size = TreeSize(8)
        sealing._committer.start()
    refuse(rig, ManifestError, "end at 7, the tree has 8 leaves")


def test_newer_layout_is_refused(rig: LogRig) -> None:
    rig.layout.format_file.write_text("layout = 2\n")
    with pytest.raises(LayoutError, match="use a newer meshtrail"):
        read_format(rig.layout)


def test_directory_that_cannot_be_written_is_a_durability_error(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_writing(path: Path, *_: object) -> int:
        raise OSError(30, os.strerror(30), str(path))

    # Tests may run as root, whom no mode keeps from writing.
    monkeypatch.setattr("meshtrail.log.data_lock.os.open", refuse_writing)
    with pytest.raises(DurabilityError, match="must be able to write there"):
        rig.open_sealer()


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
