"""The checker that lies in a bundle: zip files and folders that are not exactly a bundle."""

from __future__ import annotations

import io
import json
import os
import warnings
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.small_bundles import (
    CHOSEN,
    GOOD,
    MALFORMED,
    NOT_PROVEN,
    PROVEN,
    check_files,
    check_zip,
    pack,
    run_check,
    unpack,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name",
    [
        "/checkpoint",
        "../checkpoint",
        "entries/../checkpoint",
        "./checkpoint",
        "CHECKPOINT",
        "checkpoint ",
        "checkpoint\n",
        "notes.txt",
        ".DS_Store",
        "__pycache__/check.pyc",
        "json.py",
        "entries/6",
        "entries/06.entry",
        "entries/+6.entry",
        "entries/６.entry",
        "entries/-1.entry",
        "entries/6.entry\n",
        "entries/6.tlog-proof",
        "entries\\6.entry",
        "proofs/6.entry",
        "proofs/10000000000000000000000.tlog-proof",
        "elsewhere/",
        "entries/6.entry/",
    ],
)
def test_zip_with_any_other_name_is_malformed(name: str) -> None:
    status, out = check_files({**GOOD, name: b""})
    assert status == MALFORMED
    assert "name of a file of a bundle" in out


@pytest.mark.parametrize("name", sorted(GOOD))
def test_zip_with_two_files_of_one_name_is_malformed(name: str) -> None:
    for second in (GOOD[name], b""):
        status, out = check_zip(pack([*GOOD.items(), (name, second)]))
        assert status == MALFORMED
        assert "is there twice" in out


def test_zip_that_hides_bytes_in_a_folder_is_malformed() -> None:
    status, out = check_files({"entries/": b"hidden", **GOOD})
    assert status == MALFORMED
    assert "'entries/' is not the name" in out


def test_zip_name_that_goes_on_after_a_zero_byte_is_malformed() -> None:
    data = pack({**GOOD, "checkpointXevil": b""}).replace(b"checkpointXevil", b"checkpoint\0evil")
    status, out = check_zip(data)
    assert status == MALFORMED
    assert r"'checkpoint\x00evil' is not the name" in out


@pytest.mark.parametrize(
    ("name", "bytes_max"),
    [
        ("README.txt", 1 << 20),
        ("check.py", 1 << 20),
        ("checkpoint", 1_000_000),
        ("log.vkey", 4096),
        ("entries/6.entry", 65_535),
        ("proofs/6.tlog-proof", 1 << 20),
    ],
)
def test_file_over_its_size_is_malformed(name: str, bytes_max: int) -> None:
    limited = f"{name} has more than {bytes_max} bytes"
    assert limited not in check_files({**GOOD, name: bytes(bytes_max)})[1]
    status, out = check_files({**GOOD, name: bytes(bytes_max + 1)})
    assert status == MALFORMED
    assert limited in out


def test_zip_that_claims_more_than_512_mib_is_malformed_before_it_is_unpacked() -> None:
    data = bytearray(pack(GOOD))
    start = 0
    for _ in range(3):
        start = data.index(b"PK\x01\x02", start) + 4
        data[start + 20 : start + 24] = (200 << 20).to_bytes(4, "little")
    status, out = check_zip(bytes(data))
    assert status == MALFORMED
    assert "512 MiB" in out


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        bytes(1000),
        pack({}),
        pack(GOOD)[:-1],
        pack(GOOD)[:-22],
        pack(GOOD)[1:],
        b"X" + pack(GOOD),
        pack(GOOD) + b"X",
        pack(GOOD) + pack({"README.txt": b""}),
        pack({"README.txt": b"another archive"}) + pack(GOOD),
    ],
    ids=range(11),
)
def test_file_that_is_not_exactly_one_zip_is_malformed(data: bytes) -> None:
    assert check_zip(data)[0] == MALFORMED


def test_zip_with_a_comment_is_malformed() -> None:
    buffer = io.BytesIO(pack(GOOD))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"comment"
    assert check_zip(buffer.getvalue())[0] == MALFORMED


def test_encrypted_zip_is_malformed() -> None:
    data = bytearray(pack(GOOD))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert check_zip(bytes(data))[0] == MALFORMED


def test_bundle_that_is_not_there_is_malformed(tmp_path: Path) -> None:
    assert run_check(str(tmp_path / "none.zip"))[0] == MALFORMED
    assert run_check(str(tmp_path))[0] == MALFORMED


def test_folder_is_held_to_the_same_names(tmp_path: Path) -> None:
    root = unpack(GOOD, tmp_path / "bundle")
    assert run_check(str(root))[0] == PROVEN
    for name in ("notes.txt", "entries/notes.txt", "entries/06.entry"):
        (root / name).write_bytes(b"")
        status, out = run_check(str(root))
        assert (status, "name of a file of a bundle" in out) == (MALFORMED, True)
        (root / name).unlink()
    for name in ("more", "entries/more", "entries/entries"):
        (root / name).mkdir()
        assert run_check(str(root))[0] == MALFORMED
        (root / name).rmdir()
    assert run_check(str(root))[0] == PROVEN


def test_folder_with_a_symbolic_link_is_malformed(tmp_path: Path) -> None:
    for name in ("checkpoint", "entries", "entries/6.entry"):
        root = unpack(GOOD, tmp_path / name.replace("/", "-"))
        (root / name).rename(tmp_path / "elsewhere")
        (root / name).symlink_to(tmp_path / "elsewhere")
        status, out = run_check(str(root))
        assert (status, "not a regular file" in out) == (MALFORMED, True)
        (tmp_path / "elsewhere").rename(tmp_path / f"{root.name}-elsewhere")


def test_folder_with_a_pipe_is_malformed_and_not_waited_for(tmp_path: Path) -> None:
    root = unpack(GOOD, tmp_path)
    (root / "README.txt").unlink()
    os.mkfifo(root / "README.txt")
    status, out = run_check(str(root))
    assert (status, "not a regular file" in out) == (MALFORMED, True)


GOOD_ZIP = pack(GOOD)
CONTENTS_END = GOOD_ZIP.rindex(b"PK\x01\x02")


@settings(deadline=None)
@given(
    position=st.integers(0, len(GOOD_ZIP) - 1) | st.integers(CONTENTS_END - 500, len(GOOD_ZIP) - 1),
    byte=st.integers(0, 255),
    removed=st.integers(0, 2),
    added=st.binary(max_size=2),
)
def test_mutated_zip_is_refused_or_proves_the_same(
    position: int, byte: int, removed: int, added: bytes
) -> None:
    data = bytearray(GOOD_ZIP)
    data[position] = byte
    data[position + 1 : position + 1 + removed] = added
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zipfile says of odd archives
        status, out = check_zip(bytes(data), "--json")
    assert status in (PROVEN, NOT_PROVEN, MALFORMED)
    if status == PROVEN:
        assert [entry["log_index"] for entry in json.loads(out)["entries"]] == list(CHOSEN)
