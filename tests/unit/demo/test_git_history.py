from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from meshtrail.demo.git_history import Commit, format_git_log
from meshtrail.sources.delivery.git_cut import cut_git_log
from meshtrail.sources.delivery.git_log import read_git_log

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Commit(author="Ann <a@x>", at_s=5, subject="One", changes=(("A", "x"), ("M", "y z")))
SECOND = Commit(author="Ann <a@x>", at_s=9, subject="Two", changes=(("M", "x"),), parent=FIRST.id)


def test_what_is_written_reads_as_what_git_prints() -> None:
    records = cut_git_log(format_git_log([SECOND, FIRST]))
    columns = [read_git_log(record).columns for record in records]
    assert [one["commit_id"] for one in columns] == [SECOND.id, FIRST.id]
    assert [one["actor"] for one in columns] == ["Ann <a@x>"] * 2
    assert [one["time"] for one in columns] == [9_000_000_000, 5_000_000_000]
    # The ids are the hashes of what stands there.
    assert all('"id_fits":true' in one["detail"] for one in columns)
    assert '"paths_count":2' in columns[1]["detail"]


def test_ids_are_those_that_git_gives(tmp_path: Path) -> None:
    def git(*words: str, text: bytes = b"") -> str:
        command = ["git", "-C", str(tmp_path), *words]
        return subprocess.run(command, input=text, check=True, capture_output=True).stdout.decode()

    git("init", "-q")
    stored = FIRST.headers + b"\n" + FIRST.subject.encode() + b"\n"
    hashed = git("hash-object", "-t", "commit", "--literally", "--stdin", text=stored)
    assert hashed.strip() == FIRST.id
