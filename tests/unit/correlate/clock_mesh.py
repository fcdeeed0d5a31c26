"""A mesh of clocks that are wrong in known ways, for tests of what is found out about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meshtrail.correlate.clock_offsets import ACCESS_LOGS, COUNTS, Arrivals, ClockPairs

if TYPE_CHECKING:
    from meshtrail.correlate.clock_offsets import ClockOffsets

S = 1_000_000_000
MS = 1_000_000
BEGIN = 1_763_712_000 * S
PPM = 1_000_000


@dataclass
class SimulatedClock:
    """A reporter's clock: off, drifting, and perhaps stepped once."""

    offset_ns: int
    drift_ppm: float = 0
    step_at_ns: int = 1 << 62
    step_ns: int = 0

    def offset_at(self, true_ns: int) -> int:
        stepped = self.step_ns if true_ns >= self.step_at_ns else 0
        return self.offset_ns + int((true_ns - BEGIN) * self.drift_ppm / PPM) + stepped

    def read(self, true_ns: int) -> int:
        return true_ns + self.offset_at(true_ns)


Row = tuple[int, int, int, int]


class SimulatedMesh:
    """Services that call each other; their proxies write records and counts.

    Args:
        clocks: one for each proxy.
        seed: of all that is random.
        lost: the part of the records that never comes in.
    """

    def __init__(self, clocks: list[SimulatedClock], *, seed: int, lost: float = 0.1) -> None:
        self.clocks = clocks
        self._random = np.random.default_rng(seed)
        self._lost = lost

    def run(
        self, offsets: ClockOffsets, from_ns: int, *, calls: int, has_pairs: bool = True
    ) -> None:
        """Ten seconds: calls, the records of them with what Envoy's flush adds, and a count."""
        records: list[Row] = []
        pairs: list[tuple[int, ...]] = []
        for _ in range(calls):
            caller, callee = self._random.choice(len(self.clocks), 2, replace=False).tolist()
            row = self._call(from_ns, caller, callee)
            arrived = [one for one in row if self._random.random() >= self._lost]
            records += arrived
            if len(arrived) == 2:
                (_, time_s, end_s, received_s), (_, time_d, end_d, received_d) = row
                received = min(received_s, received_d)
                pairs.append((caller, callee, time_s, end_s, time_d, end_d, received))
        records.sort(key=lambda one: one[3])
        counts = sorted(
            (self._count(number, from_ns) for number in range(len(self.clocks))),
            key=lambda one: one[3],
        )
        offsets.take_arrivals(arrivals(records), ACCESS_LOGS)
        offsets.take_arrivals(arrivals(counts), COUNTS)
        if has_pairs:
            offsets.take_pairs(ClockPairs(*_columns(pairs, 7)))

    def _call(self, from_ns: int, caller: int, callee: int) -> tuple[Row, Row]:
        begin = from_ns + int(self._random.uniform(0, 8 * S))
        there, back = (self._network_ns() for _ in range(2))
        work = int(self._random.lognormal(15, 1.5))
        end = begin + there + work + back
        return (
            self._record(caller, begin, end),
            self._record(callee, begin + there, begin + there + work),
        )

    def _record(self, number: int, begin: int, end: int) -> Row:
        time_ns = self.clocks[number].read(begin)
        # What a proxy logs is the wall clock at the start, and the rest by another clock.
        flushed = end + int(self._random.uniform(0, S * 0.95))
        return number, time_ns, time_ns + end - begin, flushed + self._network_ns()

    def _count(self, number: int, from_ns: int) -> Row:
        at = from_ns + int(self._random.uniform(0, 9 * S))
        read = self.clocks[number].read(at) // MS * MS
        return number, read, read, at + self._network_ns()

    def _network_ns(self) -> int:
        """Half a millisecond, sometimes a hundred times that: a retransmission."""
        return int(self._random.lognormal(13, 0.8)) + (self._random.random() < 0.01) * 60 * MS


def _columns(
    rows: list[tuple[int, ...]], width: int
) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return list(np.array(rows, dtype=np.int64).reshape(-1, width).T)


def arrivals(rows: list[Row]) -> Arrivals:
    return Arrivals(*_columns(list(rows), 4))


def pairs(*rows: tuple[int, int, int, int, int, int, int]) -> ClockPairs:
    return ClockPairs(*_columns(list(rows), 7))
