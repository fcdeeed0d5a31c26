from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.watched_file import WatchedFile
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def number_in(data: bytes) -> int:
    try:
        return int(data)
    except ValueError as error:
        raise ConfigError("no number") from error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    write(path, b"1")
    return path


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put another file in its place, as editors do."""
    other = path.with_suffix(".new")
    other.write_bytes(data)
    other.chmod(mode)
    other.replace(path)


def watch(path: Path) -> WatchedFile[int]:
    return WatchedFile(
        path,
        what="number",
        parse=number_in,
        bytes_max=4,
        closed_bits=stat.S_IRWXO,
        danger="anybody counts. Think",
    )


def test_a_file_is_read_again_when_it_changed_and_only_then(path: Path) -> None:
    file = watch(path)
    assert (file.read_changed(), file.value) == (False, 1)
    write(path, b"2")
    assert (file.read_changed(), file.value) == (True, 2)
    assert not file.read_changed()


@pytest.mark.parametrize(
    ("data", "mode", "message"),
    [
        (b"x", 0o600, "no number"),
        (b"2", 0o604, "has mode 0604: anybody counts. Think, then run: chmod 600"),
        (None, 0o600, "number .*: No such file"),
    ],
)
def test_a_bad_file_is_told_once_and_what_it_said_before_stays(
    path: Path, data: bytes | None, mode: int, message: str
) -> None:
    file = watch(path)
    if data is None:
        path.unlink()
    else:
        write(path, data, mode=mode)
    with pytest.raises(ConfigError, match=message):
        file.read_changed()
    assert (file.read_changed(), file.value) == (False, 1)
    with pytest.raises(ConfigError, match=message):
        watch(path)
    write(path, b"3")
    assert (file.read_changed(), file.value) == (True, 3)


def test_no_more_of_a_file_is_looked_at_than_tells_that_it_is_too_long(path: Path) -> None:
    write(path, b"123456789")
    assert watch(path).value == 12345
