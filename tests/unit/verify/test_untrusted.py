"""Hostile files do not hang a reader, and do not fill its memory."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DigestError, MissingFileError, UnavailableError
from meshtrail.verify.untrusted import (
    CHUNK_BYTES,
    digest_file,
    list_folder,
    open_regular,
    read_beginning,
    read_bounded,
)

if TYPE_CHECKING:
    from pathlib import Path


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.mkdir()


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [make_pipe, make_folder, make_device])
def test_what_is_no_regular_file_counts_as_missing(make: object, tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert callable(make)
    make(path)
    with pytest.raises(MissingFileError, match="no regular file"):
        read_bounded(path, name="file", bytes_max=10)


def test_absent_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "gone", tmp_path / "file" / "below"):
        with pytest.raises(MissingFileError, match="is gone"):
            digest_file(path, name="x")


def test_file_is_read_up_to_its_bound_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert read_bounded(path, name="file", bytes_max=10) == b"0123456789"
    assert read_beginning(path, name="file", length=3) == b"012"
    with pytest.raises(DigestError, match="over 9 bytes"):
        read_bounded(path, name="file", bytes_max=9)


def test_digest_is_that_of_the_whole_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * (CHUNK_BYTES // 128 + 1)
    (tmp_path / "file").write_bytes(data)
    want = (len(data), hashlib.sha256(data).digest())
    assert digest_file(tmp_path / "file", name="file") == want


def test_file_that_must_not_be_read_is_unavailable_and_no_tampering(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be read"):
        open_regular(tmp_path / ("x" * 300), name="file")


def test_folder_is_listed_by_name_and_may_be_absent(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(b"")
    assert list_folder(tmp_path) == ["a", "b"]
    assert list_folder(tmp_path / "gone") == list_folder(tmp_path / "a") == []
