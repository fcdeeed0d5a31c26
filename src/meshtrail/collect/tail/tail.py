"""Reads files as they grow: looks, waits for room in the journal, takes a piece, puts it.

The files are their own queue: nothing is read while the journal has no room. What reads runs on a
thread, so that a slow disk keeps no other sender waiting; one step at a time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from meshtrail.collect.tail.file_streams import FileStreams, printable
from meshtrail.collect.tail.file_watch import FileWatch
from meshtrail.collect.tail.parts import Gap
from meshtrail.errors import DurabilityError, MeshtrailError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from meshtrail.collect.clock import CollectorClock
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.payloads import CollectorFacts
    from meshtrail.collect.tail.figures import TailFigures
    from meshtrail.collect.tail.options import TailOptions
    from meshtrail.collect.tail.steps import Problem, Step
    from meshtrail.journal import FilePosition, Frame
    from meshtrail.model.entry import EntryType

LOOK_SECONDS: Final = 0.25
PIECES_MAX: Final = 64
"""Between two looks, though a file grows as fast as it is read."""

FAILED_EVENT: Final = "tail_failed"
LOST_EVENT: Final = "tail_lines_lost"
GAP_EVENT: Final = "tail_gap_sealed"


class Journal(Protocol):
    """Where frames go: ``journal.GroupCommit``."""

    async def room(self) -> None:
        """Return when frames may be put."""
        ...

    def put(self, frames: Iterable[Frame]) -> None:
        """Take frames, to be committed together."""
        ...


class Tail:
    """Belongs to one event loop.

    Args:
        tails: which files.
        journal: where lines go.
        left: how far files were taken before.
        files_max: open at once.
        line_bytes_max: of a longer line only the beginning is taken.
        collector: for stream-opened entries.
        own_frame: makes a frame of a gap that belongs to no open stream.
        clock: of the collector.
        figures: is told how it goes.
        diag: hears alarms.
        sleep: ``asyncio.sleep``, or a test's.
    """

    def __init__(
        self,
        tails: Sequence[TailOptions],
        *,
        journal: Journal,
        left: Sequence[FilePosition],
        files_max: int,
        line_bytes_max: int,
        collector: CollectorFacts,
        own_frame: Callable[[EntryType, bytes], Frame],
        clock: CollectorClock,
        figures: TailFigures,
        diag: Diag,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._watch = FileWatch(
            tails, left=left, files_max=files_max, line_bytes_max=line_bytes_max
        )
        self._streams = FileStreams(collector, own_frame=own_frame)
        self._journal = journal
        self._clock = clock
        self._figures = figures
        self._diag = diag
        self._sleep = sleep
        self._looked_ns = clock.now()
        self._told: set[Problem] = set()
        self._is_on = bool(tails)
        self._is_stopping = False

    async def run(self) -> None:
        """Read until ``stop``.

        Raises:
            DurabilityError: the journal takes nothing any more; the process must end.
        """
        if not self._is_on:
            return
        try:
            while not self._is_stopping:
                if not await self.turn():
                    await self._sleep(LOOK_SECONDS)
        except MeshtrailError:
            raise
        except Exception as error:  # noqa: BLE001 - files must not end the recording of all others
            # What was read and not put is read again by the next process, and by this one never.
            self._diag.error(FAILED_EVENT, error=repr(error))

    async def turn(self) -> bool:
        """Look once, and take what there is; whether there may be more."""
        await self._journal.room()
        now_ns = self._clock.now()
        for step in await asyncio.to_thread(self._look, now_ns):
            await self._journal.room()
            self._put(step)
        self._tell_figures()
        pieces_left = PIECES_MAX
        while pieces_left and not self._is_stopping:
            await self._journal.room()
            piece = await asyncio.to_thread(self._watch.read, self._clock.now())
            if piece is None:
                break
            await self._journal.room()
            self._put(piece)
            pieces_left -= 1
        self._tell_figures()
        self._tell_problems()
        self._looked_ns = now_ns
        return not pieces_left

    def stop(self) -> None:
        """Take no more than what is in hand; ``run`` ends soon."""
        self._is_stopping = True

    def close(self) -> None:
        """Close every stream and file, once ``run`` has ended."""
        self._watch.close()
        try:
            self._journal.put(self._streams.close_all(received_ns=self._clock.now()))
        except DurabilityError as error:
            # That failure is on its way to end the process; the next one closes the streams.
            self._diag.warning("streams_left_open", reason=error.message)

    def _look(self, now_ns: int) -> list[Step]:
        return list(self._watch.look(now_ns))

    def _put(self, step: Step) -> None:
        self._journal.put(
            self._streams.frames(step, looked_ns=self._looked_ns, received_ns=self._clock.now())
        )
        for part in step.parts:
            if isinstance(part, Gap):
                tell = self._diag.error if part.bytes_min else self._diag.warning
                tell(
                    LOST_EVENT if part.bytes_min else GAP_EVENT,
                    cause=part.cause.value,
                    path=printable(part.path),
                    bytes_min=part.bytes_min,
                    detail=printable(part.detail),
                )

    def _tell_figures(self) -> None:
        files = self._watch.open_files
        self._figures.files_count = len(files)
        self._figures.behind_bytes = sum(file.behind_bytes for file in files)

    def _tell_problems(self) -> None:
        """Raise the alarm of each problem that is new."""
        problems = self._watch.problems
        for problem in sorted(problems - self._told):
            self._diag.error(problem.event, path=printable(problem.path), reason=problem.reason)
        self._told = set(problems)
