"""A tail under any order of writing, rotation, truncation, removal and crashes.

The model is the lines that each content of a file ever had. Promise: each complete line becomes one
record, in the order of its file; one that was truncated or removed before it was read may be
missing, and then there is a gap, if the file was known at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from meshtrail.collect.tail import tailed_file
from meshtrail.collect.tail.file_watch import AWAY_NS
from meshtrail.journal import FileIdentity
from tests.tail_rig import TailRig, tail_of

FRAME_BYTES = 400
LINE_BYTES_MIN = 70
"""Copies are told by their first 64 bytes."""


@dataclass
class Content:
    """What a file holds from when it is empty until it is emptied or gone.

    Attributes:
        lines: complete, without their line feeds.
        partial: the beginning of the next.
        is_lossy: whether it was emptied or removed.
        is_known: whether a gap has to say so.
        is_older: whether it was rotated away before anything was known of its path.
    """

    lines: list[bytes] = field(default_factory=list)
    partial: bytes = b""
    is_lossy: bool = False
    is_known: bool = False
    is_older: bool = False


class FileTailMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "logs" / "a.log"
        self.path.parent.mkdir()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(tailed_file, "FRAME_BYTES_MAX", FRAME_BYTES)
        self.rig = TailRig(self.folder, tail_of(self.path))
        self.contents: list[Content] = []
        self.current: Content | None = None
        self.rotated: tuple[Path, Content, int] | None = None
        self.numbers = 0
        self.names = 0

    @rule(count=st.integers(1, 8), size=st.integers(LINE_BYTES_MIN, 150))
    def append(self, count: int, size: int) -> None:
        content = self._content()
        for _ in range(count):
            self._write(self.path, content, self._line(size) + b"\n")

    @rule(cut=st.integers(1, 60))
    def append_partial(self, cut: int) -> None:
        self._write(self.path, self._content(), self._line(LINE_BYTES_MIN)[:cut])

    @rule()
    def append_to_the_rotated(self) -> None:
        if self.rotated is not None:
            path, content, since_ns = self.rotated
            if path.exists() and self.rig.clock.wall_ns() - since_ns < AWAY_NS // 2:
                self._write(path, content, self._line(LINE_BYTES_MIN) + b"\n")

    @rule(is_dated=st.booleans())
    def rename(self, is_dated: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        if self.current is not None:
            rotated = self._name("-20261122-" if is_dated else ".")
            self.path.rename(rotated)
            # What lies beside a path that is seen for the first time is older than the tail.
            self.current.is_older = str(self.path) not in {
                position.path for position in self.rig.positions()
            }
            self.rotated = rotated, self.current, self.rig.clock.wall_ns()
            self.current = None

    @rule(is_copied=st.booleans())
    def truncate(self, is_copied: bool) -> None:  # noqa: FBT001 - as above
        if self.current is not None:
            if is_copied:
                shutil.copyfile(self.path, self._name("."))
            self._lose(self.path, self.current)
            os.truncate(self.path, 0)
            self.current = None
            self._content()

    @rule()
    def remove(self) -> None:
        if self.current is not None:
            self._lose(self.path, self.current)
            self.path.unlink()
            self.current = None

    @rule()
    def remove_the_rotated(self) -> None:
        if self.rotated is not None and self.rotated[0].exists():
            self._lose(self.rotated[0], self.rotated[1])
            self.rotated[0].unlink()

    @rule()
    def look(self) -> None:
        self.rig.look()

    @rule()
    def read_one(self) -> None:
        self.rig.read_one()

    @rule(seconds=st.sampled_from([0.25, 11.0]))
    def turn(self, seconds: float) -> None:
        self.rig.turn(seconds)

    @rule(count=st.integers(1, 5))
    def commit(self, count: int) -> None:
        self.rig.commit(count)

    @rule()
    def crash(self) -> None:
        self.rig.crash()

    def _content(self) -> Content:
        if self.current is None:
            self.current = Content()
            self.contents.append(self.current)
            self.path.touch()
        return self.current

    def _line(self, size: int) -> bytes:
        self.numbers += 1
        return (b"%d " % self.numbers).ljust(size, b".")

    def _write(self, path: Path, content: Content, data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)
        *lines, content.partial = (content.partial + data).split(b"\n")
        content.lines += lines

    def _name(self, separator: str) -> Path:
        self.names += 1
        return self.path.with_name(f"{self.path.name}{separator}{self.names}")

    def _lose(self, path: Path, content: Content) -> None:
        content.is_lossy = True
        found = path.stat()
        identity = FileIdentity(found.st_dev, found.st_ino)
        offsets = {file.identity: file.offset for file in self.rig.watch.open_files}
        # Of a file of which nothing was taken nobody can tell that it was another.
        content.is_known = offsets.get(identity, 0) > 0 and not self.rig.waiting

    def teardown(self) -> None:
        try:
            for _ in range(12):
                self.rig.turn(11)
            self._check()
        finally:
            self.patch.undo()
            self.rig.close()
            shutil.rmtree(self.folder)

    def _check(self) -> None:
        found = self.rig.lines()
        assert len(found) == len(set(found)), "a line came twice"
        places = {line: place for place, line in enumerate(found)}
        gaps = self.rig.gaps()
        for content in self.contents:
            wanted = list(content.lines)
            if content is not self.current and not content.is_lossy and content.partial:
                # Rotated away without its last line feed: it is complete.
                wanted.append(content.partial)
            lost = [line for line in wanted if line not in places]
            assert content.is_lossy or content.is_older or not lost, f"lost {lost}, never truncated"
            assert not lost or gaps or not content.is_known, f"lost {lost}, and no gap"
            taken = [places[line] for line in wanted if line in places]
            assert taken == sorted(taken), "lines of a file came in another order"
        known = {line for content in self.contents for line in [*content.lines, content.partial]}
        assert known.issuperset(found), "a line that nobody wrote"


TestFileTailMachine = FileTailMachine.TestCase
TestFileTailMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
