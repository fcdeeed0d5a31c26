"""How far each reporter's clock is from the collector's, with the bounds that evidence gives.

Offset is the reporter's clock minus the collector's. What a reporter says was over came in later,
so each arrival bounds its offset from below, for certain. Of two records of one request, the
caller's begins first and ends last, which bounds the difference of two clocks on both sides. From
above only the collector's own part in a request is certain; else it is assumed that of several
arrivals one was hardly delayed. Pure: what comes in, and time, are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from meshtrail.correlate.clock_bounds import (
    NO_BOUND,
    Differences,
    find_contradictions,
    relax_high,
    relax_low,
)
from meshtrail.correlate.clock_evidence import Evidence, LeastDelayed, Receipts
from meshtrail.model.event import TimeQuality

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from meshtrail.correlate.clock_bounds import Relaxed

    Int64s = npt.NDArray[np.int64]

COLLECTOR: Final = -1
"""Stands for the collector where a reporter's number is asked for."""

GENERATION_NS: Final = 300_000_000_000
"""Evidence is kept for one to two of these: whatever breaks an assumption is over by then."""
OFFSET_NS_MAX: Final = 365 * 86_400 * 1_000_000_000
"""A clock that is further off was never set, and has no offset that anything follows from."""
HELD_NS: Final = 10_000_000_000
"""How long a record of a pair was on its way, where nothing bounds it: it only counts as drift."""
LONG_NS: Final = 60_000_000_000
"""What lasted longer began too long ago to be among the arrivals that are hardly delayed."""

ACCESS_LOGS: Final = (8, 1_250_000_000)
"""Of so many arrivals of access logs one was delayed by at most that: Envoy flushes them each
second, and calls that come in step with it may all end just after a flush."""
COUNTS: Final = (3, 250_000_000)
"""Counts are sent as they are read; Envoy tells the moment in whole milliseconds."""
BATCHES: Final = (8, 10_000_000_000)
"""OTLP comes in batches, of five seconds as SDKs are set, through collectors that batch again."""

_CONTRADICTIONS_MAX: Final = 8
"""Looks at one step before everything in contradiction is dropped."""


class Sending(NamedTuple):
    """How a kind of telemetry is sent: of so many arrivals one was delayed by at most that."""

    arrivals_count: int
    delay_ns_max: int


class Arrivals(NamedTuple):
    """What reporters sent, in the order of the log: int64[n] each.

    Attributes:
        reporter: number, from 0.
        time_ns: when the reporter's clock was read.
        end_ns: the end of the happening, by it.
        received_ns: on the collector's clock.
    """

    reporter: Int64s
    time_ns: Int64s
    end_ns: Int64s
    received_ns: Int64s


class ClockPairs(NamedTuple):
    """Two records of one request each: int64[n] each.

    Of requests that were broken off, and of attempts that were given up, the callee may end later
    than the caller: leave those out.

    Attributes:
        source: number of the caller's reporter, or ``COLLECTOR``.
        destination: number of the callee's, or ``COLLECTOR``.
        source_time_ns, source_end_ns: on its clock.
        destination_time_ns, destination_end_ns: likewise.
        received_ns: arrival of the first of the two records.
    """

    source: Int64s
    destination: Int64s
    source_time_ns: Int64s
    source_end_ns: Int64s
    destination_time_ns: Int64s
    destination_end_ns: Int64s
    received_ns: Int64s


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockEstimate:
    """The offset of one reporter, which is within ``offset_ns`` ± ``error_ns``.

    Attributes:
        from_ns: since when evidence counts, on the collector's clock.
        until_ns: when it was so.
        is_stepped: whether evidence was dropped because it contradicts other evidence.
    """

    offset_ns: int | None
    error_ns: int | None
    quality: TimeQuality
    from_ns: int
    until_ns: int
    is_stepped: bool = False


