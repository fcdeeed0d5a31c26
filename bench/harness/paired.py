"""What two variants differ by, from runs that were made in pairs: the mean and its interval."""

from __future__ import annotations

import math
import random  # noqa: TID251 - seeded: the order of a benchmark's runs can be had again
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

T_95 = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
"""Student's t: the 97.5 % point for 1, 2, … 30 degrees of freedom.

Source: any table of the t distribution; the tests integrate the density up to each.
"""
PAIRS_MIN = 2
PAIRS_MAX = len(T_95) + 1


@dataclass(frozen=True, slots=True)
class Difference:
    """How much the one of two variants lies above the other, over all pairs.

    Attributes:
        base: mean of the variant that is compared with.
        mean: mean of the differences, in the unit of the values; negative where it lies below.
        low: lower end of the 95 % interval of that mean.
        high: its upper end.
    """

    base: float
    mean: float
    low: float
    high: float

    @property
    def contains_zero(self) -> bool:
        """Whether the interval allows that there is no difference."""
        return self.low <= 0 <= self.high

    def percent(self, value: float) -> float:
        """A value of this difference as a share of the base."""
        return 100 * value / self.base

    def figures(self) -> dict[str, Any]:
        """JSON-ready, for values in microseconds."""
        return {
            "mean_us": round(self.mean, 1),
            "interval_95_us": [round(self.low, 1), round(self.high, 1)],
            "mean_percent": round(self.percent(self.mean), 2),
            "interval_95_percent": [
                round(self.percent(self.low), 2),
                round(self.percent(self.high), 2),
            ],
            "interval_contains_zero": self.contains_zero,
        }


def compare_pairs(values: Sequence[float], base_values: Sequence[float]) -> Difference:
    """The mean difference of pairs, with the interval of Student's paired t test.

    Args:
        values: one value for each pair, of the variant in question.
        base_values: the other value of each pair, in the same order.

    Raises:
        ValueError: there are fewer than 2 pairs, or more than the table of t knows.
    """
    count = len(values)
    if not PAIRS_MIN <= count <= PAIRS_MAX:
        raise ValueError(f"want {PAIRS_MIN} to {PAIRS_MAX} pairs, got {count}")
    differences = [value - base for value, base in zip(values, base_values, strict=True)]
    mean = statistics.fmean(differences)
    half = T_95[count - 2] * statistics.stdev(differences) / math.sqrt(count)
    return Difference(statistics.fmean(base_values), mean, mean - half, mean + half)


def plan_order(pairs_count: int, *, seed: int) -> list[bool]:
    """Whether the first variant goes first, pair by pair.

    Each goes first in half of the pairs, so that a drift of the machine favours neither; which
    half is chance, so that nothing periodic does.
    """
    order = [place % 2 == 0 for place in range(pairs_count)]
    random.Random(seed).shuffle(order)  # noqa: S311 - an order of runs, not a secret
    return order
