from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError, JournalDamageError
from meshtrail.journal import ROW_DTYPE, JournalOptions, JournalReader, JournalWriter, ReadPosition
from meshtrail.journal.files import file_path, list_files
from meshtrail.store.durable import Disk
from tests.fake_clock import START_NS, FakeClock
from tests.fake_disks import FailingDisk
from tests.journal_frames import opened_frame, read_all, record_frame, slice_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = JournalOptions(file_bytes_max=1_000, journal_bytes_max=4_000, batch_bytes_max=1_000)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


@pytest.fixture
def writer(directory: Path) -> Iterator[JournalWriter]:
    with JournalWriter(directory, clock=FakeClock(), options=SMALL) as opened:
        yield opened


def fill(writer: JournalWriter, count: int) -> list[bytes]:
    data = [b"#%03d" % index + bytes(300) for index in range(count)]
    for item in data:
        writer.append([record_frame(item)])
    return data


def test_reader_waits_for_a_directory_a_file_and_a_frame(directory: Path) -> None:
    reader = JournalReader(directory)
    assert reader.read() is None
    with JournalWriter(directory, clock=FakeClock()) as writer:
        assert reader.read() is None
        writer.append([record_frame(b"first")])
        assert read_all(reader) == [b"first"]
        assert reader.read() is None
        writer.append([record_frame(b"second")])
        assert read_all(reader) == [b"second"]


def test_slice_holds_rows_data_and_offsets_of_several_batches(
    directory: Path, writer: JournalWriter
) -> None:
    writer.append([opened_frame(5), record_frame(b"abc", stream=5, records_count=2)])
    writer.append([record_frame(b"", stream=5, first_seq=3)])
    writer.append([record_frame(b"defg", stream=5, first_seq=4)])
    part = JournalReader(directory).read()
    assert part is not None
    assert part.rows.dtype == ROW_DTYPE
    assert part.rows["first_seq"].tolist() == [0, 1, 3, 4]
    assert bytes(part.data) == b"{}abcdefg"
    assert part.offsets.tolist() == [0, 2, 5, 5, 9]
    assert slice_data(part) == [b"{}", b"abc", b"", b"defg"]
    assert part.end.offset == file_path(directory, part.end.file_number).stat().st_size


