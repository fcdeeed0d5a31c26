from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from meshtrail.errors import JournalDamageError
from meshtrail.journal import (
    FileIdentity,
    JournalOptions,
    JournalReader,
    JournalWriter,
    position_frame,
    writer,
)
from meshtrail.journal.file_positions import encode_position
from meshtrail.units import UnixNanos
from tests.fake_clock import FakeClock
from tests.file_positions import position
from tests.journal_frames import opened_frame, read_all, record_frame

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.journal import Frame


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def taken(inode: int, **changed: int) -> Frame:
    return position_frame(position(inode, **changed), received_ns=UnixNanos(1))


def forgotten(inode: int) -> Frame:
    return position_frame(position(inode).identity, received_ns=UnixNanos(1))


def test_positions_of_files_are_known_after_a_restart(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as journal:
        assert journal.left_positions == ()
        journal.append([opened_frame(), record_frame(b"x"), taken(1), taken(2)])
        journal.append(
            [record_frame(b"y", first_seq=2), taken(1, offset=9), forgotten(2), taken(3)]
        )
    for _ in range(2):
        with JournalWriter(directory, clock=FakeClock()) as journal:
            assert journal.left_positions == (position(1, offset=9), position(3))


def test_positions_are_known_although_the_older_files_are_gone(directory: Path) -> None:
    options = JournalOptions(
        file_bytes_max=900, batch_bytes_max=900, pending_bytes_max=900, journal_bytes_max=1 << 20
    )
    with JournalWriter(directory, clock=FakeClock(), options=options) as journal:
        journal.append([taken(1), taken(2)])
        for number in range(9):
            journal.append([record_frame(bytes(500), first_seq=1 + number)])
        journal.append([forgotten(2)])
    *older, _ = sorted(directory.glob("0*"))
    assert len(older) > 4
    for path in older:
        path.unlink()
    with JournalWriter(directory, clock=FakeClock()) as journal:
        assert journal.left_positions == (position(1),)


def test_lines_and_their_position_are_torn_together(directory: Path) -> None:
    with JournalWriter(directory, clock=FakeClock()) as journal:
        journal.append([record_frame(b"x"), taken(1, offset=10)])
        journal.append([record_frame(b"y", first_seq=2), taken(1, offset=20)])
    (path,) = directory.glob("0*")
    path.write_bytes(path.read_bytes()[:-1])
    with JournalWriter(directory, clock=FakeClock()) as journal:
        assert journal.left_positions == (position(1, offset=10),)
        frames = read_all(JournalReader(directory))
        assert frames == [b"x", encode_position(position(1, offset=10))]


def test_a_position_that_cannot_be_read_stops_the_start(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, JournalWriter(directory, clock=FakeClock()) as journal:
        patch.setattr(writer, "decode_position", lambda _: FileIdentity(1, 1))
        journal.append([record_frame(b"x"), msgspec.structs.replace(taken(1), data=b"{}")])
    with pytest.raises(JournalDamageError, match="position"):
        JournalWriter(directory, clock=FakeClock())
