"""What is known of clocks, kept so that it ages by itself.

A bound that was true at a moment is true later, widened by the drift since. All bounds of a kind
widen alike, so of many only the best is kept: as what it would have been at the epoch, from which
the drift until now is taken off again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from meshtrail.correlate.clock_bounds import NO_BOUND, Differences
from meshtrail.sources.reporter_clocks import DRIFT_DIVISOR

if TYPE_CHECKING:
    import numpy.typing as npt

    Int64s = npt.NDArray[np.int64]

DIFFERENCES_MAX: Final = 1 << 18
"""Pairs of reporters that are kept; calls between more of them bound nothing. 4 MB."""


class Receipts(NamedTuple):
    """What came in, in the order of the log.

    Attributes:
        clock: int64[n], whose.
        ahead_ns: int64[n], the reporter's time of sending, at the earliest, minus the arrival: the
            offset is more than that.
        anchor_ns: int64[n], at the latest when the reporter's clock was read, by the collector's.
        received_ns: int64[n].
    """

    clock: Int64s
    ahead_ns: Int64s
    anchor_ns: Int64s
    received_ns: Int64s

    def where(self, which: npt.NDArray[np.bool_]) -> Receipts:
        """Some of them."""
        return Receipts(*(column[which] for column in self))


class Evidence:
    """The best bounds of a stretch of time. Clock 0 is the collector's own."""

    def __init__(self) -> None:
        self._low = np.full(1, -NO_BOUND, dtype=np.int64)
        self._high = np.full(1, NO_BOUND, dtype=np.int64)
        self._differences: dict[tuple[int, int], int] = {}

    def grow(self, clocks_count: int) -> None:
        """Make room for clocks."""
        missing = clocks_count - len(self._low)
        if missing > 0:
            self._low = np.append(self._low, np.full(missing, -NO_BOUND, dtype=np.int64))
            self._high = np.append(self._high, np.full(missing, NO_BOUND, dtype=np.int64))

    def add_low(self, clock: Int64s, low_ns: Int64s, anchor_ns: Int64s) -> None:
        """Take lower bounds that held at their anchors."""
        np.maximum.at(self._low, clock, low_ns + anchor_ns // DRIFT_DIVISOR)

    def add_high(self, clock: Int64s, aged_ns: Int64s) -> None:
        """Take upper bounds, aged by ``age_high``."""
        np.minimum.at(self._high, clock, aged_ns)

    def add_differences(self, differences: Differences, anchor_ns: Int64s) -> None:
        """Take bounds on differences that held at their anchors; both clocks may drift."""
        aged = differences.most_ns - 2 * (anchor_ns // DRIFT_DIVISOR)
        kept = self._differences
        # Sorted so that the best of each pair comes first: one look at each pair.
        order = np.lexsort((aged, differences.later, differences.earlier))
        earlier, later = differences.earlier[order], differences.later[order]
        is_first = np.append(True, (np.diff(earlier) != 0) | (np.diff(later) != 0))
        rows = order[is_first[: len(order)]]
        for a, b, most in zip(
            differences.earlier[rows].tolist(),
            differences.later[rows].tolist(),
            aged[rows].tolist(),
            strict=True,
        ):
            known = kept.get((a, b))
            if known is not None:
                kept[a, b] = min(known, most)
            elif len(kept) < DIFFERENCES_MAX:
                kept[a, b] = most

    def forget(self, clocks: set[int]) -> None:
        """Drop everything about some clocks."""
        rows = [clock for clock in clocks if clock < len(self._low)]
        self._low[rows] = -NO_BOUND
        self._high[rows] = NO_BOUND
        self._differences = {
            pair: most
            for pair, most in self._differences.items()
            if pair[0] not in clocks and pair[1] not in clocks
        }

    def low_at(self, now_ns: int) -> Int64s:
        """Lower bounds now: int64[clocks]."""
        known = self._low > -NO_BOUND
        return np.where(known, self._low - _drift_until(now_ns), -NO_BOUND)

    def high_at(self, now_ns: int) -> Int64s:
        """Upper bounds now: int64[clocks]."""
        known = self._high < NO_BOUND
        return np.where(known, self._high + _drift_until(now_ns), NO_BOUND)

    def differences_at(self, now_ns: int) -> dict[tuple[int, int], int]:
        """Bounds on differences now, by earlier and later."""
        drift_ns = 2 * _drift_until(now_ns)
        return {pair: most + drift_ns for pair, most in self._differences.items()}


def age_high(high_ns: Int64s, anchor_ns: Int64s) -> Int64s:
    """Upper bounds that held at their anchors, as ``Evidence.add_high`` takes them."""
    return high_ns - anchor_ns // DRIFT_DIVISOR


def _drift_until(now_ns: int) -> int:
    """The drift since the epoch, rounded up where ages are rounded down."""
    return -(-now_ns // DRIFT_DIVISOR)


class LeastDelayed:
    """Upper bounds that rest on an assumption: of so many arrivals, one was hardly delayed.

    Args:
        arrivals_count: so many.
        delay_ns_max: at most so long was the least delayed of them on its way.
    """

    def __init__(self, *, arrivals_count: int, delay_ns_max: int) -> None:
        self._wanted = arrivals_count
        self._delay_ns = delay_ns_max
        self._count = np.zeros(1, dtype=np.int64)
        self._last_ns = np.full(1, -NO_BOUND, dtype=np.int64)
        self._last_sent_ns = self._last_ns.copy()
        self._aged = np.full(1, -NO_BOUND, dtype=np.int64)

    def grow(self, clocks_count: int) -> None:
        """Make room for clocks."""
        missing = clocks_count - len(self._count)
        if missing > 0:
            self._count = np.append(self._count, np.zeros(missing, dtype=np.int64))
            unknown = np.full(missing, -NO_BOUND, dtype=np.int64)
            self._last_ns = np.append(self._last_ns, unknown)
            self._last_sent_ns = np.append(self._last_sent_ns, unknown)
            self._aged = np.append(self._aged, unknown)

    def forget(self, clocks: set[int]) -> None:
        """Begin anew with some clocks."""
        rows = [clock for clock in clocks if clock < len(self._count)]
        self._count[rows] = 0
        for column in (self._last_ns, self._last_sent_ns, self._aged):
            column[rows] = -NO_BOUND

    def take(self, receipts: Receipts, evidence: Evidence) -> None:
        """Take receipts; what came in at one moment, or tells of one, is one arrival.

        Args:
            receipts: in the order of the log, however it is cut.
            evidence: gets the bounds that become known.
        """
        if not len(receipts.clock):
            return
        order = np.argsort(receipts.clock, kind="stable")
        clock, ahead, anchor, received = (column[order] for column in receipts)
        aged = age_high(ahead + self._delay_ns, anchor - self._delay_ns)
        is_first = np.append(True, np.diff(clock) != 0)
        sent = ahead + received
        before = np.where(is_first, self._last_ns[clock], np.append(0, received[:-1]))
        sent_before = np.where(is_first, self._last_sent_ns[clock], np.append(0, sent[:-1]))
        # A message of many records is one arrival, and so is a count cut into many messages.
        is_arrival = (received != before) & (sent != sent_before)
        starts = np.flatnonzero(is_first)
        lengths = np.diff(np.append(starts, len(clock)))
        arrivals = np.cumsum(is_arrival)
        # Counted from the clock's first row on, and from what it had before.
        arrivals -= np.repeat(arrivals[starts] - is_arrival[starts], lengths)
        arrivals += self._count[clock]
        group = np.maximum(arrivals - 1, 0) // self._wanted
        is_new = is_first | (np.append(0, np.diff(group)) != 0)
        heads = np.flatnonzero(is_new)
        worst = np.maximum.reduceat(aged, heads)
        continued = is_first[heads] & (group[heads] == 0)
        owners = clock[heads]
        worst = np.where(continued, np.maximum(worst, self._aged[owners]), worst)
        is_last = np.append(np.diff(owners) != 0, True)
        # A group is whole when the next has begun: more may come in at the moment of its last.
        evidence.add_high(owners[~is_last], worst[~is_last])
        skipped = is_first[heads] & (group[heads] > 0)
        evidence.add_high(owners[skipped], self._aged[owners[skipped]])
        ends = np.append(starts[1:], len(clock)) - 1
        whose = clock[ends]
        self._aged[whose] = worst[is_last]
        self._count[whose] = arrivals[ends] - group[ends] * self._wanted
        self._last_ns[whose], self._last_sent_ns[whose] = received[ends], sent[ends]
