from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DigestError, MissingFileError
from meshtrail.store.checked_file import check_digest, open_committed, read_checked
from meshtrail.store.layout import segment_file
from meshtrail.store.manifest import CommittedFile

if TYPE_CHECKING:
    from pathlib import Path

DATA = b"the bytes of a segment"
COMMITTED = CommittedFile(segment_file(0, 3), len(DATA), hashlib.sha256(DATA).digest())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / COMMITTED.named.path
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


def test_file_that_the_manifest_names_is_read(path: Path, tmp_path: Path) -> None:
    assert path.is_file()
    assert read_checked(tmp_path, COMMITTED) == DATA
    with open_committed(tmp_path, COMMITTED) as file:
        assert file.read() == DATA


@pytest.mark.parametrize("data", [b"", DATA[:-1], DATA + b"\0", DATA.replace(b"a", b"b")])
def test_file_with_other_bytes_is_refused_with_both_digests(
    data: bytes, path: Path, tmp_path: Path
) -> None:
    path.write_bytes(data)
    with pytest.raises(DigestError, match=COMMITTED.named.path) as caught:
        read_checked(tmp_path, COMMITTED)
    assert (caught.value.want, caught.value.got) == (
        COMMITTED.sha256,
        hashlib.sha256(data).digest(),
    )


def test_file_that_is_gone_is_named(tmp_path: Path) -> None:
    for read in (open_committed, read_checked):
        with pytest.raises(MissingFileError, match=f"{COMMITTED.named.path} is gone"):
            read(tmp_path, COMMITTED)


def test_digest_is_checked_whole() -> None:
    check_digest(COMMITTED, COMMITTED.sha256)
    for got in (COMMITTED.sha256[:-1], bytes(32), b""):
        with pytest.raises(DigestError, match="the manifest names"):
            check_digest(COMMITTED, got)
