from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.stream import Stream
from meshtrail.collect.tail import Tail, tail, tailed_file
from meshtrail.collect.tail.figures import TailFigures
from meshtrail.collect.tail.file_watch import FileWatch
from meshtrail.errors import DurabilityError
from meshtrail.journal import Framing
from meshtrail.model.entry import EntryType
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag, read_entries, records
from tests.fake_clock import FakeClock
from tests.otlp_rig import play
from tests.tail_rig import FACTS, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from meshtrail.journal import Frame
    from tests.collect_rig import Collector


class FakeJournal:
    """Takes frames while it has room."""

    def __init__(self) -> None:
        self.batches: list[list[Frame]] = []
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.asked = asyncio.Event()
        self.is_over = False

    async def room(self) -> None:
        self.asked.set()
        await self.has_room.wait()

    def put(self, frames: Iterable[Frame]) -> None:
        if self.is_over:
            raise DurabilityError("the journal takes no more frames")
        self.batches.append(list(frames))

    def lines(self) -> bytes:
        return b"".join(
            frame.data for batch in self.batches for frame in batch
            if frame.framing is Framing.LINES
        )  # fmt: skip


class Scene:
    """A tail of one file, turn by turn."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = FakeJournal()
        self.diag = FakeDiag()
        self.figures = TailFigures()
        self.slept = 0
        clock = CollectorClock(FakeClock())
        own = Stream()
        self.tail = Tail(
            [tail_of(path)],
            journal=self.journal,
            left=(),
            files_max=10,
            line_bytes_max=100,
            collector=FACTS,
            own_frame=lambda kind, payload: own.own_frame(kind, payload, received_ns=UnixNanos(1)),
            clock=clock,
            figures=self.figures,
            diag=self.diag,
            sleep=self.sleep,
        )

    async def sleep(self, _: float) -> None:
        self.slept += 1
        if self.slept > 3:
            self.tail.stop()


def test_lines_and_the_position_behind_them_are_put_together(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"one\ntwo\n")
        assert not await scene.tail.turn()
        opening, lines = scene.journal.batches
        assert [frame.framing for frame in opening] == [Framing.WHOLE, Framing.POSITION]
        assert [frame.framing for frame in lines] == [Framing.LINES, Framing.POSITION]
        assert b'"offset":8,' in lines[1].data
        assert scene.figures.as_json() == {"files": 1, "behind_bytes": 0}
        scene.tail.close()
        ((closed,),) = scene.journal.batches[2:]
        assert closed.entry_type is EntryType.STREAM_CLOSED

    asyncio.run(run())


def test_nothing_is_read_while_the_journal_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailed_file, "FRAME_BYTES_MAX", 10)

    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"line %d\n" % 1 * 50)
        put = scene.journal.put

        def put_and_fill(frames: Iterable[Frame]) -> None:
            put(frames)
            if len(scene.journal.batches) == 4:
                scene.journal.has_room.clear()
                scene.journal.asked.clear()
                is_full.set()

        is_full = asyncio.Event()
        scene.journal.put = put_and_fill  # type: ignore[method-assign]  # of this one alone
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(scene.tail.turn())
            await is_full.wait()
            await scene.journal.asked.wait()
            taken = sum(file.offset for file in scene.tail._watch.open_files)
            assert taken == len(scene.journal.lines()) == 3 * 7
            scene.journal.has_room.set()
        assert scene.journal.lines() == scene.path.read_bytes()
        scene.tail.close()

    asyncio.run(run())


def test_a_file_that_grows_as_fast_as_it_is_read_does_not_keep_from_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "PIECES_MAX", 3)

    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"0\n")
        put = scene.journal.put

        def put_and_grow(frames: Iterable[Frame]) -> None:
            put(frames)
            with scene.path.open("ab") as file:
                file.write(b"1\n")

        scene.journal.put = put_and_grow  # type: ignore[method-assign]  # as above
        assert await scene.tail.turn()
        assert len(scene.journal.batches) == 1 + 3
        scene.tail.close()

    asyncio.run(run())


def test_problems_are_told_once_and_again_when_they_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.symlink_to(scene.path)
        for _ in range(2):
            await scene.tail.turn()
        assert scene.diag.alarms() == ["tail_file_refused"]
        assert scene.diag.facts("tail_file_refused")["path"] == str(scene.path)
        scene.path.unlink()
        await scene.tail.turn()
        scene.path.symlink_to(scene.path)
        await scene.tail.turn()
        assert scene.diag.alarms() == ["tail_file_refused"] * 2
        scene.tail.close()

    asyncio.run(run())


def test_lost_bytes_are_an_alarm_and_what_may_be_lost_is_a_warning(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"one\ntwo")
        await scene.tail.turn()
        scene.path.write_bytes(b"uno\n")
        await scene.tail.turn()
        scene.path.write_bytes(b"ein\n")
        await scene.tail.turn()
        told = [(level, event) for level, event, _ in scene.diag.events]
        assert told == [("error", "tail_lines_lost"), ("warning", "tail_gap_sealed")]
        scene.tail.close()

    asyncio.run(run())


def test_a_mistake_of_our_own_ends_the_files_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"one\n")
        monkeypatch.setattr(FileWatch, "read", fail)
        await scene.tail.run()
        assert scene.diag.alarms() == ["tail_failed"]
        scene.tail.close()

    asyncio.run(run())


def test_a_journal_that_failed_ends_the_process(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"one\n")
        await scene.tail.turn()
        scene.journal.is_over = True
        with scene.path.open("ab") as file:
            file.write(b"two\n")
        with pytest.raises(DurabilityError):
            await scene.tail.run()
        scene.tail.close()
        assert [event for _, event, _ in scene.diag.events] == ["streams_left_open"]

    asyncio.run(run())


def test_it_reads_until_it_is_stopped(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"one\n")
        await scene.tail.run()
        assert (scene.slept, scene.journal.lines()) == (4, b"one\n")
        scene.tail.close()

    asyncio.run(run())


def test_a_collector_reads_files_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    directory = tmp_path / "journal" / "collect"
    path = tmp_path / "a.log"
    tails = (tail_of(path, reporter="proxy-1"),)
    written = 0

    async def scene(collector: Collector) -> None:
        nonlocal written
        for number in range(written, written + 20):
            with path.open("ab") as file:
                file.write(b"%d\n" % number)
        written += 20
        await collector.received(written)

    for number in range(3):
        entries = play(directory, scene, tail=tails)
        assert records(entries) == [b"%d" % number for number in range(written)]
        path.rename(tmp_path / f"a.log.{number}")
    reasons = [
        e.json["reason"] for e in read_entries(directory) if e.entry_type is EntryType.STREAM_CLOSED
    ]
    assert set(reasons) == {"shutdown"}


def test_a_collector_on_a_full_disk_ends_though_its_files_wait(tmp_path: Path) -> None:
    async def run() -> None:
        scene = Scene(tmp_path / "a.log")
        scene.path.write_bytes(b"one\n")
        scene.journal.has_room.clear()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(scene.tail.run())
            await scene.journal.asked.wait()
            scene.tail.stop()
            running.cancel()
        scene.tail.close()
        # Neither lines nor a position: the next process takes them.
        assert scene.journal.batches == [[]]

    asyncio.run(run())
