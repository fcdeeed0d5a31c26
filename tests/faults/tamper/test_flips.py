"""Each byte of a log's every file is changed in turn, and the auditor says which file it was."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.store.layout import parse_range_file
from meshtrail.store.manifest import CommittedFile
from meshtrail.verify.files import CommittedFiles
from meshtrail.verify.untrusted import digest_file
from meshtrail.verify.workers import Workers
from tests.faults.tamper.flips import (
    EXPECTED,
    FLIP_BITS,
    READ_WHOLE,
    audit_flipped,
    build_log,
    flips,
    folder_of,
    names_file,
)

if TYPE_CHECKING:
    from tests.log_builder import LogBuilder

STRIDE = 1 if os.environ.get("MESHTRAIL_TAMPER") == "every" else 499
"""Whole audits of changed segments: all 38,000 with MESHTRAIL_TAMPER=every, in five minutes."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> LogBuilder:
    return build_log(tmp_path_factory.mktemp("flips") / "log")


@pytest.mark.parametrize("folder", sorted(EXPECTED))
def test_every_byte_flip_is_found_and_its_file_named(log: LogBuilder, folder: str) -> None:
    root = log.layout.root
    tried = 0
    for flip in flips(root, stride=STRIDE):
        if folder_of(flip.name) == folder:
            error = audit_flipped(root, flip, log)
            assert error is not None, flip
            assert type(error).__name__ in EXPECTED[folder], (flip, error)
            assert names_file(error, flip), (flip, error)
            tried += 1
    assert tried


def test_every_file_of_a_log_is_of_a_kind_that_is_flipped(log: LogBuilder) -> None:
    folders = {folder_of(flip.name) for flip in flips(log.layout.root, stride=1000)}
    assert folders == EXPECTED.keys()


def test_every_byte_flip_of_a_committed_file_fails_its_digest(log: LogBuilder) -> None:
    root = log.layout.root
    files = [root / file.named.path for file in sorted(log.live.by_name.values())]
    assert {path.parent.name for path in files} == READ_WHOLE - {"blobs"}
    # The first segment is one of two that differ in nothing that matters here.
    for path in files[1:]:
        name = path.relative_to(root).as_posix()
        committed = CommittedFile(parse_range_file(name), *digest_file(path, name=name))
        data = bytearray(path.read_bytes())
        for position in range(len(data)):
            data[position] ^= FLIP_BITS
            path.write_bytes(data)
            findings = list(CommittedFiles(root, Workers(1)).check([committed]))
            data[position] ^= FLIP_BITS
            assert [(one.check, one.subject) for one in findings] == [("DigestError", name)]
        path.write_bytes(data)
