"""A snapshot is what a crash could have left, whatever a sealer does meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import UnavailableError
from meshtrail.verify import snapshot as snapshot_module
from meshtrail.verify.snapshot import TRIES_MAX, read_manifests_after, take_snapshot
from tests.log_builder import EntryWriter, LogBuilder, build_small_log, http_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshtrail.store.layout import Layout


def sealing_during(
    monkeypatch: pytest.MonkeyPatch, builder: LogBuilder, *, times: int
) -> list[int]:
    """Let the log seal a tick each time its manifests are read, so many times."""
    writer = EntryWriter(now_ns=1_700_000_001_000_000_000, next_seq={22: 7})
    calls: list[int] = []
    read: Callable[[Layout, int], object] = read_manifests_after

    def seal_and_read(layout: Layout, number: int) -> object:
        manifests = read(layout, number)
        if len(calls) < times:
            calls.append(1)
            builder.seal([writer.record(22, http_record(50 + len(calls)))])
        return manifests

    monkeypatch.setattr(snapshot_module, "read_manifests_after", seal_and_read)
    return calls


def test_snapshot_holds_what_is_signed(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log", lock_record=tmp_path / "lock")
    (builder.layout.manifests / "junk").write_bytes(b"")
    (builder.layout.checkpoints / "2023-11-14.tmp").write_bytes(b"")
    taken = take_snapshot(builder.layout, lock_record=tmp_path / "lock")
    assert taken.published == builder.checkpoint()
    assert [number for number, _ in taken.manifests] == list(range(6))
    assert [day.name for day in taken.days] == ["checkpoints/2023-11-14"]
    assert taken.lock_record is not None
    assert taken.lock_record.read() == (tmp_path / "lock").read_bytes()
    assert taken.strangers == ("checkpoints/2023-11-14.tmp", "manifest/junk")


def test_snapshot_is_taken_again_while_commits_end_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = build_small_log(tmp_path / "log")
    calls = sealing_during(monkeypatch, builder, times=3)
    taken = take_snapshot(builder.layout, lock_record=None)
    assert len(calls) == 3
    assert taken.published == builder.checkpoint()
    assert [number for number, _ in taken.manifests] == list(range(9))


def test_snapshot_gives_up_when_commits_never_let_it_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = LogBuilder(tmp_path / "log")
    flips = iter([b"a", b"b"] * (TRIES_MAX + 1))
    monkeypatch.setattr(snapshot_module, "_read_published", lambda _: next(flips))
    with pytest.raises(UnavailableError, match="changed"):
        take_snapshot(builder.layout, lock_record=None)


def test_day_file_is_read_no_further_than_at_the_moment(tmp_path: Path) -> None:
    builder = build_small_log(tmp_path / "log")
    taken = take_snapshot(builder.layout, lock_record=None)
    before = taken.days[0].read()
    with taken.days[0].path.open("ab") as file:
        file.write(b"later")
    assert taken.days[0].read() == before


def test_manifest_that_is_no_file_is_reported_and_one_removed_at_the_front_is_not(
    tmp_path: Path,
) -> None:
    builder = build_small_log(tmp_path / "log")
    folder = builder.layout.manifests
    (folder / "000000000000").unlink()
    (folder / "000000000003").unlink()
    (folder / "000000000003").mkdir()
    manifests = dict(read_manifests_after(builder.layout, 0))
    assert list(manifests) == [1, 2, 3, 4, 5]
    assert [number for number, data in manifests.items() if data is None] == [3]
