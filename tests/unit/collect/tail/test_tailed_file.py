from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.tail import tailed_file
from meshtrail.collect.tail.parts import Beginning, Gap, Lines, TailCause
from meshtrail.collect.tail.tailed_file import TailedFile
from meshtrail.journal import FileState
from tests.tail_rig import tail_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.collect.tail.parts import Part

NOW = 5
LINE_MAX = 100


class Scene:
    """A file, and whoever reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self.file = self.open()

    def open(self) -> TailedFile:
        return TailedFile(
            os.open(self.path, os.O_RDONLY),
            tail=tail_of(self.path),
            path=str(self.path),
            target=str(self.path),
            line_bytes_max=LINE_MAX,
        )

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def read(self) -> list[Part]:
        """All that there is now."""
        found: list[Part] = []
        self.file.is_due = True
        while (parts := self.file.read(NOW)) is not None:
            found += parts
        return found

    def lines(self) -> bytes:
        """The same, where there are lines alone."""
        parts = self.read()
        assert all(isinstance(part, Lines) for part in parts), parts
        return b"".join(part.data for part in parts if isinstance(part, Lines))

    def reopen(self) -> bool:
        """Go on from its position in another process."""
        position = self.file.position(FileState.OPEN, seen_ns=NOW)
        self.file.close()
        self.file = self.open()
        return self.file.resume(position)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "a.log")
    yield made
    made.file.close()


def only_gap(parts: list[Part]) -> Gap:
    (gap,) = parts
    assert isinstance(gap, Gap)
    return gap


def test_complete_lines_are_taken_at_once_and_an_incomplete_one_waits(scene: Scene) -> None:
    scene.append(b"one\r\n\ntwo\nthr")
    assert scene.read() == [Lines(b"one\r\n\ntwo\n", 2)]
    assert (scene.file.offset, scene.file.behind_bytes) == (10, 3)
    scene.append(b"e")
    assert scene.read() == []
    scene.append(b"e\nfour\n")
    assert scene.read() == [Lines(b"three\nfour\n", 2)]
    assert scene.file.behind_bytes == 0


def test_nothing_new_is_due_until_the_next_look(scene: Scene) -> None:
    scene.append(b"one\n")
    assert scene.read() == [Lines(b"one\n", 1)]
    assert not scene.file.is_due
    assert scene.read() == []


def test_frames_end_with_a_line_and_are_small(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailed_file, "FRAME_BYTES_MAX", 30)
    data = b"".join(b"line %d\n" % number for number in range(50)) + b"x" * 70 + b"\n"
    scene.append(data)
    parts = scene.read()
    assert b"".join(part.data for part in parts if isinstance(part, Lines)) == data
    frames = [part.data for part in parts if isinstance(part, Lines)]
    assert all(frame.endswith(b"\n") for frame in frames)
    assert all(len(frame) <= 30 for frame in frames[:-1])


def test_frames_have_so_many_lines_at_most(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailed_file, "FRAME_LINES_MAX", 3)
    scene.append(b"a\nb\n\nc\nd\n")
    assert scene.read() == [Lines(b"a\nb\n\n", 2), Lines(b"c\nd\n", 2)]


def test_empty_lines_move_the_position_and_become_nothing(scene: Scene) -> None:
    scene.append(b"\n\n\n")
    assert scene.file.read(NOW) == []
    assert scene.file.offset == 3


@pytest.mark.parametrize("frame_bytes", [7, 64, 1000])
def test_a_line_of_the_most_bytes_is_taken_and_one_more_is_too_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, frame_bytes: int
) -> None:
    monkeypatch.setattr(tailed_file, "FRAME_BYTES_MAX", frame_bytes)
    most, more = b"m" * LINE_MAX, b"t" * (LINE_MAX + 1)
    scene.append(b"a\n" + most + b"\n" + more + b"\nb\n")
    parts = scene.read()
    taken = b"".join(part.data for part in parts if isinstance(part, Lines))
    assert taken == b"a\n" + most + b"\nb\n"
    at = next(at for at, part in enumerate(parts) if isinstance(part, Beginning))
    assert parts[at] == Beginning(more[:LINE_MAX])
    gap = only_gap([part for part in parts if isinstance(part, Gap)])
    assert (gap.cause, gap.bytes_min, gap.bytes_max, gap.records_max) == (
        TailCause.LINE_TOO_LONG, 1, 1, 0,
    )  # fmt: skip
    assert (
        gap.detail == f"the line at byte {2 + LINE_MAX + 1} has 101 bytes, the first 100 are sealed"
    )


def test_a_line_that_is_too_long_is_left_out_over_restarts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailed_file, "FRAME_BYTES_MAX", 50)
    scene.append(b"x" * 260)
    assert scene.read() == [Beginning(b"x" * LINE_MAX)]
    assert scene.file.offset == 260
    assert scene.reopen()
    scene.append(b"y" * 40 + b"\nnext\n")
    gap, lines = scene.read()
    assert only_gap([gap]).bytes_min == 200
    assert lines == Lines(b"next\n", 1)


def test_the_last_line_is_complete_without_its_line_feed_at_the_end(scene: Scene) -> None:
    scene.append(b"one\ntwo")
    assert scene.lines() == b"one\n"
    assert scene.file.finish() == [Lines(b"two", 1)]
    assert scene.file.finish() == []
    assert scene.file.offset == 7


def test_a_line_that_is_too_long_ends_with_its_file(scene: Scene) -> None:
    scene.append(b"x" * 150)
    assert scene.read() == [Beginning(b"x" * LINE_MAX)]
    assert only_gap(scene.file.finish()).bytes_min == 50


def test_a_truncated_file_is_read_anew_and_says_what_it_knows(scene: Scene) -> None:
    scene.append(b"one\ntwo")
    assert scene.lines() == b"one\n"
    os.truncate(scene.path, 0)
    scene.append(b"1\n")
    gap, lines = scene.read()
    assert lines == Lines(b"1\n", 1)
    assert gap == Gap(
        TailCause.TRUNCATED, str(scene.path), None, 3, None, None,
        "it begins anew, 4 bytes of it had been taken",
    )  # fmt: skip


def test_a_file_of_the_same_length_and_other_bytes_is_told(scene: Scene) -> None:
    scene.append(b"one\n")
    assert scene.lines() == b"one\n"
    scene.path.write_bytes(b"two\n")
    gap, lines = scene.read()
    assert (only_gap([gap]).cause, lines) == (TailCause.TRUNCATED, Lines(b"two\n", 1))


def test_a_file_that_begins_anew_and_is_longer_is_told(scene: Scene) -> None:
    scene.append(b"x" * 30 + b"\n")
    assert len(scene.lines()) == 31
    scene.path.write_bytes(b"y" * 80 + b"\n")
    gap, lines = scene.read()
    assert (only_gap([gap]).cause, lines) == (TailCause.TRUNCATED, Lines(b"y" * 80 + b"\n", 1))


def test_a_file_that_is_cut_behind_what_was_taken_goes_on_there(scene: Scene) -> None:
    scene.append(b"one\ntwo thr")
    assert scene.lines() == b"one\n"
    os.truncate(scene.path, 6)
    gap = only_gap(scene.read())
    assert (gap.bytes_min, gap.detail) == (5, "it was cut to 6 bytes, 4 bytes of it had been taken")
    scene.append(b"ice\n")
    assert scene.lines() == b"twice\n"


def test_what_was_read_while_the_file_began_anew_is_not_taken(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.append(b"one\n")
    assert scene.lines() == b"one\n"
    scene.append(b"two\n")
    fetch = scene.file._fetch

    def fetch_late() -> bytes:
        data = fetch()
        scene.path.write_bytes(b"1\n2\n3\n4\n")
        return data

    with monkeypatch.context() as patch:
        patch.setattr(scene.file, "_fetch", fetch_late)
        assert only_gap(scene.file.read(NOW) or []).cause is TailCause.TRUNCATED
    assert scene.lines() == b"1\n2\n3\n4\n"


def test_a_position_holds_for_the_same_beginning_alone(scene: Scene) -> None:
    scene.append(b"x" * 30 + b"\nmore\n")
    scene.read()
    scene.append(b"next\n")
    assert scene.reopen()
    assert scene.lines() == b"next\n"
    scene.path.write_bytes(b"y" * 99 + b"\n")
    assert not scene.reopen()
    assert scene.file.offset == 0
    scene.read()
    scene.path.write_bytes(b"y")
    assert not scene.reopen()


def test_the_fingerprint_is_of_the_first_kilobyte_that_was_taken(scene: Scene) -> None:
    data = b"".join(b"%d %s\n" % (number, b"." * 60) for number in range(60))
    for at in range(0, len(data), 700):
        scene.append(data[at : at + 700])
        scene.read()
        position = scene.file.position(FileState.OPEN, seen_ns=NOW)
        head = data[: min(position.offset, 1024)]
        assert position.fingerprint_bytes == len(head)
        assert position.fingerprint == hashlib.sha256(head).digest()


def test_a_file_without_a_name_is_read_on(scene: Scene) -> None:
    scene.append(b"one\n")
    before = scene.file.is_named
    scene.path.unlink()
    assert (before, scene.file.is_named) == (True, False)
    assert scene.lines() == b"one\n"
