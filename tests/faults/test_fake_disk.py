"""The disks that fail keep their word, else no test that uses them says anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.store.durable import append_file, replace_file, sync_directory, write_file
from tests.faults.fake_disk import CrashDisk, Failure, FaultyDisk, PowerCutError, Survival

if TYPE_CHECKING:
    from pathlib import Path


def left(disk: CrashDisk, tmp_path: Path, survival: Survival) -> dict[str, bytes]:
    """What is found by name after a power cut."""
    target = tmp_path / survival.value
    disk.leave(target, survival)
    return {
        str(path.relative_to(target)): path.read_bytes()
        for path in sorted(target.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "old").write_bytes(b"old")
    return root


def write(disk: CrashDisk, path: Path, data: bytes, *, is_synced: bool) -> None:
    fd = disk.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    disk.write(fd, data)
    if is_synced:
        disk.fsync(fd)
    disk.close(fd)


def test_power_cut_leaves_what_was_there_at_the_beginning(root: Path, tmp_path: Path) -> None:
    disk = CrashDisk(root)
    for survival in Survival:
        assert left(disk, tmp_path, survival) == {"old": b"old"}
        assert (tmp_path / survival.value / "folder").is_dir()


@pytest.mark.parametrize(
    ("survival", "wanted"),
    [
        (Survival.NOTHING, {"old": b"old"}),
        (Survival.NAMES, {"old": b"old", "new": b""}),
        (Survival.ZEROS, {"old": b"old\0\0\0\0", "new": bytes(4)}),
        (Survival.HALF, {"old": b"oldmo"}),
        (Survival.ALL, {"old": b"oldmore", "new": b"1234"}),
    ],
)
def test_bytes_and_names_that_were_not_synced_survive_only_as_chosen(
    survival: Survival, wanted: dict[str, bytes], root: Path, tmp_path: Path
) -> None:
    disk = CrashDisk(root)
    write(disk, root / "new", b"1234", is_synced=False)
    write(disk, root / "old", b"more", is_synced=False)
    assert left(disk, tmp_path, survival) == wanted


def test_synced_bytes_without_a_synced_name_are_lost(root: Path, tmp_path: Path) -> None:
    disk = CrashDisk(root)
    write(disk, root / "new", b"1234", is_synced=True)
    assert left(disk, tmp_path, Survival.NOTHING) == {"old": b"old"}
    assert left(disk, tmp_path, Survival.NAMES) == {"old": b"old", "new": b"1234"}


def test_synced_name_without_synced_bytes_is_an_empty_file(root: Path, tmp_path: Path) -> None:
    disk = CrashDisk(root)
    write(disk, root / "new", b"1234", is_synced=False)
    sync_directory(disk, root)
    assert left(disk, tmp_path, Survival.NOTHING) == {"old": b"old", "new": b""}


def test_rename_and_removal_are_durable_with_their_directory(root: Path, tmp_path: Path) -> None:
    disk = CrashDisk(root)
    write_file(disk, root / "old", b"replaced")
    write_file(disk, root / "gone", b"x")
    sync_directory(disk, root)
    write_file(disk, root / "old", b"again")
    disk.unlink(root / "gone")
    assert left(disk, tmp_path, Survival.NOTHING) == {"gone": b"x", "old": b"replaced"}
    assert left(disk, tmp_path, Survival.NAMES) == {"old": b"again"}


def test_durable_writes_survive_in_every_way(root: Path, tmp_path: Path) -> None:
    disk = CrashDisk(root)
    disk.mkdir(root / "made")
    sync_directory(disk, root)
    replace_file(disk, root / "made" / "a", b"1")
    append_file(disk, root / "made" / "b", b"2")
    append_file(disk, root / "made" / "b", b"3")
    for survival in Survival:
        found = left(disk, tmp_path, survival)
        assert found == {"made/a": b"1", "made/b": b"23", "old": b"old"}


def test_directory_that_was_not_synced_is_lost_with_what_it_holds(
    root: Path, tmp_path: Path
) -> None:
    disk = CrashDisk(root)
    disk.mkdir(root / "made")
    replace_file(disk, root / "made" / "a", b"1")
    assert left(disk, tmp_path, Survival.NOTHING) == {"old": b"old"}


def test_nothing_is_done_any_more_after_the_power_is_cut(root: Path, tmp_path: Path) -> None:
    calls = CrashDisk(root)
    replace_file(calls, root / "old", b"old")
    # All but the last call, which closes the directory.
    for cuts_at in range(calls.count - 1):
        (root / "old").write_bytes(b"old")
        disk = CrashDisk(root, cuts_at)
        with pytest.raises(PowerCutError):
            replace_file(disk, root / "old", b"new")
        with pytest.raises(PowerCutError):
            replace_file(disk, root / "old", b"newer")
        assert disk.cut_at is not None
        disk.close_all()
        target = tmp_path / str(cuts_at)
        disk.leave(target, Survival.NOTHING)
        assert (target / "old").read_bytes() == b"old"


@pytest.mark.parametrize("how", Failure)
def test_faulty_disk_fails_one_call_and_does_all_others(how: Failure, root: Path) -> None:
    disk = FaultyDisk(1, how)
    fd = disk.open(root / "old", os.O_WRONLY | os.O_APPEND)
    with pytest.raises(OSError, match="Input/output error"):
        disk.write(fd, b"more")
    disk.write(fd, b"!")
    disk.close(fd)
    done = {Failure.LOST: b"", Failure.DONE: b"more", Failure.PART: b"mo"}[how]
    assert (root / "old").read_bytes() == b"old" + done + b"!"
    assert disk.failed == f"write {root / 'old'}"
    assert disk.count == 4
