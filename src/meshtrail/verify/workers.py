"""Work spread over processes, with results in the order of the tasks.

A task is a function of this package and a picklable argument; what a worker sends back is data.
Where there are workers, this process only hands out and joins: a task in it would hold the
interpreter from the thread that takes results, and every worker would wait for that.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K")

_AHEAD = 2
"""Tasks handed to each worker: one under way, and one so that it need not wait."""

_KEPT = 4
"""Finished results that may wait for an earlier one, so that memory stays small."""


class Pending(Generic[R]):
    """A result that is there, or is being made."""

    def __init__(self, value: R | Future[R]) -> None:
        self._value = value

    @property
    def is_done(self) -> bool:
        """Whether ``result`` returns at once."""
        return not isinstance(self._value, Future) or self._value.done()

    def result(self) -> R:
        """Wait for it.

        Raises:
            UnavailableError: the worker was killed.
        """
        if not isinstance(self._value, Future):
            return self._value
        try:
            return self._value.result()
        except BrokenProcessPool as error:
            raise _killed() from error


class Workers:
    """Some processes that start with the first task; this one alone when there is but one."""

    def __init__(self, count: int) -> None:
        self._count = count if count > 1 else 0
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting_max(self) -> int:
        """How many results may wait for an earlier one."""
        return self._count * _AHEAD + _KEPT if self._count else 0

    def submit(self, function: Callable[[T], R], task: T) -> Pending[R]:
        """Start a task in a worker; do it here when there is none.

        The caller keeps at most ``waiting_max`` of them waiting.
        """
        if not self._count:
            return Pending(function(task))
        if self._pool is None:
            # Not fork: Arrow and the caller may hold threads, and their locks would be copied held.
            self._pool = ProcessPoolExecutor(
                self._count, mp_context=multiprocessing.get_context("spawn")
            )
        try:
            return Pending(self._pool.submit(function, task))
        except BrokenProcessPool as error:
            raise _killed() from error

    def map_beside(
        self, function: Callable[[T], R], tasks: Iterable[tuple[K, T]]
    ) -> Iterator[tuple[K, R]]:
        """Run tasks, each beside something that stays here; results come in their order."""
        waiting: deque[tuple[K, Pending[R]]] = deque()
        for beside, task in tasks:
            waiting.append((beside, self.submit(function, task)))
            while waiting and (waiting[0][1].is_done or len(waiting) > self.waiting_max):
                done, pending = waiting.popleft()
                yield done, pending.result()
        while waiting:
            done, pending = waiting.popleft()
            yield done, pending.result()


def _killed() -> UnavailableError:
    return UnavailableError(
        "a worker process ended in the middle of its work: out of memory, or killed"
    )
