"""What follows from bounds on single clocks and on differences of two, for every clock.

A system of difference constraints: its solutions are shortest paths from the collector's clock and
back to it. Each relaxation is an implication of its own, so what is stopped early is looser, never
wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Int64s = npt.NDArray[np.int64]

NO_BOUND: Final = 1 << 61
"""High where nothing is known; low is its negative."""
ROUNDS_MAX: Final = 64
"""So many hops does a bound travel in one step: a call graph is far shallower."""


class Differences(NamedTuple):
    """Bounds on differences: clock ``later`` minus clock ``earlier`` is at most ``most_ns``.

    Attributes:
        earlier, later: int64[m], numbers of clocks.
        most_ns: int64[m].
    """

    earlier: Int64s
    later: Int64s
    most_ns: Int64s

    def turned(self) -> Differences:
        """The same for clocks that run into the other direction."""
        return Differences(self.later, self.earlier, self.most_ns)


class Relaxed(NamedTuple):
    """Bounds after everything was followed.

    Attributes:
        bounds: int64[n].
        moving: bool[n], where the last round allowed still changed something: a contradiction.
    """

    bounds: Int64s
    moving: npt.NDArray[np.bool_]


def relax_high(high: Int64s, differences: Differences) -> Relaxed:
    """Upper bounds of all clocks, from those of some and from differences.

    Args:
        high: int64[n], ``NO_BOUND`` where there is none.
        differences: between them.

    Cost: O(m) for each hop that a bound travels.
    """
    high = high.copy()
    moving = np.zeros(len(high), dtype=np.bool_)
    if not len(differences.most_ns):
        return Relaxed(high, moving)
    for _ in range(ROUNDS_MAX):
        before = high.copy()
        start = before[differences.earlier]
        reached = np.where(start < NO_BOUND, start + differences.most_ns, NO_BOUND)
        np.minimum.at(high, differences.later, reached)
        moving = high != before
        if not moving.any():
            break
    return Relaxed(high, moving)


def relax_low(low: Int64s, differences: Differences) -> Relaxed:
    """Lower bounds of all clocks: upper bounds of their negatives."""
    mirrored = relax_high(-low, differences.turned())
    return Relaxed(-mirrored.bounds, mirrored.moving)


def find_contradictions(differences: Differences) -> tuple[Int64s, Int64s]:
    """Pairs of clocks whose differences contradict each other, each pair once.

    Args:
        differences: each pair of clocks at most once in each direction.
    """
    width = int(max(differences.earlier.max(), differences.later.max())) + 1
    there = differences.earlier * width + differences.later
    back = differences.later * width + differences.earlier
    order = np.argsort(there)
    at = np.minimum(np.searchsorted(there, back, sorter=order), len(there) - 1)
    reverse = order[at]
    is_met = there[reverse] == back
    is_negative = differences.most_ns + differences.most_ns[reverse] < 0
    rows = np.flatnonzero(is_met & is_negative & (differences.earlier < differences.later))
    return differences.earlier[rows], differences.later[rows]
