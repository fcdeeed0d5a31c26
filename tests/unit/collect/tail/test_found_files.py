from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.tail.found_files import (
    FoundFile,
    find_files,
    is_named_by,
    is_rotated_name,
    list_directory,
)
from tests.tail_rig import tail_of

if TYPE_CHECKING:
    from pathlib import Path


def paths(tail_path: Path) -> list[str]:
    return [
        one.path.rpartition("/")[2]
        for one in find_files(tail_of(tail_path))
        if isinstance(one, FoundFile)
    ]


def test_a_pattern_finds_regular_files_by_name_and_what_links_lead_to(tmp_path: Path) -> None:
    for name in ("b.log", "a.log", "c.txt", "target"):
        (tmp_path / name).write_bytes(b"1\n")
    (tmp_path / "d.log").mkdir()
    os.mkfifo(tmp_path / "e.log")
    (tmp_path / "f.log").symlink_to(tmp_path / "target")
    (tmp_path / "g.log").symlink_to(tmp_path / "nowhere")
    assert paths(tmp_path / "*.log") == ["a.log", "b.log", "f.log"]
    *_, linked = find_files(tail_of(tmp_path / "*.log"))
    assert isinstance(linked, FoundFile)
    assert linked.target == str(tmp_path / "target")
    assert linked.identity.inode == (tmp_path / "target").stat().st_ino


def test_a_path_that_is_missing_is_told_and_a_pattern_that_finds_nothing_is_not(
    tmp_path: Path,
) -> None:
    (error,) = find_files(tail_of(tmp_path / "a.log"))
    assert isinstance(error, FileNotFoundError)
    assert list(find_files(tail_of(tmp_path / "*.log"))) == []
    assert paths(tmp_path) == []


def test_what_may_not_be_looked_at_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.log").touch()

    def refuse(path: str) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "stat", refuse)
    (error,) = find_files(tail_of(tmp_path / "a.log"))
    assert isinstance(error, PermissionError)


def test_a_directory_is_listed_without_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "c").mkdir()
    (tmp_path / "d").symlink_to(tmp_path / "a")
    assert [(one.path, one.size) for one in list_directory(str(tmp_path))] == [
        (str(tmp_path / "a"), 3),
        (str(tmp_path / "b"), 0),
    ]
    assert list_directory(str(tmp_path / "nowhere")) == []
    with pytest.raises(OSError, match="Not a directory"):
        list_directory(str(tmp_path / "a"))


def test_a_pattern_names_paths_part_by_part(tmp_path: Path) -> None:
    tail = tail_of(tmp_path / "*" / "a-*.log")
    assert is_named_by(tail, f"{tmp_path}/x/a-1.log")
    assert not is_named_by(tail, f"{tmp_path}/x/y/a-1.log")
    assert not is_named_by(tail, f"{tmp_path}/a-1.log")
    assert is_named_by(tail_of(tmp_path / "a[1].log"), f"{tmp_path}/a[1].log")


@pytest.mark.parametrize(
    ("name", "target", "is_rotated"),
    [
        ("a.log.1", "a.log", True),
        ("a.log-20261122", "a.log", True),
        ("a.log.old", "a.log", True),
        ("0.log.20261122-010203", "0.log", True),
        ("audit-2026-11-22T01-02-03.004.log", "audit.log", True),
        ("a.1", "a", True),
        ("a.log", "a.log", False),
        ("a.log.1.gz", "a.log", False),
        ("audit-2026-11-22T01-02-03.004.log.zst", "audit.log", False),
        ("a.log.oldest", "a.log", False),
        ("a.log.bak", "a.log", False),
        ("a.log1", "a.log", False),
        ("a1.log", "a.log", False),
        ("a-1.log", "a.log", False),
        ("a-other.log", "a.log", False),
        ("b.log.1", "a.log", False),
        ("a-2026", "a", True),
    ],
)
def test_a_rotated_name_is_the_targets_with_a_number_or_date(
    name: str, target: str, *, is_rotated: bool
) -> None:
    assert is_rotated_name(f"/x/{name}", f"/x/{target}") == is_rotated
