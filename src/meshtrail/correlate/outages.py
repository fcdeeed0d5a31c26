"""What happened to the recording itself: when the collector did not run, which connections broke.

Taken from what collect seals of itself; it explains why records are missing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict, deque
from typing import Final

from meshtrail.correlate.statements import Cause

RESETS_MAX: Final = 1_000
"""Of one reporter; the oldest are forgotten."""

_OUTAGES_MAX: Final = 10_000


class Outages:
    """When records could not come in, on the collector's clock."""

    def __init__(self) -> None:
        self._down: deque[tuple[int, int]] = deque(maxlen=_OUTAGES_MAX)
        self._resets: defaultdict[int, list[int]] = defaultdict(list)

    @property
    def last_end_ns(self) -> int:
        """Since when the collector has been running, as far as is known."""
        return self._down[-1][1] if self._down else 0

    def add_downtime(self, from_ns: int, until_ns: int) -> None:
        """Note that the collector did not run; in the order of time."""
        self._down.append((from_ns, until_ns))

    def add_reset(self, reporter: int, at_ns: int) -> None:
        """Note that a connection of a reporter broke."""
        resets = self._resets[reporter]
        insort(resets, at_ns)
        if len(resets) > RESETS_MAX:
            del resets[0]

    def explain(self, reporter: int, from_ns: int, until_ns: int) -> Cause:
        """Why records of a reporter are missing that ended within a time, as far as is known."""
        if any(start <= until_ns and from_ns <= end for start, end in self._down):
            return Cause.COLLECTOR_DOWN
        resets = self._resets.get(reporter, [])
        at = bisect_left(resets, from_ns)
        if at < len(resets) and resets[at] <= until_ns:
            return Cause.CONNECTION_RESET
        return Cause.UNKNOWN
