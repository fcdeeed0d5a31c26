"""Moments that wait for somebody to ask for them: many small arrays, counted and kept compact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Times = npt.NDArray[np.int64]

_PARTS_MAX: Final = 256
"""An array of one moment takes a hundred times the room of the moment."""


class HeldTimes:
    """A heap of moments: int64 each, in any order.

    Attributes:
        count: of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[Times] = []

    def add(self, times: Times) -> None:
        """Put some in."""
        if len(times):
            self.count += len(times)
            self._parts.append(times)
        if len(self._parts) > _PARTS_MAX:
            self._parts = [np.concatenate(self._parts)]

    def has_within(self, after_ns: int, until_ns: int) -> bool:
        """Whether any is later than a moment, and not later than another."""
        return any(bool(((part > after_ns) & (part <= until_ns)).any()) for part in self._parts)

    def take(self) -> Times:
        """Take all of them out."""
        taken = np.concatenate([np.empty(0, np.int64), *self._parts])
        self.count = 0
        self._parts = []
        return taken

    def drop_before(self, length_ns: int) -> int | None:
        """Let go of what is older than the newest by more than a length of time.

        Returns:
            What was let go of is not later than this; None where nothing was.
        """
        times = self.take()
        limit_ns = int(times.max(initial=0)) - length_ns
        is_new = times > limit_ns
        self.add(times[is_new])
        return None if is_new.all() else limit_ns
