"""Candidates for pairing under one kind of key: what waits on either side, and what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.pairing.happenings import IS_CALLEE
from meshtrail.correlate.pairing.matching import Found, Pairs, pair_groups
from meshtrail.correlate.pairing.sorted_runs import SortedRuns

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.pairing.open_records import OpenRecords, Positions
    from meshtrail.correlate.pairing.sorted_runs import Keys

_FEW: Final = 1_024
_FAR_NS: Final = 1 << 62


_Sides = tuple[Found, Found]
"""Callers' and callees' parts."""


class Candidates:
    """Open parts by a key, callers' and callees' apart."""

    def __init__(self) -> None:
        self._callers = SortedRuns()
        self._callees = SortedRuns()

    def pair(self, records: OpenRecords, keys: Keys, positions: Positions) -> Pairs:
        """Pair new parts with one another and with those that wait; what is left waits too.

        Only groups with something new are looked at: in the others nothing is left to be paired.

        Args:
            records: where the parts are; those that are paired are removed.
            keys: uint64[n] of the new parts.
            positions: int64[n] of them.
        """
        is_callee = (records["flags"][positions] & IS_CALLEE) != 0
        new_callers = _sorted(keys[~is_callee], positions[~is_callee])
        new_callees = _sorted(keys[is_callee], positions[is_callee])
        met = _distinct(
            _met(new_callers.keys, new_callees.keys, self._callees),
            _met(new_callees.keys, new_callers.keys, self._callers),
        )
        pairs = Pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        if len(met):
            new = (
                _chosen(new_callers, _contains(met, new_callers.keys)),
                _chosen(new_callees, _contains(met, new_callees.keys)),
            )
            old = (
                Found(*self._callers.find(met, is_present=records.is_present)),
                Found(*self._callees.find(met, is_present=records.is_present)),
            )
            if len(old[0].keys) + len(old[1].keys) > len(met) + _FEW:
                old = _near(records, met, new, old)
            pairs = pair_groups(records, _both(new[0], old[0]), _both(new[1], old[1]))
            records.remove(np.concatenate(pairs))
        for index, found in ((self._callers, new_callers), (self._callees, new_callees)):
            left = records.is_present(found.positions)
            index.add(found.keys[left], found.positions[left], is_present=records.is_present)
        return pairs

    def renumber(self, moved: Positions) -> None:
        """Follow positions to where they moved."""
        self._callers.renumber(moved)
        self._callees.renumber(moved)


def _sorted(keys: Keys, positions: Positions) -> Found:
    order = np.argsort(keys)
    return Found(keys[order], positions[order])


def _distinct(one: Keys, other: Keys) -> Keys:
    keys = np.sort(np.concatenate([one, other]))
    is_first = np.ones(len(keys), dtype=np.bool_)
    is_first[1:] = keys[1:] != keys[:-1]
    return keys[is_first]


def _met(keys: Keys, new: Keys, waiting: SortedRuns) -> Keys:
    """Which ascending keys have something on the other side, new or waiting."""
    return keys[_contains(new, keys) | waiting.has(keys)]


def _contains(sorted_keys: Keys, keys: Keys) -> npt.NDArray[np.bool_]:
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=np.bool_)
    at = np.searchsorted(sorted_keys, keys)
    at[at == len(sorted_keys)] = 0
    found: npt.NDArray[np.bool_] = sorted_keys[at] == keys
    return found


def _chosen(found: Found, which: npt.NDArray[np.bool_]) -> Found:
    return Found(found.keys[which], found.positions[which])


def _both(one: Found, other: Found) -> Found:
    return Found(*(np.concatenate(columns) for columns in zip(one, other, strict=True)))


def _near(records: OpenRecords, met: Keys, new: _Sides, old: _Sides) -> _Sides:
    """What waits and is near enough in time to something new on the other side of its group.

    What waits has been held against all else that waits, in vain. Without this, a busy connection
    with losses at both ends would be gone through as a whole for each record.
    """
    start, end = records["start_ns"], records["end_ns"]
    groups = [np.searchsorted(met, found.keys) for found in (*new, *old)]
    tolerance = np.zeros(len(met), dtype=np.int64)
    for group, found in zip(groups, (*new, *old), strict=True):
        np.maximum.at(tolerance, group, records["tolerance_ns"][found.positions])
    near = []
    for side in (0, 1):
        others = new[1 - side].positions
        # A caller's part is near while it lasts, a callee's where it begins.
        others_end = start if side == 0 else end
        first, last = _ranges(len(met), groups[1 - side], start[others], others_end[others])
        group, ours = groups[2 + side], old[side].positions
        ours_end = end if side == 0 else start
        is_near = start[ours] - tolerance[group] <= last[group]
        is_near &= ours_end[ours] + tolerance[group] >= first[group]
        near.append(_chosen(old[side], is_near))
    return near[0], near[1]


def _ranges(
    count: int, group: Positions, starts: Positions, ends: Positions
) -> tuple[Positions, Positions]:
    """The earliest start and the latest end in each group; of an empty one, nothing is near."""
    first = np.full(count, _FAR_NS, dtype=np.int64)
    last = np.full(count, -_FAR_NS, dtype=np.int64)
    np.minimum.at(first, group, starts)
    np.maximum.at(last, group, ends)
    return first, last
