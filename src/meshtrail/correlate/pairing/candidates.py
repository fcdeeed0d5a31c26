"""Candidates for pairing under one kind of key: what waits on either side, and what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from meshtrail.correlate.pairing.happenings import IS_CALLEE
from meshtrail.correlate.pairing.matching import Found, Pairs, pair_groups
from meshtrail.correlate.pairing.sorted_runs import SortedRuns

if TYPE_CHECKING:
    from meshtrail.correlate.pairing.open_records import OpenRecords, Positions
    from meshtrail.correlate.pairing.sorted_runs import Keys


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
            pairs = pair_groups(
                records,
                _members(met, new_callers, self._callers.find(met, is_present=records.is_present)),
                _members(met, new_callees, self._callees.find(met, is_present=records.is_present)),
            )
            records.remove(np.concatenate(pairs))
        for index, new in ((self._callers, new_callers), (self._callees, new_callees)):
            left = records.is_present(new.positions)
            index.add(new.keys[left], new.positions[left], is_present=records.is_present)
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


def _contains(sorted_keys: Keys, keys: Keys) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=np.bool_)
    at = np.searchsorted(sorted_keys, keys)
    at[at == len(sorted_keys)] = 0
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = sorted_keys[at] == keys
    return found


def _members(met: Keys, new: Found, waiting: tuple[Keys, Positions]) -> Found:
    chosen = _contains(met, new.keys)
    return Found(
        np.concatenate([new.keys[chosen], waiting[0]]),
        np.concatenate([new.positions[chosen], waiting[1]]),
    )
