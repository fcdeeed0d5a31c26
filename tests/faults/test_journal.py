"""Faults of the disk under a journal: each call in turn, and each byte in turn."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError, JournalDamageError, UnavailableError
from meshtrail.journal import JournalOptions, JournalReader, JournalWriter
from meshtrail.journal.files import list_files
from meshtrail.store.durable import Disk
from tests.fake_clock import FakeClock
from tests.fake_disks import FailingDisk, Failure
from tests.journal_frames import record_frame, slice_data

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.journal import ReadPosition

OPTIONS = JournalOptions(file_bytes_max=600, journal_bytes_max=1 << 20, batch_bytes_max=1_000)
BATCHES = [[b"%d/%d:" % (number, item) + bytes(90) for item in range(2)] for number in range(7)]


class Session:
    """Writes the batches, reads and removes, through as many starts as it takes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.next_batch = 0
        self.acknowledged: list[bytes] = []
        self.unknown: list[bytes] = []
        self.seen: list[bytes] = []
        self.position: ReadPosition | None = None

    def run(self, disk: Disk) -> None:
        """Go on until everything is appended and read."""
        reader = JournalReader(self.directory, position=self.position, disk=disk)
        with JournalWriter(self.directory, clock=FakeClock(), options=OPTIONS, disk=disk) as writer:
            while self.next_batch < len(BATCHES):
                batch = BATCHES[self.next_batch]
                self.next_batch += 1
                self.unknown += batch
                try:
                    writer.append([record_frame(item) for item in batch])
                except UnavailableError:
                    writer.append([record_frame(item) for item in batch])
                self.acknowledged += batch
                self.read(reader)
        while self.read(reader):
            pass
        reader.close()

    def read(self, reader: JournalReader) -> bool:
        part = reader.read(250)
        if part is None:
            return False
        self.seen += slice_data(part)
        self.position = part.end
        reader.remove_before(part.end.file_number)
        return True


def run_with(directory: Path, disk: FailingDisk) -> Session:
    """Run into the fault, then start again with a good disk."""
    session = Session(directory)
    with contextlib.suppress(DurabilityError, UnavailableError):
        session.run(disk)
    disk.kill()
    session.run(Disk())
    return session


@pytest.mark.parametrize("how", Failure)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_every_call_fails_in_turn_and_no_acknowledged_frame_is_lost_or_read_twice(
    tmp_path: Path, how: Failure, code: int
) -> None:
    healthy = FailingDisk()
    session = Session(tmp_path / "healthy")
    session.run(healthy)
    assert session.seen == session.acknowledged == [item for batch in BATCHES for item in batch]
    assert len(list_files(tmp_path / "healthy")) < 4
    assert set(healthy.calls) == {"mkdir", "open", "write", "fsync", "close", "unlink"}
    for index in range(len(healthy.calls)):
        session = run_with(tmp_path / f"{index}", FailingDisk(index, how=how, code=code))
        lost = set(session.acknowledged) - set(session.seen)
        assert not lost, (index, healthy.calls[index])
        assert len(session.seen) == len(set(session.seen)), (index, healthy.calls[index])
        assert set(session.seen) <= set(session.unknown)
        assert session.seen == sorted(session.seen)


FLIPPED = [[b"first", b"second"], [b"third"], [b"fourth", b"fifth"], [b"sixth"]]


def write_small_journal(directory: Path) -> None:
    """Two files of two batches each."""
    for part in (FLIPPED[:2], FLIPPED[2:]):
        with JournalWriter(directory, clock=FakeClock()) as writer:
            for batch in part:
                writer.append([record_frame(item) for item in batch])


def read_whole_batches(directory: Path) -> list[list[bytes]]:
    reader = JournalReader(directory)
    try:
        return [slice_data(part) for part in iter(lambda: reader.read(1), None)]
    finally:
        reader.close()


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_byte_of_a_journal_flips_in_turn_and_no_wrong_frame_is_read(
    tmp_path: Path, mask: int
) -> None:
    directory = tmp_path / "collect"
    write_small_journal(directory)
    paths = [directory / f"{number:012d}" for number in list_files(directory)]
    for path in paths:
        whole = path.read_bytes()
        for index in range(len(whole)):
            flipped = bytearray(whole)
            flipped[index] ^= mask
            path.write_bytes(flipped)
            # Only the last batch can be taken for one that was never finished.
            if path == paths[-1] and index >= whole.rindex(b"MTJB"):
                assert read_whole_batches(directory) == FLIPPED[:-1]
                continue
            with pytest.raises(JournalDamageError) as caught:
                read_whole_batches(directory)
            assert caught.value.path == path
        path.write_bytes(whole)
    assert read_whole_batches(directory) == FLIPPED


def test_every_byte_of_the_newest_file_flips_in_turn_under_a_starting_writer(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "collect"
    write_small_journal(directory)
    newest = directory / f"{list_files(directory)[-1]:012d}"
    whole = newest.read_bytes()
    for index in range(len(whole)):
        flipped = bytearray(whole)
        flipped[index] ^= 0x10
        newest.write_bytes(flipped)
        if index >= whole.rindex(b"MTJB"):
            JournalWriter(directory, clock=FakeClock()).close()
            assert read_whole_batches(directory) == FLIPPED[:-1]
            (directory / f"{list_files(directory)[-1]:012d}").unlink()
            continue
        with pytest.raises(JournalDamageError) as caught:
            JournalWriter(directory, clock=FakeClock())
        assert caught.value.path == newest
        assert newest.read_bytes() == flipped
