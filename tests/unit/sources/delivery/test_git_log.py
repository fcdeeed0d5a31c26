from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.delivery.git_cut import cut_git_log
from meshtrail.sources.delivery.git_log import PATHS_COUNT_MAX, read_git_log
from tests.git_repository import IDENTITY, GitRepository

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.sources.record_rows import RecordRow


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "repository")
    made.commit("first", a="1\n2\n3\n")
    return made


def last(repository: GitRepository) -> RecordRow:
    return read_git_log(cut_git_log(repository.log("-1"))[0])


def detail_of(row: RecordRow) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(row.columns["detail"])
    return said


def test_commit_says_who_wrote_what_and_when(repository: GitRepository) -> None:
    parent = repository.head()
    repository.run("mv", "a", "moved")
    commit = repository.commit("Let orders in\nat last\n\nand a body", policy="x")
    row = last(repository)
    assert row.problems == []
    assert detail_of(row) == {
        "author_time_ns": 1_795_334_400_000_000_000,
        "committer": "Carl Committer <carl@shop.example>",
        "parents": [parent],
        "subject": "Let orders in at last",
        "is_signed": False,
        "id_fits": True,
        "paths_count": 2,
        "paths": [
            {"change": "R100", "path": "moved", "from": "a"},
            {"change": "A", "path": "policy"},
        ],
    }
    del row.columns["detail"]
    assert row.columns == {
        "kind": "commit",
        "time": 1_795_334_460_000_000_000,
        "actor": "Ada Author <ada@shop.example>",
        "actor_trust": "asserted",
        "commit_id": commit,
        "commit_ref": "HEAD",
    }


def test_commit_is_found_by_its_branch(repository: GitRepository) -> None:
    (record,) = cut_git_log(repository.log("--all"))
    assert read_git_log(record).columns["commit_ref"] == "main"


def test_merge_names_its_parents_and_what_it_brought_to_the_first(
    repository: GitRepository,
) -> None:
    first = repository.head()
    parents = []
    for branch in ("one", "two"):
        repository.run("checkout", "--quiet", "-b", branch, first)
        parents.append(repository.commit(branch, **{branch: branch}))
    repository.run("checkout", "--quiet", "main")
    parents.insert(0, repository.commit("beside", b="2"))
    repository.run("merge", "--quiet", "--no-edit", "one", "two")
    detail = detail_of(last(repository))
    assert detail["parents"] == parents
    assert [one["path"] for one in detail["paths"]] == ["one", "two"]
    assert detail["id_fits"] is True


def test_every_usual_commit_has_the_id_that_its_content_hashes_to(
    repository: GitRepository,
) -> None:
    for message in ("one line", "two\nlines", "body\n\n- a\n- b", "", "trailing \n\n"):
        (repository.folder / "b").write_text(message)
        repository.run("add", "--all")
        repository.run("commit", "--quiet", "--allow-empty-message", "-m", message)
    rows = [read_git_log(record) for record in cut_git_log(repository.log())]
    assert [detail_of(row).get("id_fits") for row in rows] == [True] * 6


def test_a_changed_commit_no_longer_fits_its_id(repository: GitRepository) -> None:
    (record,) = cut_git_log(repository.log())
    for before, after in [(b"Ada", b"Eve"), (b"first", b"third"), (b"1795334400", b"1795334401")]:
        assert record.count(before) == 1
        assert "id_fits" not in detail_of(read_git_log(record.replace(before, after)))


def test_signature_is_said_and_not_verified(repository: GitRepository) -> None:
    for armour, kind in [("PGP SIGNATURE", "pgp"), ("SSH SIGNATURE", "ssh")]:
        lines = f"gpgsig -----BEGIN {armour}-----\n \n abc\n -----END {armour}-----\n"
        repository.write_commit(b"\nsigned\n", headers=IDENTITY + lines.encode())
        detail = detail_of(last(repository))
        assert (detail["is_signed"], detail["signature"]) == (True, kind)
        assert detail["id_fits"] is True


def test_the_first_of_repeated_headers_counts_as_it_does_for_git(
    repository: GitRepository,
) -> None:
    repository.write_commit(b"\nx\n", headers=IDENTITY + IDENTITY.replace(b"A <a@b>", b"E <e@f>"))
    assert last(repository).columns["actor"] == "A <a@b>"


def test_what_cannot_be_read_is_noted(repository: GitRepository) -> None:
    repository.write_commit(b"\nx\n", headers=b"author \xff <a@b> 1700000000 +0000\ncommitter C\n")
    row = last(repository)
    assert row.columns["actor"] == "\ufffd <a@b>"
    assert row.columns["time"] is None
    assert row.problems == ["text that is not UTF-8", "no committer that git could have written"]
    repository.write_commit(b"\nx\n", headers=IDENTITY.replace(b"1700000060", b"99999999999"))
    assert last(repository).problems == ["committer at an impossible time"]


def test_commit_of_another_encoding_is_told_as_utf8(repository: GitRepository) -> None:
    repository.write_commit(b"\nf\xfcr\n", headers=IDENTITY + b"encoding ISO-8859-1\n")
    row = last(repository)
    assert detail_of(row)["subject"] == "für"
    assert "id_fits" not in detail_of(row)
    assert row.problems == []


def test_many_paths_are_counted_and_some_named(repository: GitRepository) -> None:
    repository.commit("many", **{f"file-{n:04}": "x" for n in range(PATHS_COUNT_MAX + 50)})
    detail = detail_of(last(repository))
    assert detail["paths_count"] == PATHS_COUNT_MAX + 50
    assert [one["path"] for one in detail["paths"][:2]] == ["file-0000", "file-0001"]
    assert len(detail["paths"]) == PATHS_COUNT_MAX


@pytest.mark.parametrize(
    "record", [b"", b"tree x", b"commit x\n", b"\0commit " + b"1" * 40 + b"\n"]
)
def test_what_is_no_commit_is_refused(record: bytes) -> None:
    with pytest.raises(InputError):
        read_git_log(record)


@pytest.mark.parametrize(
    "rest",
    [
        b"parent 1\n" * 500_000,
        b"author " + b" <" * 2_000_000 + b"\n",
        b"author " + b"1" * 4_000_000 + b" +0000\n",
        b"\n\n" + b"    x\n" * 700_000,
        b"\n\nA" + b"\0p\0A" * 1_000_000 + b"\0p",
        b"gpgsig\n" + b" \n" * 2_000_000,
    ],
)
def test_hostile_commits_take_bounded_time_and_room(rest: bytes) -> None:
    began = time.process_time()
    row = read_git_log(b"commit " + b"1" * 40 + b"\n" + rest)
    assert time.process_time() - began < 5
    assert len(json.dumps(row.columns)) < 100_000
