"""Moments by group, in order, and how many of a group lie before another moment.

A group and a nanosecond do not fit into one integer, but a group and the rank of a moment do: two
binary searches in whole columns answer any number of questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

_RANK_BITS: Final = 32
"""Fewer than 2**32 moments, and fewer than 2**31 groups."""


class GroupedMoments:
    """Moments of groups.

    Attributes:
        order: int64[n], the positions of the moments that were given, by group and time; of equal
            ones the order stays.
    """

    def __init__(self, groups: Ints, moments: Ints) -> None:
        """Take them in.

        Args:
            groups: int64[n], 0 or more.
            moments: int64[n].
        """
        self.order: Ints = np.lexsort((moments, groups))
        self._distinct = np.unique(moments)
        ranks = np.searchsorted(self._distinct, moments[self.order]) + 1
        self._groups = groups[self.order]
        self._keys = (self._groups << _RANK_BITS) | ranks

    def last_until(self, groups: Ints, at: Ints) -> Ints:
        """The last moment of each group that is not after another one.

        Args:
            groups: int64[m]; negative for none.
            at: int64[m].

        Returns:
            int64[m], a position in ``order``; -1 where the group has none.
        """
        place = self._count(groups, at) - 1
        if not len(self._keys):
            return place
        return np.where((place >= 0) & (self._groups[place] == groups), place, -1)

    def count_until(self, groups: Ints, at: Ints) -> Ints:
        """How many moments of each group and of those before it are not after another one."""
        return self._count(groups, at)

    def _count(self, groups: Ints, at: Ints) -> Ints:
        ranks = np.searchsorted(self._distinct, at, side="right")
        wanted = (groups << _RANK_BITS) | ranks
        return np.searchsorted(self._keys, wanted, side="right")
