"""Work spread over processes, with results in the order of the tasks.

A task is a function of this package and a picklable argument; what a worker sends back is data.
This process works too, whenever the others have enough to do: a pool of two is one more process.
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
"""Tasks handed to each other process: one under way, and one so that it need not wait."""

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
    """Some processes, this one among them; the others start with the first task."""

    def __init__(self, count: int) -> None:
        self._others = max(count, 1) - 1
        self._pool: ProcessPoolExecutor | None = None
        self._handed_out: list[Future[object]] = []

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
        return self._others * _AHEAD + _KEPT if self._others else 0

    def submit(self, function: Callable[[T], R], task: T) -> Pending[R]:
        """Start a task elsewhere, or do it here when the others have enough to do."""
        self._handed_out = [future for future in self._handed_out if not future.done()]
        if len(self._handed_out) >= self._others * _AHEAD:
            return Pending(function(task))
        if self._pool is None:
            # Not fork: Arrow and the caller may hold threads, and their locks would be copied held.
            self._pool = ProcessPoolExecutor(
                self._others, mp_context=multiprocessing.get_context("spawn")
            )
        try:
            future = self._pool.submit(function, task)
        except BrokenProcessPool as error:
            raise _killed() from error
        self._handed_out.append(future)  # type: ignore[arg-type] # only asked whether it is done
        return Pending(future)

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
