from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.delivery.git_cut import cut_git_log, find_changes, split_changes
from tests.git_repository import IDENTITY, GitRepository

if TYPE_CHECKING:
    from pathlib import Path

FORGED = (
    "commit 1111111111111111111111111111111111111111\n"
    "tree 2222222222222222222222222222222222222222\n"
    "author Root <root@shop.example> 1700000000 +0000\n"
    "committer Root <root@shop.example> 1700000000 +0000\n"
    "\n    forged\n"
)


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    made = GitRepository(tmp_path / "repository")
    made.commit("first", a="1")
    return made


def cut_ids(body: bytes) -> list[str]:
    return sorted(record[7:47].decode() for record in cut_git_log(body))


def check_whole(repository: GitRepository) -> None:
    """Every commit is a record, and records are the bytes of the log but for what divides them."""
    body = repository.log()
    records = cut_git_log(body)
    assert sorted(record[7:47].decode() for record in records) == repository.ids()
    assert [body.count(record) for record in records] == [1] * len(records)
    left = body
    for record in records:
        left = left.replace(record, b"", 1)
    assert set(left) <= {0}


def test_merges_empty_commits_and_renames_are_a_record_each(repository: GitRepository) -> None:
    for branch in ("one", "two", "three"):
        repository.run("checkout", "--quiet", "-b", branch, "main")
        repository.commit(f"on {branch}", **{branch: branch})
    repository.run("checkout", "--quiet", "main")
    repository.commit("beside", b="2")
    repository.run("merge", "--quiet", "--no-edit", "one", "two", "three")
    repository.commit("")
    repository.run("mv", "a", "moved")
    repository.commit("renamed")
    check_whole(repository)


@pytest.mark.parametrize(
    "message",
    [
        FORGED,
        f"subject\n\n{FORGED}",
        f"subject\n\n\n\n{FORGED}\n\n",
        "A\tpath",
        "subject\n\nM\n\nD",
        "\x1b[31mred\r\nM\tpath\r\ncommit " + "1" * 40,
        "\u2028commit\x0b\x0c\x1c" + "1" * 40,
        "    indented\n        twice\n\ttabbed",
        " \n \n",
        "commit " + "1" * 40,
    ],
)
def test_messages_cannot_begin_a_commit(repository: GitRepository, message: str) -> None:
    repository.commit(message, b="2")
    repository.commit(message)
    check_whole(repository)


@pytest.mark.parametrize(
    "headers",
    [
        IDENTITY + FORGED.encode().partition(b"\n\n")[0] + b"\n",
        IDENTITY + b"A\n",
        IDENTITY + b"A",
        IDENTITY + b"A\0path\0",
        IDENTITY + b"x\0\0" + FORGED.encode(),
        IDENTITY
        + b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n commit "
        + b"1" * 40
        + b"\n -----END\n",
        IDENTITY + b"encoding ISO-8859-1\n",
        b"author nobody\n",
        b"nothing\n",
    ],
)
@pytest.mark.parametrize("message", [b"", b"\n", b"\nmessage\n", b"\nno line feed", b"\na\0b"])
def test_headers_of_any_kind_cannot_begin_a_commit(
    repository: GitRepository, headers: bytes, message: bytes
) -> None:
    repository.write_commit(message, headers=headers)
    repository.commit("after it", b="2")
    repository.write_commit(message, headers=headers)
    check_whole(repository)


def test_headers_that_forge_a_commit_do_so_where_the_log_is_not_cut_by_nul(
    repository: GitRepository,
) -> None:
    forged = FORGED.encode().partition(b"\n\n")[0] + b"\n"
    repository.write_commit(b"\nmessage\n", headers=IDENTITY + forged)
    plain = repository.run("log", "--format=raw", "--name-status")
    assert plain.count(b"\ncommit 1111") == 1
    with pytest.raises(InputError):
        cut_git_log(plain)


@pytest.mark.parametrize(
    "name", ["with space", "ü", 'quo"te', "tab\tbed", "line\nfeed", FORGED[:150], "A", "-", "\\"]
)
def test_files_of_any_name_stay_within_their_commit(repository: GitRepository, name: str) -> None:
    name = name.replace("/", "_")
    repository.commit("added", **{name: "1"})
    repository.run("mv", "--", name, f"{name} moved")
    repository.commit("renamed")
    repository.run("rm", "--quiet", "--", f"{name} moved")
    repository.commit("gone")
    check_whole(repository)
    changes = [
        list(split_changes(record[find_changes(record.partition(b"\0")[0]) :]))
        for record in cut_git_log(repository.log())
    ]
    path = name.encode()
    assert [change for commit in changes for change in commit] == [
        ("D", path + b" moved", None),
        ("R100", path + b" moved", path),
        ("A", path, None),
        ("A", b"a", None),
    ]


def test_a_repository_of_sha256_is_cut_too(tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "other")
    (repository.folder / ".git").rename(tmp_path / "unused")
    repository.run("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    repository.commit("first", a="1")
    (record,) = cut_git_log(repository.log())
    assert record[7:71].decode() == repository.head()


def test_one_commit_is_the_same_with_and_without_what_divides(repository: GitRepository) -> None:
    assert len(cut_git_log(repository.log("-1"))) == 1
    assert cut_git_log(b"") == []


def test_a_log_that_was_cut_off_is_refused_or_ends_a_line_earlier(
    repository: GitRepository,
) -> None:
    repository.commit("second\n\nwith a body", b="2")
    repository.run("mv", "b", "c")
    repository.commit("third")
    body = repository.log()
    whole = cut_git_log(body)
    for end in range(1, len(body)):
        try:
            records = cut_git_log(body[:end])
        except InputError:
            continue
        # What remains ends where a line or a path does: no later end can be told from a whole log.
        assert body[end - 1 : end] in (b"\n", b"\0") or body[end : end + 1] == b"\0"
        assert records[:-1] == whole[: len(records) - 1]
        assert whole[len(records) - 1].startswith(records[-1])


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        b"commit",
        b"commit " + b"1" * 40,
        b"commit " + b"g" * 40 + b"\n",
        b"commit " + b"1" * 41 + b"\n",
        b"commit " + b"1" * 40 + b" (HEAD -> main)\ntree x\n",
        b"fatal: not a git repository\n",
        b"commit " + b"1" * 40 + b"\nMerge: a b\nAuthor: A\n\n    x\n\n",
        b"commit " + b"1" * 40 + b"\ntree x\n\nZ\0path\0",
        b"commit " + b"1" * 40 + b"\ntree x\n\nR100\0path\0",
        b"commit " + b"1" * 40 + b"\ntree x\n\nA\0\0",
        b"\xef\xbb\xbfcommit " + b"1" * 40 + b"\n",
        b"{}",
    ],
)
def test_what_is_no_such_log_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        cut_git_log(body)


@given(
    st.lists(
        st.sampled_from(
            [b"commit " + b"1" * 40 + b"\ntree x\n", b"\n", b"\0", b"A", b"R1", b"    x"]
        )
    )
)
def test_any_bytes_are_cut_or_refused(words: list[bytes]) -> None:
    body = b"".join(words)
    try:
        records = cut_git_log(body)
    except InputError:
        return
    assert all(record.startswith(b"commit ") for record in records)
    assert sum(map(len, records)) <= len(body)
