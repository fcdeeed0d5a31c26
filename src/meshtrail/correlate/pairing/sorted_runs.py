"""An index of open records by key: sorted runs that grow by merging, as in a log-structured tree.

Adding costs a sort of what is new and, now and then, a merge; finding costs one binary search for
each run, of which there are few. A key may have any number of positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Keys = npt.NDArray[np.uint64]
    Positions = npt.NDArray[np.int64]
    IsPresent = Callable[[Positions], npt.NDArray[np.bool_]]

_GROWTH: Final = 4
"""A run is merged with the one before it as soon as that one is not this many times as long."""


class SortedRuns:
    """Positions by key."""

    def __init__(self) -> None:
        self._runs: list[tuple[Keys, Positions]] = []

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self._runs)

    def add(self, keys: Keys, positions: Positions, *, is_present: IsPresent) -> None:
        """Add positions, and forget those of merged runs that are gone.

        Args:
            keys: uint64[n], in any order.
            positions: int64[n].
            is_present: which of some positions still hold something.
        """
        if not len(keys):
            return
        order = np.argsort(keys)
        run = (keys[order], positions[order])
        while self._runs and len(self._runs[-1][0]) < _GROWTH * len(run[0]):
            run = _merge(self._runs.pop(), run, is_present)
        if len(run[0]):
            self._runs.append(run)

    def has(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Which of some ascending keys are here, as far as nothing was taken away: bool[n]."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for run_keys, _ in self._runs:
            at = np.searchsorted(run_keys, keys)
            at[at == len(run_keys)] = 0
            found |= run_keys[at] == keys
        return found

    def find(self, keys: Keys, *, is_present: IsPresent) -> tuple[Keys, Positions]:
        """Everything present under some ascending, distinct keys: the key and position of each."""
        found_keys, found = [], []
        for run_keys, run_positions in self._runs:
            first = np.searchsorted(run_keys, keys)
            first[first == len(run_keys)] = 0
            first = first[run_keys[first] == keys]
            places = _places(run_keys, first)
            positions = run_positions[places]
            living = is_present(positions)
            found_keys.append(run_keys[places][living])
            found.append(positions[living])
        if not found:
            return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
        return np.concatenate(found_keys), np.concatenate(found)

    def renumber(self, moved: Positions) -> None:
        """Follow positions to where they moved; negative means that they are gone."""
        runs = self._runs
        self._runs = []
        for keys, positions in runs:
            new = moved[positions]
            kept = new >= 0
            if kept.any():
                self._runs.append((keys[kept], new[kept]))


def _merge(
    older: tuple[Keys, Positions],
    newer: tuple[Keys, Positions],
    is_present: IsPresent,
) -> tuple[Keys, Positions]:
    keys = np.concatenate([older[0], newer[0]])
    positions = np.concatenate([older[1], newer[1]])
    living = is_present(positions)
    keys, positions = keys[living], positions[living]
    # Two ascending runs one after the other: the stable sort merges them in one pass.
    order = np.argsort(keys, kind="stable")
    return keys[order], positions[order]


def _places(run_keys: Keys, first: Positions) -> Positions:
    """Every place with the keys that stand at some first places."""
    following = np.minimum(first + 1, len(run_keys) - 1)
    repeats = (run_keys[following] == run_keys[first]) & (following > first)
    if not repeats.any():
        return first
    counts = np.searchsorted(run_keys, run_keys[first], side="right") - first
    behind = np.cumsum(counts) - counts
    places: Positions = np.repeat(first - behind, counts) + np.arange(counts.sum())
    return places
