from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import (
    DurabilityError,
    JournalDamageError,
    UnavailableError,
    WriterHeldError,
)
from meshtrail.journal import (
    EXPORT_DIGEST_BYTES,
    JournalOptions,
    JournalReader,
    JournalWriter,
    OpenStream,
    export_frame,
)
from meshtrail.journal.files import list_files
from meshtrail.units import UnixNanos
from tests.fake_clock import START_NS, FakeClock
from tests.fake_disks import FailingDisk, SmallDisk
from tests.journal_frames import closed_frame, opened_frame, read_all, record_frame

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.journal import Frame

FIRST_FILE = START_NS // 1_000_000_000
SMALL = JournalOptions(file_bytes_max=1_000, journal_bytes_max=4_000, batch_bytes_max=1_000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def path_of(directory: Path, file_number: int) -> Path:
    return directory / f"{file_number:012d}"


def append_and_close(directory: Path, *data: bytes) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        for item in data:
            writer.append([record_frame(item)])


def test_first_file_of_an_empty_journal_is_numbered_by_the_clock(directory: Path) -> None:
    append_and_close(directory, b"one")
    assert list_files(directory) == [FIRST_FILE]


def test_starting_writer_opens_the_next_file_and_keeps_the_one_before(directory: Path) -> None:
    append_and_close(directory, b"one")
    before = path_of(directory, FIRST_FILE).read_bytes()
    append_and_close(directory, b"two")
    assert list_files(directory) == [FIRST_FILE, FIRST_FILE + 1]
    assert path_of(directory, FIRST_FILE).read_bytes() == before
    assert read_all(JournalReader(directory)) == [b"one", b"two"]


def test_second_writer_is_refused_while_the_first_is_open(directory: Path) -> None:
    with (
        JournalWriter(directory, clock=FakeClock()),
        pytest.raises(WriterHeldError),
    ):
        JournalWriter(directory, clock=FakeClock())


def test_file_is_closed_before_it_would_grow_over_its_bound(directory: Path) -> None:
    frames = [record_frame(bytes([index]) * 300) for index in range(10)]
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        for frame in frames:
            writer.append([frame])
    sizes = [path_of(directory, number).stat().st_size for number in list_files(directory)]
    assert len(sizes) == 5
    assert max(sizes) <= SMALL.file_bytes_max
    assert read_all(JournalReader(directory)) == [frame.data for frame in frames]


def test_batch_larger_than_a_file_gets_a_file_of_its_own(directory: Path) -> None:
    data = [b"small", bytes(5_000), b"after"]
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        for item in data:
            writer.append([record_frame(item)])
    assert len(list_files(directory)) == 3
    assert read_all(JournalReader(directory)) == data


def test_torn_tail_is_cut_off_and_everything_before_it_kept(directory: Path) -> None:
    append_and_close(directory, b"one", b"two")
    path = path_of(directory, FIRST_FILE)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.cut_bytes == 32 + 40 + 2
    assert read_all(JournalReader(directory)) == [b"one"]


def test_zeros_behind_the_last_batch_are_cut_off(directory: Path) -> None:
    append_and_close(directory, b"one")
    path = path_of(directory, FIRST_FILE)
    path.write_bytes(path.read_bytes() + bytes(5_000))
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.cut_bytes == 5_000
    assert path.read_bytes()[-3:] == b"one"
    assert read_all(JournalReader(directory)) == [b"one"]


@pytest.mark.parametrize("kept", [0, 5, 16, 40])
def test_file_whose_header_was_torn_off_is_begun_again(directory: Path, kept: int) -> None:
    append_and_close(directory, b"one")
    append_and_close(directory)
    path = path_of(directory, FIRST_FILE + 1)
    path.write_bytes(path.read_bytes()[:kept])
    append_and_close(directory, b"two")
    assert list_files(directory) == [FIRST_FILE, FIRST_FILE + 1]
    assert read_all(JournalReader(directory)) == [b"one", b"two"]


def test_bad_batch_with_a_good_one_behind_it_is_damage_and_nothing_is_cut(directory: Path) -> None:
    append_and_close(directory, b"one", b"two")
    path = path_of(directory, FIRST_FILE)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"one")] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(JournalDamageError) as caught:
        JournalWriter(directory, clock=FakeClock())
    assert caught.value.path == path
    assert caught.value.offset == damaged.index(b"MTJB")
    assert path.read_bytes() == damaged
    assert list_files(directory) == [FIRST_FILE]


