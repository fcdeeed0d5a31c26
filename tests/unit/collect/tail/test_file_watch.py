from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.tail.file_watch import AWAY_NS
from meshtrail.model.entry import EntryType
from tests.collect_rig import check_streams
from tests.tail_rig import SECOND_NS, OneFileRig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AWAY_SECONDS = AWAY_NS // SECOND_NS


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[OneFileRig]:
    made = OneFileRig(tmp_path)
    yield made
    made.close()


def test_a_file_that_appears_is_read_from_its_beginning(scene: OneFileRig) -> None:
    scene.turn()
    assert scene.lines() == []
    scene.append(b"one\ntwo\nthr")
    scene.turn()
    scene.append(b"ee\n")
    scene.turn()
    assert scene.lines() == [b"one", b"two", b"three"]
    assert scene.gaps() == []


def test_a_renamed_file_is_read_to_its_end_before_it_is_closed(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.append(b"two\n")
    scene.path.rename(scene.beside("a.log.1"))
    scene.append(b"new one\n")
    scene.turn()
    scene.append(b"three\n", scene.beside("a.log.1"))
    scene.turn()
    assert sorted(scene.lines()) == [b"new one", b"one", b"three", b"two"]
    counts = []
    for seconds in (AWAY_SECONDS - 1, 2):
        scene.turn(seconds)
        counts.append(len(scene.watch.open_files))
    assert counts == [2, 1]
    check_streams(scene.entries())
    closings = [e.json for e in scene.entries() if e.entry_type is EntryType.STREAM_CLOSED]
    assert [closed["reason"] for closed in closings] == ["ended"]
    assert scene.gaps() == []


def test_the_last_line_of_a_rotated_file_needs_no_line_feed(scene: OneFileRig) -> None:
    scene.append(b"one\ntw")
    scene.turn()
    scene.path.rename(scene.beside("a.log.1"))
    scene.turn()
    scene.append(b"o", scene.beside("a.log.1"))
    scene.turn(AWAY_SECONDS - 1)
    scene.turn(2)
    assert scene.lines() == [b"one"]
    scene.turn(AWAY_SECONDS)
    assert scene.lines() == [b"one", b"two"]


def test_a_file_that_was_removed_is_read_to_its_end_by_its_handle(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.append(b"two\n")
    scene.path.unlink()
    scene.turn()
    assert scene.lines() == [b"one", b"two"]
    scene.turn(AWAY_SECONDS)
    assert (scene.watch.open_files, scene.positions(), scene.gaps()) == ((), (), [])


def test_a_rotated_file_is_remembered_while_it_is_there_and_then_forgotten(
    scene: OneFileRig,
) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.path.rename(scene.beside("a.log.1"))
    scene.append(b"two\n")
    scene.turn()
    scene.turn(AWAY_SECONDS)
    states = [position.state.value for position in scene.positions()]
    assert sorted(states) == ["ended", "open"]
    scene.crash()
    scene.turn()
    assert scene.lines() == [b"one", b"two"]
    scene.beside("a.log.1").unlink()
    for _ in range(8):
        scene.turn(11)
    assert [position.state.value for position in scene.positions()] == ["open"]
    assert scene.gaps() == []


def test_a_file_that_is_written_to_after_its_end_is_read_on(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.path.rename(scene.beside("a.log.1"))
    scene.turn()
    scene.turn(AWAY_SECONDS)
    scene.append(b"late\n", scene.beside("a.log.1"))
    scene.turn(11)
    assert scene.lines() == [b"one", b"late"]


def test_lines_from_before_a_rotation_while_nobody_looked_are_read(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.watch.close()
    scene.append(b"two\n")
    scene.path.rename(scene.beside("a-20261122.log"))
    scene.append(b"three\n")
    scene.path.rename(scene.beside("a.log.1"))
    scene.append(b"four\n")
    scene.crash()
    scene.turn()
    assert sorted(scene.lines()) == [b"four", b"one", b"three", b"two"]
    assert scene.gaps() == []
    check_streams(scene.entries())


def test_a_rotated_file_that_was_read_ends_in_spite_of_many_restarts(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.path.rename(scene.beside("a.log.1"))
    scene.append(b"two\n")
    for _ in range(5):
        scene.turn(AWAY_SECONDS // 4)
        scene.crash()
    assert sorted(position.state.value for position in scene.positions()) == ["ended", "open"]
    scene.beside("a.log.1").unlink()
    for _ in range(8):
        scene.turn(11)
    assert (scene.lines(), scene.gaps()) == ([b"one", b"two"], [])


def test_what_lay_beside_a_path_before_it_was_first_seen_is_not_read(scene: OneFileRig) -> None:
    scene.append(b"older\n", scene.beside("a.log.1"))
    scene.append(b"other\n", scene.beside("b.log.1"))
    scene.append(b"one\n")
    scene.turn()
    scene.append(b"late\n", scene.beside("a.log.1"))
    scene.path.rename(scene.beside("a.log.2"))
    scene.append(b"two\n")
    scene.turn()
    scene.crash()
    scene.turn(11)
    assert scene.lines() == [b"one", b"two"]


def test_files_between_two_looks_are_found_beside_the_path(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    for number in range(3):
        scene.path.rename(scene.beside(f"a.log.{number}"))
        scene.append(b"%d\n" % number)
    scene.turn()
    assert sorted(scene.lines()) == [b"0", b"1", b"2", b"one"]


def test_the_copy_that_is_made_before_truncating_is_not_read(scene: OneFileRig) -> None:
    line = b"x" * 70 + b"\n"
    scene.append(line)
    scene.turn()
    scene.beside("a.log.1").write_bytes(scene.path.read_bytes())
    os.truncate(scene.path, 0)
    scene.append(b"after\n")
    scene.turn()
    scene.path.rename(scene.beside("a.log.2"))
    scene.append(b"anew\n")
    scene.turn()
    scene.crash()
    scene.turn()
    assert scene.lines() == [line[:-1], b"after", b"anew"]
    assert scene.gaps() == ["truncated"]


def test_a_file_that_was_truncated_while_nobody_looked_has_a_gap(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.clock.advance(SECOND_NS)
    scene.path.write_bytes(b"eins\n")
    scene.crash()
    scene.turn()
    assert scene.lines() == [b"one", b"eins"]
    (gap,) = [entry.json for entry in scene.entries() if entry.entry_type is EntryType.GAP]
    assert (gap["cause"], gap["missing_min"], gap["missing_max"]) == ("truncated", 0, None)
    assert gap["until_ns"] - gap["from_ns"] >= SECOND_NS


def test_a_file_that_is_gone_after_a_restart_is_waited_for_and_then_a_gap(
    scene: OneFileRig,
) -> None:
    scene.append(b"one\n")
    scene.turn()
    away = scene.path.parent.rename(scene.path.parent.with_name("unmounted"))
    scene.crash()
    scene.turn()
    # Mounted late: nothing is lost, nothing comes twice.
    away.rename(scene.path.parent)
    scene.turn()
    assert (scene.lines(), scene.gaps()) == ([b"one"], [])
    scene.path.unlink()
    scene.crash()
    for _ in range(8):
        scene.turn(11)
    assert scene.gaps() == ["vanished"]
    assert scene.positions() == ()


def test_another_file_with_the_inode_of_one_that_ended_is_read(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    scene.path.rename(scene.beside("a.log.1"))
    scene.turn()
    scene.turn(AWAY_SECONDS)
    # As a new file would look that got the inode of the old.
    scene.beside("a.log.1").write_bytes(b"another\n")
    scene.beside("a.log.1").rename(scene.path)
    scene.turn()
    assert scene.lines() == [b"one", b"another"]
    assert scene.gaps() == []


def test_a_disk_with_another_number_changes_nothing(
    scene: OneFileRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.append(b"one\n")
    scene.turn()
    fstat, stat = os.fstat, os.stat

    def moved(found: os.stat_result) -> os.stat_result:
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:]))

    scene.append(b"two\n")
    scene.crash()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda fd: moved(fstat(fd)))
        patch.setattr(os, "stat", lambda path: moved(stat(path)))
        scene.look()
        while scene.read_one():
            pass
    scene.commit()
    assert scene.lines() == [b"one", b"two"]
    assert len(scene.positions()) == 1
