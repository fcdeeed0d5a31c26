from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError
from meshtrail.store.durable import (
    Disk,
    DurableWriter,
    append_file,
    make_directory,
    remove_file,
    replace_file,
    sync_directory,
    sync_file,
    truncate_file,
    write_file,
)
from tests.faults.fake_disk import Failure, FaultyDisk, TracingDisk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_new_file_is_synced_before_it_is_renamed_and_its_directory_after(tmp_path: Path) -> None:
    disk = TracingDisk(tmp_path)
    replace_file(disk, tmp_path / "a", b"new")
    assert disk.calls == ["write a.tmp", "fsync a.tmp", "rename a", "fsync ."]
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_file_of_a_commit_leaves_the_directory_to_its_caller(tmp_path: Path) -> None:
    disk = TracingDisk(tmp_path)
    assert write_file(disk, tmp_path / "a", b"12345") == (5, hashlib.sha256(b"12345").digest())
    assert disk.calls == ["write a.tmp", "fsync a.tmp", "rename a"]


def test_appended_file_is_synced_and_its_directory_when_it_is_new(tmp_path: Path) -> None:
    disk = TracingDisk(tmp_path)
    append_file(disk, tmp_path / "a", b"1")
    append_file(disk, tmp_path / "a", b"2")
    assert disk.calls == ["write a", "fsync a", "fsync .", "write a", "fsync a"]
    assert (tmp_path / "a").read_bytes() == b"12"


def test_truncated_file_is_synced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    disk = TracingDisk(tmp_path)
    truncate_file(disk, tmp_path / "a", 1)
    assert disk.calls == ["truncate a", "fsync a"]
    assert (tmp_path / "a").read_bytes() == b"1"


def test_directory_is_synced_in_its_parent_also_when_it_was_there(tmp_path: Path) -> None:
    disk = TracingDisk(tmp_path)
    make_directory(disk, tmp_path / "a")
    make_directory(disk, tmp_path / "a")
    assert disk.calls == ["mkdir a", "fsync .", "fsync ."]


def test_what_an_earlier_process_wrote_can_be_synced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    disk = TracingDisk(tmp_path)
    sync_file(disk, tmp_path / "a")
    sync_directory(disk, tmp_path)
    assert disk.calls == ["fsync a", "fsync ."]


def test_removed_file_may_be_gone_already(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    remove_file(Disk(), tmp_path / "a")
    remove_file(Disk(), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_short_writes_are_gone_on_with(tmp_path: Path) -> None:
    class ShortDisk(Disk):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, memoryview(data)[:3])

    data = bytes(range(100))
    assert write_file(ShortDisk(), tmp_path / "a", data) == (100, hashlib.sha256(data).digest())
    assert (tmp_path / "a").read_bytes() == data


def test_writer_is_a_sink_that_counts_and_hashes(tmp_path: Path) -> None:
    with DurableWriter(Disk(), tmp_path / "a") as writer:
        assert writer.write(b"12") == 2
        writer.flush()
        assert writer.write(memoryview(b"345")) == 3
        assert writer.tell() == 5
        assert not writer.closed
        assert writer.commit() == (5, hashlib.sha256(b"12345").digest())
        assert writer.closed


def test_writer_that_is_not_committed_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    with DurableWriter(Disk(), tmp_path / "a") as writer:
        writer.write(b"half")
    assert writer.closed
    assert [path.name for path in tmp_path.iterdir()] == ["a.tmp"]


def test_half_written_file_of_an_earlier_run_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_bytes(b"something much longer")
    write_file(Disk(), tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


ACTIONS: dict[str, Callable[[Disk, Path], object]] = {
    "write_file": lambda disk, path: write_file(disk, path / "a", b"12"),
    "replace_file": lambda disk, path: replace_file(disk, path / "a", b"12"),
    "append_file": lambda disk, path: append_file(disk, path / "a", b"12"),
    "truncate_file": lambda disk, path: truncate_file(disk, path / "there", 0),
    "remove_file": lambda disk, path: remove_file(disk, path / "there"),
    "make_directory": lambda disk, path: make_directory(disk, path / "d"),
    "sync_directory": sync_directory,
    "sync_file": lambda disk, path: sync_file(disk, path / "there"),
}


@pytest.mark.parametrize("how", Failure)
@pytest.mark.parametrize("name", ACTIONS)
def test_every_call_that_fails_is_a_durability_error(
    name: str, how: Failure, tmp_path: Path
) -> None:
    disk = FaultyDisk(-1, how)
    for calls in range(100):
        folder = tmp_path / str(calls)
        folder.mkdir()
        (folder / "there").write_bytes(b"12")
        disk = FaultyDisk(calls, how, code=errno.ENOSPC)
        error = failure_of(lambda: ACTIONS[name](disk, folder))  # noqa: B023 - called at once
        if error is None:
            break
        assert error.errno == errno.ENOSPC
        assert error.path in {folder, *(folder / name for name in ("a", "d", "there"))}
        assert not disk.opened
    assert disk.failed is None
    assert disk.count > 0


def failure_of(action: Callable[[], object]) -> DurabilityError | None:
    try:
        action()
    except DurabilityError as error:
        return error
    return None


def test_writer_that_was_closed_takes_nothing_more(tmp_path: Path) -> None:
    # Its descriptor may be another file's by now.
    with DurableWriter(Disk(), tmp_path / "a") as writer:
        writer.write(b"1")
        writer.commit()
    with pytest.raises(ValueError, match="a is closed"):
        writer.write(b"2")
    assert (tmp_path / "a").read_bytes() == b"1"
