from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DurabilityError, JournalDamageError
from meshtrail.journal import JournalWriter
from meshtrail.journal.files import count_bytes, file_path, list_files, open_file
from meshtrail.store.durable import Disk
from tests.fake_clock import FakeClock
from tests.journal_frames import opened_frame, record_frame

if TYPE_CHECKING:
    from pathlib import Path


def test_only_names_of_twelve_ascii_digits_are_journal_files(tmp_path: Path) -> None:
    for name in ["000000000002", "000000000001", "lock", "1", "00000000000x", "٠٠٠٠٠٠٠٠٠٠٠٣"]:
        (tmp_path / name).write_bytes(b"12345")
    assert list_files(tmp_path) == [1, 2]
    assert count_bytes(tmp_path) == 10


def test_directory_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list_files(tmp_path / "missing") == []
    assert count_bytes(tmp_path / "missing") == 0


def test_directory_that_cannot_be_listed_is_a_durability_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DurabilityError, match="list"):
        list_files(tmp_path / "file")


def test_file_under_the_name_of_another_is_damage(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "w", clock=FakeClock()) as writer:
        writer.append([record_frame(b"x")])
    (number,) = list_files(tmp_path / "w")
    file_path(tmp_path / "w", number).rename(file_path(tmp_path / "w", 7))
    with pytest.raises(JournalDamageError, match=f"says that it is file {number}"):
        open_file(Disk(), tmp_path / "w", 7)


def test_header_longer_than_the_first_read_is_read_whole(tmp_path: Path) -> None:
    clock = FakeClock()
    with JournalWriter(tmp_path / "w", clock=clock) as writer:
        writer.append([opened_frame(stream) for stream in range(1, 1_000)])
    with JournalWriter(tmp_path / "w", clock=clock) as writer:
        assert len(writer.left_open) == 999
        file = open_file(Disk(), tmp_path / "w", list_files(tmp_path / "w")[-1])
    assert file is not None
    assert file.header_bytes > 4_096
    assert len(file.header.open_streams) == 999
    file.close()
