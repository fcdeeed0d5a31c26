"""A tail without an event loop: real files, a journal whose last batches a crash may lose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.stream import Stream
from meshtrail.collect.tail.file_streams import FileStreams
from meshtrail.collect.tail.file_watch import FileWatch
from meshtrail.collect.tail.options import TailOptions
from meshtrail.journal import JournalOptions, JournalWriter
from meshtrail.model.entry import EntryType
from meshtrail.store.durable import Disk
from meshtrail.units import UnixNanos
from tests.collect_rig import read_entries
from tests.fake_clock import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.tail.steps import Step
    from meshtrail.journal import FilePosition, Frame
    from tests.collect_rig import Entry

FACTS = CollectorFacts(version="1", started_ns=UnixNanos(1), config_sha256=bytes(32))
SECOND_NS = 1_000_000_000
OPTIONS = JournalOptions(file_bytes_max=20_000, journal_bytes_max=1 << 30, batch_bytes_max=20_000)


def tail_of(path: Path, **changed: str) -> TailOptions:
    return TailOptions(path=path, **({"format": "envoy-json"} | changed))


class QuickDisk(Disk):
    """Does not sync: a crash here loses what waits, nothing that was written."""

    def fsync(self, fd: int) -> None:
        pass


class TailRig:
    """Looks and reads when it is told to.

    Attributes:
        steps: all that came, of all processes.
        waiting: frames that are put and not durable yet, one list for each step.
    """

    def __init__(
        self, folder: Path, *tails: TailOptions, files_max: int = 64, line_bytes_max: int = 1 << 20
    ) -> None:
        self.clock = FakeClock()
        self.steps: list[Step] = []
        self.waiting: list[list[Frame]] = []
        self.directory = folder / "journal" / "collect"
        self.tails = tails
        self._files_max = files_max
        self._line_bytes_max = line_bytes_max
        self.start()

    def start(self) -> None:
        self.writer = JournalWriter(
            self.directory, clock=self.clock, options=OPTIONS, disk=QuickDisk()
        )
        self.watch = FileWatch(
            self.tails,
            left=self.writer.left_positions,
            files_max=self._files_max,
            line_bytes_max=self._line_bytes_max,
        )
        own = Stream()
        self.streams = FileStreams(
            FACTS,
            own_frame=lambda kind, payload: own.own_frame(
                kind, payload, received_ns=self.clock.wall_ns()
            ),
        )

    def look(self) -> None:
        for step in self.watch.look(self.clock.wall_ns()):
            self._put(step)

    def read_one(self) -> bool:
        step = self.watch.read(self.clock.wall_ns())
        if step is not None:
            self._put(step)
        return step is not None

    def take_all(self) -> None:
        """Look, and read to the end of all files."""
        self.look()
        while self.read_one():
            pass

    def turn(self, seconds: float = 0.25) -> None:
        """A turn of the tail, all durable, so much later."""
        self.clock.advance(int(seconds * SECOND_NS))
        self.take_all()
        self.commit()

    def commit(self, count: int | None = None) -> None:
        """Make the first of what waits durable."""
        done, self.waiting = self.waiting[:count], self.waiting[len(self.waiting[:count]) :]
        for frames in done:
            self.writer.append(frames)

    def crash(self) -> None:
        """End without a word, and start again."""
        self.waiting.clear()
        self.watch.close()
        self.writer.close()
        self.start()

    def positions(self) -> tuple[FilePosition, ...]:
        """Those that a start now would find."""
        return self.writer._positions.snapshot()

    def close(self) -> None:
        self.watch.close()
        self.writer.close()

    def entries(self) -> list[Entry]:
        return read_entries(self.directory)

    def lines(self) -> list[bytes]:
        """The records that are durable, in order."""
        return [each.payload for each in self.entries() if each.entry_type is EntryType.RECORD]

    def gaps(self) -> list[str]:
        """The causes of gaps that are durable, in order."""
        return [each.json["cause"] for each in self.entries() if each.entry_type is EntryType.GAP]

    def _put(self, step: Step) -> None:
        self.steps.append(step)
        now_ns = self.clock.wall_ns()
        self.waiting.append(self.streams.frames(step, looked_ns=now_ns, received_ns=now_ns))


class OneFileRig(TailRig):
    """A tail of ``a.log``."""

    def __init__(self, folder: Path, **options: int) -> None:
        self.path = folder / "logs" / "a.log"
        self.path.parent.mkdir()
        super().__init__(folder, tail_of(self.path), **options)

    def append(self, data: bytes, path: Path | None = None) -> None:
        with (path or self.path).open("ab") as file:
            file.write(data)

    def beside(self, name: str) -> Path:
        return self.path.with_name(name)

    def alarms(self) -> list[tuple[str, str]]:
        return sorted((problem.event, problem.path) for problem in self.watch.problems)
