"""Who stands in front at each moment: intervals that may overlap, cut into pieces that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.workloads.grouped_moments import GroupedMoments
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

NOBODY: Final = -1
INT64_MIN: Final = -INT64_MAX - 1


class Timelines:
    """Of each group, the interval that began last of those that hold.

    Of those that began at once, the one that was given last counts.
    """

    def __init__(self, groups: Ints, from_ns: Ints, to_ns: Ints) -> None:
        """Take the intervals.

        Args:
            groups: int64[n], 0 or more.
            from_ns: int64[n].
            to_ns: int64[n], after ``from_ns``.
        """
        order = np.lexsort((from_ns, groups))
        groups, from_ns, to_ns = groups[order], from_ns[order], to_ns[order]
        is_crowded = _are_crowded(groups, from_ns, to_ns)
        alone = np.flatnonzero(~is_crowded)
        crowded = np.flatnonzero(is_crowded)
        pieces = [
            (groups[alone], from_ns[alone], order[alone]),
            _gaps(groups[alone], from_ns[alone], to_ns[alone]),
            _layered(groups[crowded], from_ns[crowded], to_ns[crowded], order[crowded]),
        ]
        piece_groups, starts, rows = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        self._moments = GroupedMoments(piece_groups, starts)
        order = self._moments.order
        self._rows = np.append(rows[order], NOBODY)
        # A piece lasts until the next one of its group. Only where intervals are alone does it tell
        # of all that hold.
        alone_count = len(alone) + len(pieces[1][0])
        ends = np.append(starts[order][1:], INT64_MAX)[: len(order)]
        piece_groups = piece_groups[order]
        is_last = np.append(piece_groups[1:] != piece_groups[:-1], True)[: len(order)]
        ends[is_last] = INT64_MAX
        self._starts = np.append(np.where(order < alone_count, starts[order], INT64_MAX), INT64_MAX)
        self._ends = np.append(ends, INT64_MIN)

    def find(self, groups: Ints, at_ns: Ints) -> Ints:
        """The pieces that moments lie in.

        Args:
            groups: int64[m]; negative for none.
            at_ns: int64[m].

        Returns:
            int64[m]; -1 before the first piece of the group.
        """
        return self._moments.last_until(groups, at_ns)

    def rows_of(self, pieces: Ints) -> Ints:
        """The interval in front in each piece.

        Returns:
            int64[m], a position as it was given; ``NOBODY`` where none holds.
        """
        return self._rows[pieces]

    def are_alone(self, pieces: Ints, since_ns: Ints, until_ns: Ints) -> npt.NDArray[np.bool_]:
        """Where a piece holds all the time, and nothing else does: bool[m].

        Args:
            pieces: int64[m].
            since_ns: int64[m].
            until_ns: int64[m], included.
        """
        return (self._starts[pieces] <= since_ns) & (until_ns < self._ends[pieces])


def _are_crowded(groups: Ints, from_ns: Ints, to_ns: Ints) -> npt.NDArray[np.bool_]:
    """Which intervals are of a group in which two overlap; ordered by group and beginning."""
    if not len(groups):
        return np.zeros(0, dtype=np.bool_)
    # What reaches into any later interval of its group reaches into the next one.
    overlaps = np.append((groups[1:] == groups[:-1]) & (from_ns[1:] < to_ns[:-1]), False)
    starts = np.flatnonzero(np.append(True, groups[1:] != groups[:-1]))
    counts = np.diff(np.append(starts, len(groups)))
    return np.repeat(np.logical_or.reduceat(overlaps, starts), counts)


def _gaps(groups: Ints, from_ns: Ints, to_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """The pieces in which nothing holds, behind intervals that do not overlap."""
    is_followed = np.append((groups[1:] == groups[:-1]) & (from_ns[1:] == to_ns[:-1]), False)
    rows = np.flatnonzero(~is_followed[: len(groups)])
    return groups[rows], to_ns[rows], np.full(len(rows), NOBODY, dtype=np.int64)


def _layered(groups: Ints, from_ns: Ints, to_ns: Ints, numbers: Ints) -> tuple[Ints, Ints, Ints]:
    """The pieces of intervals that overlap, ordered by group and beginning.

    Below an interval lie those that began earlier and end later; all others are covered by it for
    as long as they last.

    Cost: a few steps for each interval, in Python.
    """
    pieces: list[tuple[int, int, int]] = []
    below: list[tuple[int, int]] = []
    at_group = NOBODY

    def end_until(moment: int | None) -> None:
        while below and (moment is None or below[-1][0] <= moment):
            ended_ns, _ = below.pop()
            pieces.append((at_group, ended_ns, below[-1][1] if below else NOBODY))

    columns = (groups.tolist(), from_ns.tolist(), to_ns.tolist(), numbers.tolist())
    for group, begin, end, number in zip(*columns, strict=True):
        if group != at_group:
            end_until(None)
            at_group = group
        end_until(begin)
        while below and below[-1][0] <= end:
            below.pop()
        below.append((end, number))
        pieces.append((group, begin, number))
    end_until(None)
    made = np.array(pieces, dtype=np.int64).reshape(-1, 3)
    return made[:, 0], made[:, 1], made[:, 2]
