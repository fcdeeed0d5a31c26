from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import MissingFileError
from meshtrail.store.blob_files import read_blob, write_blobs
from meshtrail.store.durable import Disk
from meshtrail.store.layout import Layout
from tests.faults.fake_disk import TracingDisk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "blobs").mkdir()
    return Layout(tmp_path)


def test_each_distinct_blob_is_stored_once_and_the_directory_synced_once(layout: Layout) -> None:
    disk = TracingDisk(layout.root)
    write_blobs(disk, layout, [b"one", b"two", b"one"])
    names = [f"blobs/{hashlib.sha256(blob).hexdigest()}" for blob in (b"one", b"two")]
    assert disk.calls == [
        call
        for name in names
        for call in (f"write {name}.tmp", f"fsync {name}.tmp", f"rename {name}")
    ] + ["fsync blobs"]
    assert read_blob(layout, hashlib.sha256(b"two").digest()) == b"two"


def test_blob_that_is_there_is_not_written_again(layout: Layout) -> None:
    write_blobs(Disk(), layout, [b"one"])
    disk = TracingDisk(layout.root)
    write_blobs(disk, layout, [b"one"])
    write_blobs(disk, layout, [])
    assert disk.calls == []


def test_blob_that_a_crash_left_half_written_is_written_again(layout: Layout) -> None:
    path = layout.blob(hashlib.sha256(b"whole").digest())
    path.with_name(path.name + ".tmp").write_bytes(b"who")
    write_blobs(Disk(), layout, [b"whole"])
    assert path.read_bytes() == b"whole"


def test_blob_that_is_gone_is_named(layout: Layout) -> None:
    with pytest.raises(MissingFileError, match=f"blobs/{'00' * 32} is gone"):
        read_blob(layout, bytes(32))
