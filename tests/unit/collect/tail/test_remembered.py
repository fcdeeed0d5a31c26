from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect.tail.found_files import FoundFile, stat_file
from meshtrail.collect.tail.remembered import Remembered, holds, is_unread, read_head
from meshtrail.journal import FilePosition, FileState
from tests.file_positions import position

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"x" * 100 + b"\n"


@pytest.fixture
def found(tmp_path: Path) -> FoundFile:
    path = tmp_path / "a.log"
    path.write_bytes(DATA)
    made = stat_file(str(path))
    assert made is not None
    return made


def of(found: FoundFile, count: int = 64, **changed: Any) -> FilePosition:
    facts: dict[str, Any] = {
        "device": found.identity.device,
        "offset": count,
        "fingerprint": hashlib.sha256(DATA[:count]).digest(),
        "fingerprint_bytes": count,
    }
    return position(found.identity.inode, **(facts | changed))


def test_a_position_holds_for_a_file_that_begins_so_and_is_as_long(found: FoundFile) -> None:
    assert holds(found, of(found))
    assert holds(found, of(found, len(DATA)))
    assert not holds(found, of(found, offset=len(DATA) + 1))
    assert not holds(found, of(found, fingerprint=bytes(32)))


def test_a_file_is_recalled_by_inode_and_beginning_when_its_disk_has_another_number(
    found: FoundFile,
) -> None:
    device = found.identity.device
    for known, is_recalled in (
        (of(found), True),
        (of(found, device=device + 1), True),
        (of(found, 0, device=device + 1), False),
        (of(found, device=device + 1, fingerprint=bytes(32)), False),
        # The same inode on the same disk: its caller says whether it holds.
        (of(found, fingerprint=bytes(32)), True),
    ):
        assert Remembered([known]).recall(found) == (known if is_recalled else None)


def test_a_copy_begins_with_as_much_that_it_is_no_chance(found: FoundFile) -> None:
    def is_copy(known: FilePosition, *heads: bytes) -> bool:
        return Remembered([known]).is_copy(found, path="/var/log/a.log", heads=heads)

    other = of(found, device=0)
    assert is_copy(other)
    assert not is_copy(of(found))
    assert not is_copy(of(found, 63, device=0))
    assert not is_copy(of(found, device=0, path="/b.log"))
    assert is_copy(of(found), DATA[:64])
    assert not is_copy(of(found), DATA[:63], DATA + b"y", b"y" * 70)


def test_a_file_is_unread_while_it_is_open_or_grew_after_its_end(found: FoundFile) -> None:
    size = found.size
    assert is_unread(found, of(found, state=FileState.OPEN, offset=size))
    assert is_unread(found, of(found, state=FileState.ENDED, offset=size - 1))
    assert not is_unread(found, of(found, state=FileState.ENDED, offset=size))
    assert not is_unread(found, of(found, state=FileState.LEFT_OUT, offset=0))


def test_the_beginning_of_what_cannot_be_read_is_nothing(tmp_path: Path) -> None:
    assert read_head(str(tmp_path / "nowhere")) == b""
    assert read_head(str(tmp_path)) == b""
    path = tmp_path / "a"
    path.write_bytes(os.urandom(2000))
    assert read_head(str(path)) == path.read_bytes()[:1024]
