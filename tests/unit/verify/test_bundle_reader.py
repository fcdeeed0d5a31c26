"""Zips that are no bundles, or two things at once, are refused before they are believed."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import BundleError
from meshtrail.verify.bundle_reader import TOTAL_BYTES_MAX, read_bundle

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "README.txt": b"r",
    "check.py": b"c",
    "checkpoint": b"p",
    "events.jsonl": b"e",
    "log.vkey": b"k",
    "entries/7.entry": b"entry",
    "proofs/7.tlog-proof": b"proof",
}


def pack(files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def read(tmp_path: Path, data: bytes) -> dict[str, bytes]:
    path = tmp_path / "case.zip"
    path.write_bytes(data)
    return dict(read_bundle(path).files)


def test_bundle_is_read_stored_or_deflated_and_with_its_folders(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert read(tmp_path, pack(GOOD, method=method)) == GOOD
    assert read(tmp_path, pack({"entries/": b"", **GOOD})) == GOOD
    contents = read_bundle(tmp_path / "case.zip")
    assert (contents.entries, contents.proofs) == ({7: b"entry"}, {7: b"proof"})


@pytest.mark.parametrize("name", sorted(GOOD))
def test_bundle_that_lacks_a_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        read(tmp_path, pack({other: data for other, data in GOOD.items() if other != name}))


@pytest.mark.parametrize(
    "name",
    [
        "../README.txt",
        "/README.txt",
        "readme.txt",
        "entries/7.entry/",
        "entries/07.entry",
        "entries/+7.entry",
        "entries\\7.entry",
        "entries/99999999999999999999.entry",
        "proofs/../log.vkey",
        "x/",
    ],
)
def test_name_that_a_bundle_does_not_have_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        read(tmp_path, pack({**GOOD, name: b"x"}))


def test_name_that_ends_early_for_some_programs_is_refused(tmp_path: Path) -> None:
    data = pack({**GOOD, "entries/8.entry?.txt": b"x", "proofs/8.tlog-proof": b"x"})
    with pytest.raises(BundleError, match="no file"):
        read(tmp_path, data.replace(b"8.entry?.txt", b"8.entry\0.txt"))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(method: int, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="compressed"):
        read(tmp_path, pack(GOOD, method=method))


def test_bytes_around_the_zip_are_refused(tmp_path: Path) -> None:
    data = pack(GOOD)
    for spoiled in (b"x" + data, pack({"other": b""}) + data, data + b"x"):
        with pytest.raises(BundleError):
            read(tmp_path, spoiled)
    commented = io.BytesIO(data)
    with zipfile.ZipFile(commented, "a") as archive:
        archive.comment = b"read me"
    with pytest.raises(BundleError, match="behind"):
        read(tmp_path, commented.getvalue())


def test_file_over_its_bound_is_refused_however_well_it_is_compressed(tmp_path: Path) -> None:
    for name, length in (
        ("entries/7.entry", 65_536),
        ("log.vkey", 5_000),
        ("checkpoint", 10**6 + 1),
    ):
        with pytest.raises(BundleError, match="over"):
            read(tmp_path, pack({**GOOD, name: bytes(length)}))


def test_zip_that_claims_more_than_all_files_may_have_is_refused_unread(tmp_path: Path) -> None:
    data = bytearray(pack(GOOD))
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", TOTAL_BYTES_MAX)
    with pytest.raises(BundleError, match="have over"):
        read(tmp_path, bytes(data))


def test_encrypted_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(pack(GOOD))
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    data[6] |= 1
    with pytest.raises(BundleError):
        read(tmp_path, bytes(data))


def test_file_that_is_no_zip_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"PK\x03\x04", b"x" * 100):
        with pytest.raises(BundleError, match="no zip"):
            read(tmp_path, data)
