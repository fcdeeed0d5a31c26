"""What a proxy counted against what was sealed of it: how many records are missing, with bounds.

A proxy tells now and then how many records it has written since it started. Each record says when
its happening ended, on the same clock, so the records that a count takes in are known but for those
that ended at about the moment of the count. Where none did, the difference is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.held_times import HeldTimes

if TYPE_CHECKING:
    import numpy.typing as npt

    Times = npt.NDArray[np.int64]


LATE_NS: Final = 150_000_000
"""A count has taken in what ended longer ago than this; up to 75 ms were seen under load."""

EARLY_NS: Final = 2_000_000
"""A count has not taken in what ends later than this after it; up to 1 ms was seen."""


TELLING_PARTS: Final = 16
"""Where requests never pause no count is exact, but over half a minute the doubt is small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """Records that were counted and are not there.

    Attributes:
        from_ns: on the proxy's clock; all before is accounted for.
        until_ns: when it counted.
        missing_min: at least so many more than were told before.
        missing_max: at most so many more than were told before.
    """

    from_ns: int
    until_ns: int
    missing_min: int
    missing_max: int


class CounterAccount:
    """The account of one counter of one process of a proxy.

    Counts are taken in the order of their times, each when all records that it can take in have
    had time to arrive.

    Args:
        at_ns: when the account begins, on the proxy's clock.
        counted: what the counter said then; 0 for a process that has just started.
        begin_jitter_ns: how well ``at_ns`` is known, where it is no count.

    Attributes:
        late_count: records that came after their count was settled. So many fewer are missing.
        is_telling: whether the last count took in anything, and nothing ended around it or what
            is missing of it is known to a small part.
    """

    def __init__(self, *, at_ns: int, counted: int, begin_jitter_ns: int = 0) -> None:
        self.late_count = 0
        self.is_telling = False
        self._ends = HeldTimes()
        # What ended at about the beginning may be in the first count already, or not.
        self._unsure_until_ns = at_ns + max(EARLY_NS, begin_jitter_ns)
        self._taken_from_ns = at_ns - max(LATE_NS, begin_jitter_ns)
        self._is_late_counted = False
        self._start(at_ns, counted)

    def add(self, ends: Times) -> None:
        """Take the ends of sealed records, in any order: int64[n], ns on the proxy's clock."""
        self._ends.add(ends)

    @property
    def held_count(self) -> int:
        """Ends that no count was sure of."""
        return self._ends.count

    def is_unsure_at(self, at_ns: int) -> bool:
        """Whether a record ended so close to a moment that a count of it may have it, or not."""
        return self._ends.has_within(at_ns - LATE_NS, at_ns + EARLY_NS)

    def take_rest(self) -> Times:
        """The ends that no count was sure of; the account is over."""
        return self._ends.take()

    def settle(self, *, at_ns: int, counted: int) -> Shortfall | None:
        """Take a count.

        Args:
            at_ns: when the proxy counted; after the last one.
            counted: since its process started; not less than the last one.

        Returns:
            What is known to be missing now and was not told before; None for nothing.
        """
        ends = self._take_ends()
        sure, maybe, unsure = np.searchsorted(
            ends,
            [at_ns - LATE_NS, at_ns + EARLY_NS, self._unsure_until_ns],
            side="right",
        ).tolist()
        self._unsure += min(unsure, sure)
        counted_more = counted - self._counted
        low = counted_more - self._sealed - maybe
        high = counted_more - self._sealed - sure + self._unsure
        shortfall = self._compare(low, high, at_ns)
        self._ends.add(ends[sure:])
        is_narrow = (high - low) * TELLING_PARTS <= counted_more
        self.is_telling = counted_more > 0 and (sure == maybe or is_narrow)
        if sure == maybe:
            # Nothing ended around the count: from here on everything is known again.
            self._unsure_until_ns = self._taken_from_ns = at_ns
            self._is_late_counted = True
            self._start(at_ns, counted)
        else:
            self._sealed += sure
        return shortfall

    def _start(self, at_ns: int, counted: int) -> None:
        self._from_ns = at_ns
        self._counted = counted
        self._sealed = self._unsure = self._told = 0

    def _take_ends(self) -> Times:
        """All ends that no count was sure of, ascending."""
        ends = self._ends.take()
        ends.sort()
        first = int(np.searchsorted(ends, self._taken_from_ns, side="right"))
        if self._is_late_counted:
            self.late_count += first
        return ends[first:]

    def _compare(self, low: int, high: int, at_ns: int) -> Shortfall | None:
        if high < self._told:
            # They were told as missing, and have come.
            self.late_count += self._told - max(high, 0)
            self._told = max(high, 0)
        if low <= self._told:
            return None
        shortfall = Shortfall(
            from_ns=self._from_ns,
            until_ns=at_ns,
            missing_min=low - self._told,
            missing_max=high - self._told,
        )
        self._told = low
        return shortfall
