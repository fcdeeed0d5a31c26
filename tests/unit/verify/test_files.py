"""Committed files are known by length and digest, blobs by name; all else is told apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from meshtrail.store.manifest import CommittedFile
from meshtrail.verify.blob_references import BlobReference
from meshtrail.verify.files import Blobs, CommittedFiles, missing_file, stranger, unnamed_files
from meshtrail.verify.workers import Workers
from tests.log_builder import LogBuilder, build_small_log

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.verify.findings import Finding


def checks(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.check, one.subject) for one in findings]


def test_files_are_hashed_once_and_told_good_from_changed_and_gone(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    committed = sorted(builder.live.by_name.values())
    changed, gone = committed[0], committed[1]
    path = tmp_path / "log" / changed.named.path
    path.write_bytes(path.read_bytes() + b"x")
    (tmp_path / "log" / gone.named.path).unlink()
    files = CommittedFiles(tmp_path / "log", Workers(1))
    told: list[tuple[int, int]] = []
    findings = list(files.check(committed, lambda done, total: told.append((done, total))))
    assert checks(findings) == [("DigestError", changed.named.path)]
    assert files.gone == {gone}
    assert [files.is_good(file) for file in committed] == [False, False, True, True, True, True]
    assert told[-1][0] == told[-1][1] == sum(file.bytes_count for file in committed)
    assert not list(files.check(committed[2:]))
    assert files.count == 5
    assert missing_file(gone).check == "MissingFileError"


def test_right_digest_with_another_length_is_changed(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    file = min(builder.live.by_name.values())
    other = CommittedFile(file.named, file.bytes_count + 1, file.sha256)
    files = CommittedFiles(tmp_path / "log", Workers(1))
    assert checks(list(files.check([other]))) == [("DigestError", file.named.path)]


def make_blobs(root: Path, *contents: bytes) -> tuple[Blobs, LogBuilder]:
    builder = LogBuilder(root)
    for content in contents:
        builder.layout.blob(hashlib.sha256(content).digest()).write_bytes(content)
    blobs = Blobs(builder.layout, Workers(1))
    blobs.read()
    return blobs, builder


def reference(content: bytes, *, index: int = 3, length: int | None = None) -> BlobReference:
    sha256 = hashlib.sha256(content).digest()
    return BlobReference(index, sha256, len(content) if length is None else length)


def test_blob_that_entries_name_is_checked_once(tmp_path: Path) -> None:
    blobs, _ = make_blobs(tmp_path / "log", b"one")
    assert not list(blobs.check([reference(b"one"), reference(b"one", index=4)]))
    missing = list(blobs.check([reference(b"two"), reference(b"two", index=4)]))
    assert [one.check for one in missing] == ["MissingFileError"]
    assert missing[0].facts["leaf_index"] == 3


def test_changed_blob_is_tampered_only_when_an_entry_names_it(tmp_path: Path) -> None:
    blobs, builder = make_blobs(tmp_path / "log", b"one", b"two", b"three")
    for content in (b"one", b"two"):
        builder.layout.blob(hashlib.sha256(content).digest()).write_bytes(b"torn")
    blobs.read()
    assert [one.check for one in blobs.check([reference(b"one")])] == ["DigestError"]
    rest = list(blobs.finish(is_whole=True))
    assert sorted(one.check for one in rest) == ["torn-blob", "unnamed-file"]
    assert not list(blobs.finish(is_whole=False))


def test_blob_of_another_length_than_its_entry_says_is_the_entrys_fault(tmp_path: Path) -> None:
    blobs, _ = make_blobs(tmp_path / "log", b"one")
    found = list(blobs.check([reference(b"one", length=4)]))
    assert checks(found) == [("EventError", "entry 3")]


def test_blob_that_was_written_after_the_folder_was_listed_is_found(tmp_path: Path) -> None:
    blobs, builder = make_blobs(tmp_path / "log")
    builder.layout.blob(hashlib.sha256(b"late").digest()).write_bytes(b"late")
    assert not list(blobs.check([reference(b"late")]))


def test_files_that_nothing_names_are_explained_or_noted(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    root = tmp_path / "log"
    (root / "segments" / "junk").write_bytes(b"")
    (root / "tiles" / "000000000016-000000000017.tiles").write_bytes(b"")
    (root / "notes.txt").write_bytes(b"")
    (root / "run").mkdir()
    (root / "run" / "up.json").write_bytes(b"{}")
    (root / "format.toml.tmp").write_bytes(b"")
    found = checks(list(unnamed_files(builder.layout, builder.live.by_name)))
    assert ("unknown-file", "segments/junk") in found
    assert ("unnamed-file", "tiles/000000000016-000000000017.tiles") in found
    assert ("unknown-file", "notes.txt") in found
    assert ("temporary-file", "format.toml.tmp") in found
    assert len(found) == 4 + 4  # two superseded pairs besides
    assert stranger("a.tmp").check == "temporary-file"
