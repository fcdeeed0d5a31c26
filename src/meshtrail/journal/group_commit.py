"""Group commit for asyncio: frames are taken at once, made durable together, and bounded in memory.

The event loop never waits for the disk: one thread appends and fsyncs while the next batch fills.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from meshtrail.errors import DurabilityError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meshtrail.journal.frame import Frame
    from meshtrail.journal.writer import JournalWriter

JOURNAL_FULL = "journal_full"
DISK_FULL = "journal_disk_full"

RETRY_S = 1.0
"""How often a full disk or a full journal is looked at again."""

_CLOSING_RETRIES_MAX = 10
"""A full disk is waited for without end, except by a process that was told to stop."""

_FRAME_OVERHEAD_BYTES = 300
"""What a pending frame costs besides its data: many tiny frames must not escape the bound."""


class StallListener(Protocol):
    """Hears when nothing more may be taken from senders, and when that is over."""

    def stall_began(self, alarm: str, **facts: object) -> None:
        """An alarm, ``journal_full`` or ``journal_disk_full``: once for each stall."""
        ...

    def stall_ended(self, alarm: str) -> None:
        """That alarm is over."""
        ...


class GroupCommit:
    """Feeds a journal from one event loop.

    Args:
        writer: used by ``run`` alone, in its thread, until ``run`` ends.
        stalls: hears the alarms.
        sleep: ``asyncio.sleep``, or a test's.
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        stalls: StallListener,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._writer = writer
        self._options = writer.options
        self._stalls = stalls
        self._sleep = sleep
        self._pending: deque[list[Frame]] = deque()
        self._pending_bytes = 0
        self._put_count = 0
        self._durable_count = 0
        self._held_by: set[str] = set()
        self._is_released = False
        self._is_closing = False
        self._is_over = False
        self._has_work = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_full = asyncio.Event()
        self._progress = asyncio.Condition()

    def put(self, frames: Iterable[Frame]) -> None:
        """Take frames, to be committed soon and in this order; await ``room`` before.

        They are committed in one batch: after a crash there are all of them, or none. Never waits,
        so that what a closing stream has to say can always be said.

        Raises:
            DurabilityError: ``run`` has ended; nothing is committed any more.
        """
        if self._is_over:
            raise DurabilityError(
                f"journal {self._writer.directory} takes no more frames: its commits have ended"
            )
        together = list(frames)
        if not together:
            return
        self._pending.append(together)
        self._pending_bytes += sum([_pending_bytes(frame) for frame in together])
        self._put_count += len(together)
        self._has_work.set()
        self._update_room()

    async def room(self) -> None:
        """Return when frames may be put. Nothing may be awaited between this and ``put``."""
        # Many wait and are woken at once; each must look again, because those before it have put.
        while not self._has_room.is_set():
            await self._has_room.wait()

    async def flush(self) -> None:
        """Return when everything put before is durable.

        Raises:
            DurabilityError: it never will be.
        """
        wanted = self._put_count
        async with self._progress:
            await self._progress.wait_for(lambda: self._durable_count >= wanted or self._is_over)
        if self._durable_count < wanted:
            raise DurabilityError(
                f"journal {self._writer.directory}: {wanted - self._durable_count} frames were "
                "not committed"
            )

    def release(self) -> None:
        """Take frames although the journal is over its bound: the process is about to end."""
        self._is_released = True
        self._update_room()

    def close(self) -> None:
        """Let ``run`` end when all that was put is durable; nothing may be put after this."""
        self._is_closing = True
        self._has_work.set()
        self._update_room()

    async def run(self) -> None:
        """Commit until closed; the one task that does.

        Raises:
            DurabilityError: a batch is not known to be on disk. The process must end: recovery is
                the normal start.
        """
        # One thread, so that the writer is never used by two.
        with ThreadPoolExecutor(1, thread_name_prefix="journal") as thread:
            try:
                async with asyncio.TaskGroup() as tasks:
                    watch = tasks.create_task(self._watch_bound(thread))
                    await self._commit_until_closed(thread)
                    watch.cancel()
            except ExceptionGroup as group:
                raise group.exceptions[0] from group
            finally:
                self._is_over = True
                self._has_room.set()
                async with self._progress:
                    self._progress.notify_all()

    async def _commit_until_closed(self, thread: ThreadPoolExecutor) -> None:
        while True:
            await self._has_work.wait()
            if not self._pending:
                if self._is_closing:
                    return
                self._has_work.clear()
                continue
            if self._pending_bytes < self._options.batch_bytes_max and not self._is_closing:
                await self._sleep(self._options.linger_ms / 1000)
            await self._commit(thread, self._take_batch())

    def _take_batch(self) -> list[Frame]:
        batch = self._pending.popleft()
        batch_bytes = _data_bytes(batch)
        while self._pending:
            batch_bytes += _data_bytes(self._pending[0])
            if batch_bytes > self._options.batch_bytes_max:
                break
            batch += self._pending.popleft()
        return batch

    async def _commit(self, thread: ThreadPoolExecutor, batch: list[Frame]) -> None:
        closing_retries = 0
        while error := await self._append(thread, batch):
            self._hold(DISK_FULL, reason=error.message)
            closing_retries += self._is_closing
            if closing_retries > _CLOSING_RETRIES_MAX:
                left_count = self._put_count - self._durable_count
                raise DurabilityError(
                    f"{left_count} frames were received and could not be written before the end: "
                    f"{error.message}"
                ) from error
            await self._sleep(RETRY_S)
        self._pending_bytes -= sum([_pending_bytes(frame) for frame in batch])
        self._durable_count += len(batch)
        self._release(DISK_FULL)
        async with self._progress:
            self._progress.notify_all()

    async def _append(
        self, thread: ThreadPoolExecutor, batch: list[Frame]
    ) -> UnavailableError | None:
        """Append in the thread; gives back the error when the disk is full."""

        def append() -> bool:
            self._writer.append(batch)
            return self._writer.is_full()

        try:
            if await asyncio.get_running_loop().run_in_executor(thread, append):
                self._is_full.set()
        except UnavailableError as error:
            return error
        return None

    async def _watch_bound(self, thread: ThreadPoolExecutor) -> None:
        """Hold senders while the files are over the bound; what was put is still written."""
        loop = asyncio.get_running_loop()
        while True:
            while await loop.run_in_executor(thread, self._writer.is_full):
                self._hold(JOURNAL_FULL, bytes_max=self._options.journal_bytes_max)
                await self._sleep(RETRY_S)
            self._is_full.clear()
            self._release(JOURNAL_FULL)
            await self._is_full.wait()

    def _hold(self, alarm: str, **facts: object) -> None:
        if alarm not in self._held_by:
            self._held_by.add(alarm)
            self._update_room()
            self._stalls.stall_began(alarm, directory=str(self._writer.directory), **facts)

    def _release(self, alarm: str) -> None:
        if alarm in self._held_by:
            self._held_by.discard(alarm)
            self._stalls.stall_ended(alarm)
        self._update_room()

    def _update_room(self) -> None:
        holds = self._held_by - {JOURNAL_FULL} if self._is_released else self._held_by
        has_room = self._pending_bytes < self._options.pending_bytes_max and not holds
        if has_room or self._is_closing:
            self._has_room.set()
        else:
            self._has_room.clear()


def _data_bytes(frames: list[Frame]) -> int:
    return sum([len(frame.data) for frame in frames])


def _pending_bytes(frame: Frame) -> int:
    return len(frame.data) + _FRAME_OVERHEAD_BYTES
