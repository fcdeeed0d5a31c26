"""What was signed is held against what else was signed; what a crash leaves is explained."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from meshtrail.store.layout import Layout
from meshtrail.verify.history import PUBLISHED, History, read_history
from meshtrail.verify.manifests import read_chain
from meshtrail.verify.snapshot import take_snapshot
from meshtrail.verify.workers import Workers
from tests.log_builder import (
    EntryWriter,
    LogBuilder,
    build_small_log,
    http_record,
    make_signer,
)

if TYPE_CHECKING:
    from pathlib import Path

VERIFIER = make_signer().verifier


def read(root: Path, lock_record: Path | None = None) -> History:
    snapshot = take_snapshot(Layout(root), lock_record=lock_record)
    chain = read_chain(snapshot.manifests, VERIFIER)
    return read_history(snapshot, chain, verifier=VERIFIER, workers=Workers(1))


def checks(history: History) -> list[tuple[str, str]]:
    return [(one.check, one.subject) for one in history.findings]


@pytest.fixture
def builder(tmp_path: Path) -> LogBuilder:
    return build_small_log(tmp_path / "log", lock_record=tmp_path / "lock")


def seal_files(builder: LogBuilder, *, now_ns: int) -> None:
    """A tick up to its manifest."""
    seq = 7 + builder.frontier.size - 16
    writer = EntryWriter(now_ns=now_ns, next_seq={22: seq})
    files = builder.write_files([writer.record(22, http_record(1))], blobs={})
    builder.commit_manifest(files, ())


def append_checkpoint_only(builder: LogBuilder) -> None:
    (day,) = builder.layout.checkpoints.iterdir()
    with day.open("ab") as file:
        file.write(builder.checkpoint())


def test_honest_history_is_clean(builder: LogBuilder, tmp_path: Path) -> None:
    history = read(tmp_path / "log", tmp_path / "lock")
    assert checks(history) == []
    assert (history.checkpoints_count, history.lock_heads_count) == (5, 5)
    assert history.published is not None
    assert history.published.tree_size == 16
    assert [head.tree_size for head in history.heads.ordered()] == [0, 6, 11, 13, 16]
    assert builder.number == 6


def test_one_commit_under_way_is_explained_and_two_are_a_rollback(
    builder: LogBuilder, tmp_path: Path
) -> None:
    root = tmp_path / "log"
    seal_files(builder, now_ns=1_700_000_001_000_000_000)
    assert checks(read(root)) == [("manifest-ahead", "manifest/000000000006")]
    seal_files(builder, now_ns=1_700_000_002_000_000_000)
    assert checks(read(root)) == [("RollbackError", "checkpoint 18")]


def test_one_unpublished_checkpoint_is_explained_and_two_are_a_rollback(
    builder: LogBuilder, tmp_path: Path
) -> None:
    root = tmp_path / "log"
    seal_files(builder, now_ns=1_700_000_001_000_000_000)
    append_checkpoint_only(builder)
    assert checks(read(root)) == [("unpublished-checkpoint", PUBLISHED)]
    seal_files(builder, now_ns=1_700_000_002_000_000_000)
    assert checks(read(root))[-1] == ("RollbackError", PUBLISHED)
    append_checkpoint_only(builder)
    assert checks(read(root)) == [("RollbackError", PUBLISHED)]


def test_first_checkpoint_may_be_unpublished(tmp_path: Path) -> None:
    builder = LogBuilder(tmp_path / "log")
    builder.layout.published.unlink()
    assert checks(read(tmp_path / "log")) == []
    (day,) = builder.layout.checkpoints.iterdir()
    day.unlink()
    assert checks(read(tmp_path / "log")) == [("manifest-ahead", "manifest/000000000000")]


def test_every_cut_of_the_last_checkpoint_is_torn_while_it_is_not_published(
    builder: LogBuilder, tmp_path: Path
) -> None:
    root = tmp_path / "log"
    seal_files(builder, now_ns=1_700_000_001_000_000_000)
    (day,) = builder.layout.checkpoints.iterdir()
    whole = day.read_bytes()
    note = builder.checkpoint()
    for length in range(1, len(note)):
        day.write_bytes(whole + note[:length])
        assert checks(read(root)) == [
            ("torn-checkpoint", f"checkpoints/2023-11-14 at byte {len(whole)}"),
            ("manifest-ahead", "manifest/000000000006"),
        ]
        day.write_bytes(whole + bytes([note[0] ^ 1]) + note[1:length])
        assert checks(read(root))[0][0] == "SignatureError"


def test_torn_checkpoint_in_an_earlier_day_is_no_crash(builder: LogBuilder, tmp_path: Path) -> None:
    (day,) = builder.layout.checkpoints.iterdir()
    data = day.read_bytes()
    day.write_bytes(data[:-20])
    (day.parent / "2023-11-15").write_bytes(builder.checkpoint())
    found = checks(read(tmp_path / "log"))
    assert [check for check, _ in found] == ["SignatureError"]


def test_lock_record_that_is_ahead_is_a_rollback(builder: LogBuilder, tmp_path: Path) -> None:
    older = LogBuilder(tmp_path / "older")
    assert older.frontier.size == 0
    found = checks(read(tmp_path / "older", tmp_path / "lock"))
    assert found == [("RollbackError", f"checkpoint {size}") for size in (6, 11, 13, 16)]
    assert builder.frontier.size == 16


def test_lock_record_of_a_commit_under_way_is_no_fault(builder: LogBuilder, tmp_path: Path) -> None:
    seal_files(builder, now_ns=1_700_000_001_000_000_000)
    with (tmp_path / "lock").open("ab") as file:
        file.write(builder.checkpoint())
    found = checks(read(tmp_path / "log", tmp_path / "lock"))
    assert found == [("manifest-ahead", "manifest/000000000006")]


def test_head_of_the_lock_record_that_checkpoints_lack_is_missing(
    builder: LogBuilder, tmp_path: Path
) -> None:
    builder.layout.manifests.joinpath("000000000002").unlink()
    (day,) = builder.layout.checkpoints.iterdir()
    notes = day.read_bytes().split(b"test/one/0a1b2c3d\n11\n")
    end = notes[1].index(b"test/one/0a1b2c3d\n13\n")
    day.write_bytes(notes[0] + notes[1][end:])
    found = checks(read(tmp_path / "log", tmp_path / "lock"))
    assert ("MissingFileError", "checkpoint 11") in found


@pytest.mark.parametrize(
    ("data", "check"), [(b"no record\n", "SignatureError"), (None, "torn-checkpoint")]
)
def test_lock_record_that_is_damaged_is_told_from_a_torn_one(
    builder: LogBuilder, tmp_path: Path, data: bytes | None, check: str
) -> None:
    record = tmp_path / "lock"
    record.write_bytes(data if data is not None else record.read_bytes() + b"test/one")
    assert [found for found, _ in checks(read(tmp_path / "log", record))] == [check]
    assert builder.frontier.size == 16


@pytest.mark.parametrize("torn", [b"test/one", bytes(200)])
def test_lock_record_that_tore_at_its_first_head_is_no_fault(tmp_path: Path, torn: bytes) -> None:
    log, record = tmp_path / "log", tmp_path / "lock"
    build_small_log(log, lock_record=record)
    record.write_bytes(torn)
    assert [found for found, _ in checks(read(log, record))] == ["SignatureError"]
    # As before the first checkpoint: the record comes before it in the commit.
    shutil.rmtree(log / "checkpoints")
    (log / "checkpoints").mkdir()
    (log / "published" / "checkpoint").unlink()
    assert "SignatureError" not in [found for found, _ in checks(read(log, record))]