def test_reader_takes_a_batch_larger_than_asked_for_and_else_no_more(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        data = [bytes([index]) * 1_000 for index in range(5)]
        for item in data:
            writer.append([record_frame(item)])
    reader = JournalReader(directory)
    parts = [slice_data(part) for part in iter(lambda: reader.read(10), None)]
    assert parts == [[item] for item in data]
    reader = JournalReader(directory)
    parts = [slice_data(part) for part in iter(lambda: reader.read(2_200), None)]
    assert parts == [data[:2], data[2:4], data[4:]]


def test_reader_goes_on_at_every_position_it_ever_gave(
    directory: Path, writer: JournalWriter
) -> None:
    data = fill(writer, 8)
    reader = JournalReader(directory)
    positions: list[ReadPosition | None] = [None]
    positions += [part.end for part in iter(lambda: reader.read(1), None)]
    assert len(positions) == 9
    for index, position in enumerate(positions):
        assert read_all(JournalReader(directory, position=position)) == data[index:]


def test_reader_syncs_the_file_before_it_gives_anything_out(
    directory: Path, writer: JournalWriter
) -> None:
    fill(writer, 1)
    disk = FailingDisk()
    assert JournalReader(directory, disk=disk).read() is not None
    assert disk.calls == ["open", "fsync"]
    reader = JournalReader(directory, disk=FailingDisk(1))
    with pytest.raises(DurabilityError, match="fsync"):
        reader.read()
    assert reader.position is None or reader.position.offset < SMALL.file_bytes_max / 2


def test_position_stays_in_the_old_file_until_the_new_one_has_frames(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        fill(writer, 1)
    with JournalWriter(directory, clock=FakeClock()) as writer:
        reader = JournalReader(directory)
        part = reader.read()
        assert part is not None
        first, second = list_files(directory)
        assert part.end.file_number == first
        writer.append([record_frame(b"next")])
        part = reader.read()
        assert part is not None
        assert part.end.file_number == second


def test_reader_passes_over_files_without_batches(directory: Path) -> None:
    for _ in range(3):
        JournalWriter(directory, clock=FakeClock()).close()
    with JournalWriter(directory, clock=FakeClock()) as writer:
        data = fill(writer, 1)
    assert read_all(JournalReader(directory)) == data


def test_torn_last_batch_of_the_newest_file_is_waited_for(
    directory: Path, writer: JournalWriter
) -> None:
    data = fill(writer, 2)
    path = file_path(directory, list_files(directory)[-1])
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    reader = JournalReader(directory)
    assert read_all(reader) == data[:1]
    assert reader.read() is None
    path.write_bytes(whole)
    assert read_all(reader) == data[1:]


def test_torn_header_of_the_newest_file_is_waited_for(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        data = fill(writer, 1)
    number = list_files(directory)[-1] + 1
    path = file_path(directory, number)
    path.write_bytes(b"MTJOU")
    reader = JournalReader(directory)
    assert read_all(reader) == data
    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([record_frame(b"next")])
    assert read_all(reader) == [b"next"]


def damage_file(directory: Path, index: int, marker: bytes) -> tuple[int, bytearray]:
    number = list_files(directory)[index]
    path = file_path(directory, number)
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(marker)] ^= 1
    path.write_bytes(damaged)
    return number, damaged


def test_bad_batch_with_a_good_one_behind_it_is_damage(
    directory: Path, writer: JournalWriter
) -> None:
    fill(writer, 2)
    number, damaged = damage_file(directory, -1, b"#000")
    with pytest.raises(JournalDamageError) as caught:
        JournalReader(directory).read()
    assert caught.value.path == file_path(directory, number)
    assert caught.value.offset == damaged.index(b"MTJB")


def test_bad_last_batch_of_a_file_that_is_not_the_newest_is_damage(
    directory: Path, writer: JournalWriter
) -> None:
    data = fill(writer, 3)
    damage_file(directory, 0, b"#001")
    reader = JournalReader(directory)
    part = reader.read()
    assert part is not None
    assert slice_data(part) == data[:1]
    with pytest.raises(JournalDamageError, match="no good batch, but file"):
        reader.read()


def test_file_shorter_than_the_next_one_says_is_damage(
    directory: Path, writer: JournalWriter
) -> None:
    fill(writer, 3)
    path = file_path(directory, list_files(directory)[0])
    path.write_bytes(path.read_bytes()[: path.read_bytes().rindex(b"MTJB")])
    reader = JournalReader(directory)
    reader.read()
    with pytest.raises(JournalDamageError, match="says it has"):
        reader.read()


def test_hole_in_the_file_numbers_is_damage(directory: Path, writer: JournalWriter) -> None:
    data = fill(writer, 6)
    first, second, _ = list_files(directory)
    file_path(directory, second).unlink()
    reader = JournalReader(directory)
    part = reader.read()
    assert part is not None
    assert slice_data(part) == data[:2]
    with pytest.raises(JournalDamageError, match=f"follows {second}, which is gone") as caught:
        reader.read()
    assert caught.value.path == file_path(directory, first)


def test_first_file_gone_before_it_was_read_is_damage(
    directory: Path, writer: JournalWriter
) -> None:
    fill(writer, 3)
    file_path(directory, list_files(directory)[0]).unlink()
    with pytest.raises(JournalDamageError, match="is gone"):
        JournalReader(directory).read()


def test_bad_header_of_a_file_that_is_not_the_newest_is_damage(
    directory: Path, writer: JournalWriter
) -> None:
    fill(writer, 6)
    path = file_path(directory, list_files(directory)[1])
    path.write_bytes(path.read_bytes()[:30])
    reader = JournalReader(directory)
    reader.read()
    with pytest.raises(JournalDamageError, match="not the newest"):
        reader.read()


def test_file_cut_below_the_position_is_damage(directory: Path, writer: JournalWriter) -> None:
    fill(writer, 1)
    reader = JournalReader(directory)
    part = reader.read()
    assert part is not None
    path = file_path(directory, part.end.file_number)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(JournalDamageError, match="became shorter"):
        reader.read()
    with pytest.raises(JournalDamageError, match="no longer holds what was read"):
        JournalReader(directory, position=part.end).read()


def test_journal_started_anew_is_read_from_its_beginning(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        fill(writer, 1)
    reader = JournalReader(directory)
    assert len(read_all(reader)) == 1
    position = reader.position
    for number in list_files(directory):
        file_path(directory, number).unlink()
    with JournalWriter(directory, clock=FakeClock(START_NS + 5_000_000_000)) as writer:
        writer.append([record_frame(b"anew")])
    assert read_all(reader) == [b"anew"]
    assert read_all(JournalReader(directory, position=position)) == [b"anew"]


def test_journal_started_anew_below_the_position_is_damage_and_not_passed_over(
    directory: Path,
) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        fill(writer, 1)
    number = list_files(directory)[0]
    with pytest.raises(JournalDamageError, match="the file is gone, and file"):
        JournalReader(directory, position=ReadPosition(number + 1, 200)).read()


def test_files_before_the_position_are_removed_oldest_first(
    directory: Path, writer: JournalWriter
) -> None:
    fill(writer, 6)
    reader = JournalReader(directory)
    read_all(reader)
    assert reader.position is not None
    numbers = list_files(directory)
    reader.remove_before(numbers[1])
    assert list_files(directory) == numbers[1:]
    reader.remove_before(reader.position.file_number)
    assert list_files(directory) == numbers[2:]
    assert read_all(JournalReader(directory, position=reader.position)) == []


def test_files_that_were_not_read_are_not_removed(directory: Path, writer: JournalWriter) -> None:
    fill(writer, 6)
    reader = JournalReader(directory)
    numbers = list_files(directory)
    with pytest.raises(ValueError, match="is not read yet"):
        reader.remove_before(numbers[0])
    reader.read()
    with pytest.raises(ValueError, match="is not read yet"):
        reader.remove_before(numbers[1])
    assert list_files(directory) == numbers


def test_closed_reader_opens_its_file_again(directory: Path, writer: JournalWriter) -> None:
    data = fill(writer, 2)
    reader = JournalReader(directory)
    assert len(slice_data(reader.read(1) or pytest.fail("nothing read"))) == 1
    reader.close()
    assert read_all(reader) == data[1:]


def test_reader_takes_no_more_records_than_asked_for_but_a_batch_at_least(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        for count, seq in ((2, 1), (1, 3), (9, 4), (3, 13)):
            writer.append([record_frame(b"", first_seq=seq, records_count=count)])
    reader = JournalReader(directory)
    parts = list(iter(lambda: reader.read(records_max=3), None))
    assert [part.rows["records_count"].tolist() for part in parts] == [[2, 1], [9], [3]]


def test_reader_counts_records_as_its_caller_does(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as writer:
        for seq in range(1, 5):
            writer.append([record_frame(b"xx", first_seq=seq)])
    reader = JournalReader(directory)
    parts = iter(
        lambda: reader.read(records_max=4, count=lambda rows: int(rows["frame_bytes"].sum())), None
    )
    assert [len(part.rows) for part in parts] == [2, 2]


def test_file_whose_close_fails_is_not_closed_again(directory: Path) -> None:
    class Closing(Disk):
        """Closes, and says that it failed."""

        def close(self, fd: int) -> None:
            super().close(fd)
            raise OSError(errno.EIO, "Input/output error")

    with JournalWriter(directory, clock=FakeClock()) as writer:
        writer.append([record_frame(b"1")])
    with JournalWriter(directory, clock=FakeClock()):
        reader = JournalReader(directory, disk=Closing())
        assert reader.read() is not None
        with pytest.raises(DurabilityError, match="Input/output"):
            reader.read()
        with pytest.raises(DurabilityError, match="Input/output"):
            reader.close()
        reader.close()
