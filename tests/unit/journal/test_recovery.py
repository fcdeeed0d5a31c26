from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.journal import JournalWriter
from meshtrail.journal.recovery import recover_directory
from meshtrail.store.durable import Disk
from tests.fake_clock import FakeClock
from tests.fake_disks import FailingDisk
from tests.journal_frames import opened_frame, record_frame

if TYPE_CHECKING:
    from pathlib import Path


def test_recovery_of_an_empty_directory_finds_nothing(tmp_path: Path) -> None:
    recovered = recover_directory(Disk(), tmp_path)
    assert recovered.previous is None
    assert recovered.open_streams == {}
    assert recovered.cut_bytes == 0


def test_recovery_makes_what_it_keeps_durable(tmp_path: Path) -> None:
    # The crash may have come between write and fsync: without this fsync, a power cut after the
    # start could take back what the next file's header says is there.
    with JournalWriter(tmp_path / "w", clock=FakeClock()) as writer:
        writer.append([opened_frame(), record_frame(b"x")])
    disk = FailingDisk()
    recovered = recover_directory(disk, tmp_path / "w")
    assert disk.calls == ["open", "fsync", "close"]
    assert recovered.previous is not None
    assert recovered.cut_bytes == 0


def test_recovery_makes_the_cut_durable(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "w", clock=FakeClock()) as writer:
        writer.append([opened_frame()])
    (path,) = (tmp_path / "w").glob("0*")
    path.write_bytes(path.read_bytes()[:-1])
    disk = FailingDisk()
    recover_directory(disk, tmp_path / "w")
    assert disk.calls.index("truncate") < disk.calls.index("fsync")
