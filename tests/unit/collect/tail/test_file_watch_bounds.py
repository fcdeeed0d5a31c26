"""How many files, whose turn it is, and what cannot be opened."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.tail import file_watch, tailed_file
from meshtrail.collect.tail.file_watch import AWAY_NS
from meshtrail.model.entry import EntryType
from tests.tail_rig import SECOND_NS, OneFileRig, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AWAY_SECONDS = AWAY_NS // SECOND_NS


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[OneFileRig]:
    made = OneFileRig(tmp_path)
    yield made
    made.close()


def test_files_are_read_in_turn(scene: OneFileRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailed_file, "FRAME_BYTES_MAX", 10)
    scene.tails = (tail_of(scene.path.with_name("*.log")),)
    scene.crash()
    scene.append(b"aaaaaaaa\n" * 3)
    scene.append(b"bbbbbbbb\n" * 3, scene.beside("b.log"))
    scene.turn()
    assert scene.lines() == [b"aaaaaaaa", b"bbbbbbbb"] * 3


def test_a_file_of_two_tails_is_read_once_as_the_first_says(scene: OneFileRig) -> None:
    scene.beside("link.log").symlink_to(scene.path)
    scene.tails = (
        tail_of(scene.beside("link.log"), format="ztunnel"),
        tail_of(scene.path.with_name("*.log")),
    )
    scene.crash()
    scene.append(b"one\n")
    scene.turn()
    (opened,) = [e.json for e in scene.entries() if e.entry_type is EntryType.STREAM_OPENED]
    assert (opened["service"], opened["claimed"]["log_name"]) == (
        "ztunnel", str(scene.beside("link.log")),
    )  # fmt: skip
    assert opened["detail"].endswith(f", which is {scene.path}")
    assert scene.lines() == [b"one"]


def test_the_target_of_a_link_is_followed_through_its_rotation(scene: OneFileRig) -> None:
    # As Kubernetes has it: the link stays, its target is renamed and made anew.
    link = scene.path.parent.parent / "pod.log"
    link.symlink_to(scene.path)
    scene.tails = (tail_of(link),)
    scene.crash()
    scene.append(b"one\n")
    scene.turn()
    scene.append(b"two\n")
    scene.path.rename(scene.beside("a.log.20261122-010203"))
    scene.append(b"three\n")
    scene.crash()
    scene.turn()
    assert sorted(scene.lines()) == [b"one", b"three", b"two"]
    assert scene.gaps() == []


def test_more_files_than_may_be_open_wait_with_an_alarm(tmp_path: Path) -> None:
    scene = OneFileRig(tmp_path, files_max=2)
    scene.tails = (tail_of(scene.path.with_name("*.log")),)
    scene.crash()
    for name in "abc":
        scene.append(name.encode() + b"\n", scene.beside(f"{name}.log"))
    scene.turn()
    assert scene.alarms() == [("tail_files_overflowed", str(scene.beside("c.log")))]
    assert sorted(scene.lines()) == [b"a", b"b"]
    scene.beside("a.log").unlink()
    scene.turn()
    scene.turn(AWAY_SECONDS)
    scene.turn()
    assert sorted(scene.lines()) == [b"a", b"b", b"c"]
    assert scene.alarms() == []
    scene.close()


def test_files_that_cannot_be_remembered_stay_open_until_others_are_gone(tmp_path: Path) -> None:
    scene = OneFileRig(tmp_path, files_max=3)
    wanted = []
    for number in range(14):
        scene.append(b"%d\n" % number)
        wanted.append(b"%d" % number)
        scene.turn()
        scene.path.rename(scene.beside(f"a.log.{number}"))
        scene.turn(AWAY_SECONDS + 1)
        scene.turn(AWAY_SECONDS + 1)
    scene.append(b"last\n")
    scene.turn()
    assert scene.alarms() == [("tail_files_overflowed", str(scene.path))]
    assert len(scene.positions()) == 4 * 3 + 3
    scene.crash()
    scene.turn()
    for number in range(9):
        scene.beside(f"a.log.{number}").unlink()
    for _ in range(12):
        scene.turn(11)
    assert scene.lines() == [*wanted, b"last"]
    assert (scene.gaps(), scene.alarms()) == ([], [])
    scene.close()


def test_a_file_that_may_not_be_opened_is_an_alarm_and_tried_again(
    scene: OneFileRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.append(b"one\n")
    real = os.open

    def refuse(path: str, flags: int) -> int:
        if path == str(scene.path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, flags)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        scene.take_all()
        assert scene.alarms() == [("tail_file_refused", str(scene.path))]
    scene.turn()
    assert scene.alarms() == []
    assert scene.lines() == [b"one"]


def test_a_file_that_cannot_be_read_is_an_alarm_and_tried_again(
    scene: OneFileRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.append(b"one\n")
    scene.look()

    def refuse(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", refuse)
        assert not scene.read_one()
        assert scene.alarms() == [("tail_file_refused", str(scene.path))]
    scene.turn()
    assert scene.lines() == [b"one"]


def test_a_path_is_missing_only_after_a_while(scene: OneFileRig) -> None:
    scene.turn()
    scene.turn(4)
    assert scene.alarms() == []
    scene.turn(2)
    assert scene.alarms() == [("tail_file_missing", str(scene.path))]
    scene.append(b"one\n")
    scene.turn()
    assert scene.alarms() == []


def test_positions_are_as_many_as_files_and_those_beside_them(scene: OneFileRig) -> None:
    for number in range(40):
        scene.append(b"%d\n" % number)
        scene.turn(1)
        scene.path.rename(scene.beside(f"a.log.{number}"))
        (scene.beside(f"a.log.{number - 3}")).unlink(missing_ok=True)
    for _ in range(20):
        scene.turn(11)
    assert len(scene.positions()) == 3
    assert scene.lines() == [b"%d" % number for number in range(40)]


def test_what_no_tail_names_any_more_is_kept_for_when_one_does(scene: OneFileRig) -> None:
    scene.append(b"one\n")
    scene.turn()
    tails, scene.tails = scene.tails, (tail_of(scene.beside("b.log")),)
    scene.crash()
    scene.turn()
    scene.append(b"two\n")
    scene.tails = tails
    scene.crash()
    scene.turn()
    assert scene.lines() == [b"one", b"two"]
    assert scene.gaps() == []


def test_a_file_that_is_lost_as_soon_as_it_is_open_ends_nothing(
    scene: OneFileRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    scene.append(b"one\n")
    with monkeypatch.context() as patch:
        patch.setattr(file_watch, "TailedFile", lose)
        scene.turn()
    assert scene.alarms() == [(file_watch.REFUSED_EVENT, str(scene.path))]
    scene.turn()
    assert scene.lines() == [b"one"]