class ClockOffsets:
    """Takes evidence, and says at the end of each step what follows from it.

    A clock that is stepped contradicts what is known of it; all evidence about it is dropped then.
    A step back by less than the assumed delay looks like delay: bounds may be wrong until the
    evidence before it is too old, or a pair contradicts it.
    """

    def __init__(self) -> None:
        self._current = Evidence()
        self._previous = Evidence()
        self._generation: int | None = None
        self._least = {
            Sending(*one): LeastDelayed(arrivals_count=one[0], delay_ns_max=one[1])
            for one in (ACCESS_LOGS, COUNTS, BATCHES)
        }
        self._restarted_ns = -NO_BOUND
        self._floor_ns = np.full(1, -NO_BOUND, dtype=np.int64)
        self._high = np.zeros(1, dtype=np.int64)
        self._is_alone = np.zeros(1, dtype=np.bool_)
        self._stepped: set[int] = set()

    def take_arrivals(self, arrivals: Arrivals, sending: tuple[int, int] | None) -> None:
        """Take what came in.

        Args:
            arrivals: of one kind of telemetry.
            sending: how it is sent; None where nothing is known of that.
        """
        sound = (
            _near(arrivals.time_ns, arrivals.received_ns)
            & _near(arrivals.end_ns, arrivals.received_ns)
            & (arrivals.reporter >= 0)
        )
        reporter, time_ns, end_ns, received_ns = (column[sound] for column in arrivals)
        clock = reporter + 1
        self._grow(int(clock.max(initial=0)) + 1)
        lasted_ns = np.maximum(end_ns - time_ns, 0)
        receipts = Receipts(clock, end_ns - received_ns, received_ns - lasted_ns, received_ns)
        receipts = receipts.where(receipts.anchor_ns >= self._floor_ns[clock])
        self._current.add_low(receipts.clock, receipts.ahead_ns, receipts.anchor_ns)
        if sending is not None:
            is_short = receipts.received_ns - receipts.anchor_ns <= LONG_NS
            self._least[Sending(*sending)].take(receipts.where(is_short), self._current)

    def take_pairs(self, pairs: ClockPairs) -> None:
        """Take records of which two belong to one request."""
        times = (
            pairs.source_time_ns,
            pairs.source_end_ns,
            pairs.destination_time_ns,
            pairs.destination_end_ns,
        )
        sound = pairs.source != pairs.destination
        for time_ns in times:
            sound &= _near(time_ns, pairs.received_ns)
        pairs = ClockPairs(*(column[sound] for column in pairs))
        source, destination = pairs.source + 1, pairs.destination + 1
        self._grow(int(np.maximum(source, destination).max(initial=0)) + 1)
        anchor_ns = pairs.received_ns - self._longest_ago(pairs)
        floor_ns = np.maximum(self._floor_ns[source], self._floor_ns[destination])
        fresh = anchor_ns >= floor_ns
        fresh &= ~(self._is_alone[source] | self._is_alone[destination])
        # Began later: destination's clock - source's clock <= the difference of what they say.
        began = pairs.destination_time_ns - pairs.source_time_ns
        # Ended earlier: source's clock - destination's clock <= likewise.
        ended = pairs.source_end_ns - pairs.destination_end_ns
        for one in (
            Differences(source, destination, began),
            Differences(destination, source, ended),
        ):
            kept = Differences(*(column[fresh] for column in one))
            self._current.add_differences(kept, anchor_ns[fresh])

    def close_step(self, until_ns: int) -> Iterator[tuple[int, ClockEstimate]]:
        """The offset of each reporter of which anything is known, by its number.

        Args:
            until_ns: now, on the collector's clock.
        """
        self._turn(until_ns)
        for _ in range(_CONTRADICTIONS_MAX):
            differences = self._differences(until_ns)
            contradicting = _most_contradicted(differences)
            if not contradicting:
                break
            self._drop(contradicting, until_ns)
        yield from self._solve(until_ns)

    def restart(self, until_ns: int) -> None:
        """Drop all evidence: the collector's own clock was stepped, and runs true from then on."""
        self._restarted_ns = until_ns
        self._drop(set(range(len(self._floor_ns))), until_ns)
        self._is_alone[:] = False

    def _solve(self, until_ns: int) -> Iterator[tuple[int, ClockEstimate]]:
        while True:
            own_low, own_high = self._own_bounds(until_ns)
            contradicting = set(np.flatnonzero(own_low > own_high).tolist())
            if contradicting:
                # Those who were stepped, before others are reached by what they said.
                self._drop(contradicting, until_ns)
                continue
            differences = self._differences(until_ns)
            low, certain, assumed = self._relaxed(own_low, own_high, differences)
            high = np.minimum(certain.bounds, assumed.bounds)
            wrong = (low.bounds > high) | low.moving | certain.moving | assumed.moving
            # The collector's own clock is what all are measured by.
            wrong[0] = False
            if not wrong.any():
                break
            self._drop(set(np.flatnonzero(wrong).tolist()), until_ns)
        self._high = high
        yield from self._tell(low.bounds, certain.bounds, high, until_ns)

    def _tell(
        self, low: Int64s, certain: Int64s, high: Int64s, until_ns: int
    ) -> Iterator[tuple[int, ClockEstimate]]:
        is_known = (low > -NO_BOUND) & (high < NO_BOUND)
        is_known[0] = False
        since_ns = (until_ns // GENERATION_NS - 1) * GENERATION_NS
        for clock in np.flatnonzero(is_known).tolist():
            is_bounded = bool(certain[clock] < NO_BOUND)
            most = int(certain[clock] if is_bounded else high[clock])
            offset_ns = (int(low[clock]) + most) // 2
            yield (
                clock - 1,
                ClockEstimate(
                    offset_ns=offset_ns,
                    error_ns=most - offset_ns,
                    quality=TimeQuality.BOUNDED if is_bounded else TimeQuality.ESTIMATED,
                    from_ns=min(max(since_ns, int(self._floor_ns[clock])), until_ns),
                    until_ns=until_ns,
                    is_stepped=clock in self._stepped,
                ),
            )
        for clock in sorted(self._stepped):
            if clock and not is_known[clock]:
                yield (
                    clock - 1,
                    ClockEstimate(
                        offset_ns=None,
                        error_ns=None,
                        quality=TimeQuality.UNKNOWN,
                        from_ns=min(int(self._floor_ns[clock]), until_ns),
                        until_ns=until_ns,
                        is_stepped=True,
                    ),
                )
        self._stepped.clear()

    def _own_bounds(self, now_ns: int) -> tuple[Int64s, Int64s]:
        """Lower bounds, and upper ones by assumption, from arrivals alone."""
        both = (self._current, self._previous)
        low = np.maximum(*(evidence.low_at(now_ns) for evidence in both))
        assumed = np.minimum(*(evidence.high_at(now_ns) for evidence in both))
        low[0] = assumed[0] = 0
        return low, assumed

    @staticmethod
    def _relaxed(
        low: Int64s, assumed: Int64s, differences: Differences
    ) -> tuple[Relaxed, Relaxed, Relaxed]:
        """Lower bounds, certain upper ones, and upper ones by assumption."""
        certain = np.full(len(low), NO_BOUND, dtype=np.int64)
        certain[0] = 0
        return (
            relax_low(low, differences),
            relax_high(certain, differences),
            relax_high(assumed, differences),
        )

    def _differences(self, now_ns: int) -> Differences:
        best = self._previous.differences_at(now_ns)
        for pair, most in self._current.differences_at(now_ns).items():
            best[pair] = min(best.get(pair, most), most)
        flat = np.fromiter(chain.from_iterable(best), np.int64, 2 * len(best)).reshape(-1, 2)
        most_ns = np.fromiter(best.values(), np.int64, len(best))
        return Differences(flat[:, 0], flat[:, 1], most_ns)

    def _longest_ago(self, pairs: ClockPairs) -> Int64s:
        """How long before the arrival the caller began, at most."""
        high = self._high[pairs.source + 1]
        held_ns = np.clip(pairs.received_ns - pairs.source_end_ns + high, 0, OFFSET_NS_MAX)
        lasted_ns = np.maximum(pairs.source_end_ns - pairs.source_time_ns, 0)
        longest_ns: Int64s = np.where(high < NO_BOUND, held_ns, HELD_NS) + lasted_ns
        return longest_ns

    def _turn(self, now_ns: int) -> None:
        """Begin a generation of evidence when it is time."""
        generation = now_ns // GENERATION_NS
        before, self._generation = self._generation, generation
        if before in (None, generation):
            return
        self._previous = self._current if before == generation - 1 else Evidence()
        self._current = Evidence()
        self._is_alone[:] = False
        self._grow(len(self._floor_ns))

    def _drop(self, clocks: set[int], now_ns: int) -> None:
        """Drop what is known of clocks, and take no pairs of theirs in this generation.

        Who keeps saying what contradicts others could otherwise keep theirs from being known.
        """
        clocks = clocks - {0}
        self._is_alone[list(clocks)] = True
        for keeper in self._keepers():
            keeper.forget(clocks)
        self._floor_ns[list(clocks)] = now_ns
        self._high[list(clocks)] = NO_BOUND
        self._stepped |= clocks

    def _grow(self, clocks_count: int) -> None:
        missing = clocks_count - len(self._floor_ns)
        if missing > 0:
            unknown = np.full(missing, NO_BOUND, dtype=np.int64)
            floor_ns = np.full(missing, self._restarted_ns, dtype=np.int64)
            self._floor_ns = np.append(self._floor_ns, floor_ns)
            self._high = np.append(self._high, unknown)
            self._is_alone = np.append(self._is_alone, np.zeros(missing, dtype=np.bool_))
        for keeper in self._keepers():
            keeper.grow(len(self._floor_ns))

    def _keepers(self) -> list[Evidence | LeastDelayed]:
        return [self._current, self._previous, *self._least.values()]


def _near(time_ns: Int64s, received_ns: Int64s) -> npt.NDArray[np.bool_]:
    """Where a time is none that a clock could say by mistake alone."""
    return (time_ns > received_ns - OFFSET_NS_MAX) & (time_ns < received_ns + OFFSET_NS_MAX)


def _most_contradicted(differences: Differences) -> set[int]:
    """The clocks that take part in most contradictions: the one that was stepped, if it was one.

    Of several those with the fewest others: who was stepped contradicts all that it has.
    """
    if not len(differences.most_ns):
        return set()
    earlier, later = find_contradictions(differences)
    # Clock 0 is the measure; what contradicts it is the other's fault.
    others = np.bincount(np.append(differences.earlier, differences.later))
    counts = np.bincount(np.append(earlier, later), minlength=len(others))
    counts[0] = 0
    if not counts.any():
        return set()
    most = np.flatnonzero(counts == counts.max())
    return set(most[others[most] == others[most].min()].tolist())
