"""A fixed number of searchers, each on a thread of its own, and a bounded queue before them.

What searches is a ``Searcher``, or a ``SqlRunner`` with its process. It is made when its place is
first used, kept while what it read is worth something, and made anew after whatever went wrong in
it. A search whose client went is stopped.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from meshtrail.errors import BusyError, QueryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_STOP_SECONDS: Final = 0.05

R = TypeVar("R")


class Closable(Protocol):
    """What searches, or rows that are being read."""

    def close(self) -> None:
        """Stop; what searches may be told so on any thread."""
        ...


S = TypeVar("S", bound=Closable)


class SearchPlace(Generic[S]):
    """One thread with one searcher; whoever has it, has it alone."""

    def __init__(self, make_searcher: Callable[[], S], name: str) -> None:
        self._make_searcher = make_searcher
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._searcher: S | None = None
        self._rows: Closable | None = None

    def adopt(self, rows: Closable) -> None:
        """Take rows that are being read: they are closed before the place goes to anybody else."""
        self._rows = rows

    async def call(self, work: Callable[[S], R]) -> R:
        """Run ``work`` on the thread.

        Cancelled, it stops what the searcher does and waits until the thread is free.
        """
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # More than once: the searcher may only just be being made.
            while not running.done():
                await self._stop()
                await asyncio.wait([running], timeout=_STOP_SECONDS)
            # What it came to is of no use, and must not be missed when it is thrown away.
            running.exception()
            raise

    async def finish(self) -> None:
        """Close what was adopted, and keep the searcher."""
        await self._on_thread(self._close_rows)

    async def renew(self) -> None:
        """Let go of the searcher; the next use makes another."""
        # Rows first: to close them they need the engine that they are read with.
        await self._on_thread(self._close_rows)
        await self._stop()

    def close(self) -> None:
        """Stop what runs, and let go of everything."""
        searcher, self._searcher = self._searcher, None
        if searcher is not None:
            searcher.close()
        self._thread.shutdown()

    async def _on_thread(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _close_rows(self) -> None:
        rows, self._rows = self._rows, None
        if rows is not None:
            # Where its engine is gone already, it has nothing left to close.
            with suppress(Exception):
                rows.close()

    def _run(self, work: Callable[[S], R]) -> R:
        if self._searcher is None:
            self._searcher = self._make_searcher()
        return work(self._searcher)

    async def _stop(self) -> None:
        searcher, self._searcher = self._searcher, None
        if searcher is not None:
            # It waits for the engine, so not on the event loop; the place's own thread is busy.
            await asyncio.to_thread(searcher.close)


class SearchPool(Generic[S]):
    """The places for searches of one kind.

    Attributes:
        running_count: places that are taken.
        waiting_count: who waits for one.
    """

    def __init__(
        self,
        make_searcher: Callable[[], S],
        *,
        name: str,
        places_count: int,
        waiting_max: int,
    ) -> None:
        """Make the places; no searcher is made yet.

        Args:
            make_searcher: called on the thread that will use it.
            name: of the threads.
            places_count: searches at the same time.
            waiting_max: further ones that wait; more are refused.
        """
        self.running_count = 0
        self.waiting_count = 0
        self._waiting_max = waiting_max
        self._places = [SearchPlace(make_searcher, f"{name}-{at}") for at in range(places_count)]
        # The last one used comes first: its searcher is the warmest.
        self._free = list(self._places)
        self._turns = asyncio.Semaphore(places_count)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[SearchPlace[S]]:
        """A place of one's own for as long as the block lasts, in the order of asking.

        Raises:
            BusyError: too many wait already.
        """
        if self._turns.locked() and self.waiting_count >= self._waiting_max:
            raise BusyError(
                f"{self.running_count} searches run and {self.waiting_count} wait, which is as "
                "many as may: try again",
                running=self.running_count,
                waiting=self.waiting_count,
            )
        self.waiting_count += 1
        try:
            await self._turns.acquire()
        finally:
            self.waiting_count -= 1
        place = self._free.pop()
        self.running_count += 1
        try:
            yield place
        except QueryError:
            # The asker's mistake, which leaves nothing behind.
            await asyncio.shield(place.finish())
            raise
        except BaseException:
            await asyncio.shield(place.renew())
            raise
        else:
            await asyncio.shield(place.finish())
        finally:
            self.running_count -= 1
            self._free.append(place)
            self._turns.release()

    def close(self) -> None:
        """Stop everything."""
        for place in self._places:
            place.close()
