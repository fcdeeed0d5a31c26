"""One count of a proxy: an account for each of its processes, and what is held between two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.correlate.counter_account import CounterAccount
from meshtrail.correlate.held_times import HeldTimes

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from meshtrail.correlate.counter_account import Shortfall
    from meshtrail.correlate.pushes import Push

    Times = npt.NDArray[np.int64]

EARLY_NS: Final = 300_000_000_000
"""Before its first count the ends of so long are held: a process counts soon after its start."""


class CountBook:
    """One count of a proxy's, over its processes.

    Args:
        count: takes it from a push.
    """

    def __init__(self, count: Callable[[Push], int]) -> None:
        self._count = count
        self._account: CounterAccount | None = None
        self._early = HeldTimes()
        self._early_from_ns: int | None = None
        self._late_before = 0

    @property
    def held_count(self) -> int:
        """Ends that are held."""
        return self._account.held_count if self._account else self._early.count

    @property
    def late_count(self) -> int:
        """Records that came after their count was settled."""
        return self._late_before + (self._account.late_count if self._account else 0)

    @property
    def is_telling(self) -> bool:
        """As that of the account."""
        return self._account is not None and self._account.is_telling

    def add(self, ends: Times) -> None:
        """Take the ends of records."""
        if self._account is None:
            self._early.add(ends)
        else:
            self._account.add(ends)

    def drop_early(self) -> None:
        """Let go of ends that the first count of a process hardly takes in."""
        dropped_ns = self._early.drop_before(EARLY_NS)
        if dropped_ns is not None:
            self._early_from_ns = dropped_ns

    def is_held_since(self, since_ns: int) -> bool:
        """Whether all ends since a moment are still held."""
        return self._early_from_ns is None or self._early_from_ns <= since_ns

    def begin(self, first: Push, *, begin_jitter_ns: int) -> None:
        """Begin with a process; what ended since belongs to it."""
        self._late_before = self.late_count
        if self._account is not None:
            self._early.add(self._account.take_rest())
        self._account = CounterAccount(
            at_ns=first.at_ns, counted=self._count(first), begin_jitter_ns=begin_jitter_ns
        )
        self._account.add(self._early.take())

    def settle(self, push: Push) -> Shortfall | None:
        """What is missing now and was not told before."""
        assert self._account is not None  # noqa: S101 - a push begins it
        return self._account.settle(at_ns=push.at_ns, counted=self._count(push))

    def is_unsure_at(self, at_ns: int) -> bool:
        """Whether a count at a moment would give bounds only."""
        return self._account is not None and self._account.is_unsure_at(at_ns)

    def forget(self) -> None:
        """Let go of all that is held."""
        self._late_before = self.late_count
        self._account = None
        self._early = HeldTimes()