def test_bad_header_with_batches_behind_it_is_damage(directory: Path) -> None:
    append_and_close(directory, b"one")
    path = path_of(directory, FIRST_FILE)
    damaged = bytearray(path.read_bytes())
    damaged[20] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(JournalDamageError, match="bad header"):
        JournalWriter(directory, clock=FakeClock())


def test_damage_lets_the_lock_go(directory: Path) -> None:
    append_and_close(directory, b"one")
    path = path_of(directory, FIRST_FILE)
    good = path.read_bytes()
    path.write_bytes(b"X" + good[1:])
    with pytest.raises(JournalDamageError):
        JournalWriter(directory, clock=FakeClock())
    path.write_bytes(good)
    append_and_close(directory, b"two")


def test_streams_left_open_are_known_after_a_restart(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([opened_frame(5), record_frame(b"x", stream=5, records_count=28)])
        writer.append([opened_frame(6), closed_frame(stream=6, seq=1)])
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.left_open == {5: OpenStream(next_seq=29, frames_count=1, records_count=28)}


def test_streams_left_open_are_known_although_the_older_files_are_gone(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        writer.append([opened_frame(5)])
        for seq in range(1, 11):
            writer.append([record_frame(bytes(300), stream=5, first_seq=seq)])
    for number in list_files(directory)[:-1]:
        path_of(directory, number).unlink()
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.left_open == {5: OpenStream(next_seq=11, frames_count=10, records_count=10)}


def test_stream_closed_after_a_restart_is_not_left_open_again(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([opened_frame(5)])
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([closed_frame(stream=5, seq=1)])
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.left_open == {}


def test_full_disk_keeps_nothing_of_the_batch_and_the_same_batch_fits_later(
    directory: Path,
) -> None:
    disk = SmallDisk(10_000)
    with JournalWriter(directory, clock=FakeClock(), disk=disk) as writer:
        writer.append([record_frame(b"before")])
        length = path_of(directory, FIRST_FILE).stat().st_size
        disk.room_bytes = 100
        for _ in range(3):
            with pytest.raises(UnavailableError, match="no room on disk"):
                writer.append([record_frame(bytes(200))])
            assert path_of(directory, FIRST_FILE).stat().st_size == length
            assert disk.room_bytes == 100
        disk.room_bytes = 1_000
        writer.append([record_frame(bytes(200))])
    assert read_all(JournalReader(directory)) == [b"before", bytes(200)]


def test_full_disk_while_a_file_is_begun_leaves_the_old_file_in_use(directory: Path) -> None:
    disk = SmallDisk(10_000)
    with JournalWriter(directory, clock=FakeClock(), options=SMALL, disk=disk) as writer:
        writer.append([record_frame(bytes(700))])
        disk.room_bytes = 10
        for _ in range(2):
            with pytest.raises(UnavailableError):
                writer.append([record_frame(bytes(701))])
            assert list_files(directory) == [FIRST_FILE]
            disk.room_bytes = 10
        disk.room_bytes = 5_000
        writer.append([record_frame(bytes(701))])
    assert read_all(JournalReader(directory)) == [bytes(700), bytes(701)]


def test_full_disk_at_the_start_is_unavailable_and_not_damage(directory: Path) -> None:
    with pytest.raises(UnavailableError):
        JournalWriter(directory, clock=FakeClock(), disk=SmallDisk(10))
    assert list_files(directory) == []
    append_and_close(directory, b"one")


def test_writer_refuses_all_work_after_a_failed_fsync(directory: Path) -> None:
    disk = FailingDisk()
    writer = JournalWriter(directory, clock=FakeClock(), disk=disk)
    disk.fails_at = len(disk.calls) + 1
    with pytest.raises(DurabilityError) as caught:
        writer.append([record_frame(b"lost?")])
    assert disk.calls[-1] == "fsync"
    assert caught.value.errno == errno.EIO
    with pytest.raises(DurabilityError, match="nothing more is written"):
        writer.append([record_frame(b"next")])
    writer.close()


def test_read_only_directory_is_a_durability_error_that_names_it(tmp_path: Path) -> None:
    disk = FailingDisk(0, code=errno.EROFS)
    with pytest.raises(DurabilityError, match=r"journal: Read-only file system"):
        JournalWriter(tmp_path / "journal" / "collect", clock=FakeClock(), disk=disk)


def test_journal_is_full_at_its_bound_and_has_room_when_files_are_removed(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        appended = 0
        while not writer.is_full():
            writer.append([record_frame(bytes(300))])
            appended += 1
        reader = JournalReader(directory)
        assert len(read_all(reader)) == appended
        assert reader.position is not None
        reader.remove_before(reader.position.file_number)
        assert not writer.is_full()


def test_restarted_writer_counts_the_files_that_were_there(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        while not writer.is_full():
            writer.append([record_frame(bytes(300))])
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as writer:
        assert writer.is_full()


def test_writer_counts_what_it_made_durable_and_the_streams_that_are_open(
    directory: Path,
) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([opened_frame(7), record_frame(b"12345", stream=7, first_seq=1)])
        writer.append([opened_frame(8), closed_frame(stream=7, seq=2)])
        opened, closed = len(opened_frame(7).data), len(closed_frame(stream=7, seq=2).data)
        assert writer.entries_count == 4
        assert writer.bytes_count == 2 * opened + 5 + closed
        assert writer.streams_count == 1
    # Another process counts from its own start; what was left open is still open.
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert (writer.entries_count, writer.bytes_count, writer.streams_count) == (0, 0, 1)


def test_writer_does_not_count_what_the_disk_refused(directory: Path) -> None:
    disk = SmallDisk(600)
    with JournalWriter(directory, clock=FakeClock(), disk=disk) as writer:
        with pytest.raises(UnavailableError):
            writer.append([record_frame(b"x" * 5_000)])
        assert (writer.entries_count, writer.bytes_count) == (0, 0)


def digest(number: int) -> bytes:
    return number.to_bytes(EXPORT_DIGEST_BYTES, "big")


def export(number: int) -> Frame:
    return export_frame(digest(number), received_ns=UnixNanos(1))


def test_exports_that_were_taken_are_known_after_a_restart(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.left_exports == b""
        writer.append([opened_frame(), record_frame(b"x" * 100), export(1), record_frame(b"y")])
        writer.append([export(2)])
    for _ in range(2):
        with JournalWriter(directory, clock=FakeClock()) as writer:
            assert writer.left_exports == digest(1) + digest(2)


def test_exports_are_known_although_the_older_files_are_gone(directory: Path) -> None:
    options = JournalOptions(
        file_bytes_max=500, batch_bytes_max=500, pending_bytes_max=500, journal_bytes_max=1 << 20
    )
    with JournalWriter(directory, clock=FakeClock(), options=options) as writer:
        for number in range(16):
            writer.append([record_frame(bytes(100), first_seq=1 + number), export(number)])
    *older, newest = sorted(directory.glob("0*"))
    assert len(older) > 4
    for path in older:
        path.unlink()
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.left_exports == b"".join(map(digest, range(16)))
    assert newest.read_bytes().startswith(b"MTJOURN2")


def test_an_export_in_a_torn_batch_was_never_taken(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([record_frame(b"x"), export(1)])
        writer.append([record_frame(b"y"), export(2)])
    (path,) = directory.glob("0*")
    path.write_bytes(path.read_bytes()[:-1])
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert writer.left_exports == digest(1)


def test_files_of_before_there_were_exports_are_read(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([opened_frame()])
    (path,) = directory.glob("0*")
    assert path.read_bytes().startswith(b"MTJOURN1")
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([export(1)])
    assert read_all(JournalReader(directory)) == [b"{}", digest(1)]
