"""The parts that still wait for a partner, oldest first, in columns of numbers.

New parts stand at the end; those that are done leave a hole, and holes are closed once they are
many. A position is good until then; ``close_holes`` tells where everything moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from meshtrail.correlate.pairing.happenings import PART_TYPES

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.pairing.happenings import Columns

    Positions = npt.NDArray[np.int64]

PRESENT: Final = np.uint8(1)
"""Set while something is at a position; the other bits of ``state`` outlive it for a while."""
TOLD: Final = np.uint8(2)
"""Told to be without a partner, which one that comes late takes back."""
TOLD_NOT_MESHED: Final = np.uint8(4)
"""The same, of one whose other end has no proxy."""
DEFERRED: Final = np.uint8(8)
"""Past its time, but its stream goes on at the other end."""

_CAPACITY_MIN: Final = 1 << 12
_SHRINK: Final = 4
_HOLES_MIN: Final = 1 << 14


class OpenRecords:
    """Parts that wait.

    Attributes:
        columns: ``PART_TYPES`` by position; longer than ``count``.
        state: uint8 by position: ``PRESENT`` and what was told of it.
        count: positions in use, holes included.
        settled, yielded, expired, dropped: how many positions, oldest first, are past that age.
    """

    def __init__(self) -> None:
        self.columns: Columns = {
            name: np.zeros(_CAPACITY_MIN, dtype=kind) for name, kind in PART_TYPES.items()
        }
        self.state = np.zeros(_CAPACITY_MIN, dtype=np.uint8)
        self.count = 0
        self.settled = 0
        self.yielded = 0
        self.expired = 0
        self.dropped = 0
        self._alive_count = 0

    def __len__(self) -> int:
        return self._alive_count

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self.columns[name]

    def is_present(self, positions: Positions) -> npt.NDArray[np.bool_]:
        """Which of some positions hold something."""
        present: npt.NDArray[np.bool_] = (self.state[positions] & PRESENT) != 0
        return present

    @property
    def memory_bytes(self) -> int:
        """Of all columns."""
        return sum(column.nbytes for column in self.columns.values()) + self.state.nbytes

    def append(self, parts: Columns) -> Positions:
        """Add parts, by time of arrival; gives their positions."""
        start, new = self.count, len(parts["key"])
        self._reserve(start + new)
        for name, column in self.columns.items():
            column[start : start + new] = parts[name]
        self.state[start : start + new] = PRESENT
        self.count += new
        self._alive_count += new
        return np.arange(start, self.count, dtype=np.int64)

    def remove(self, positions: Positions) -> None:
        """Take away distinct parts that are there; their columns stay until holes are closed."""
        self.state[positions] &= ~PRESENT
        self._alive_count -= len(positions)

    def until(self, received_ns: int) -> int:
        """How many positions hold parts that arrived before a moment."""
        received = self.columns["received_ns"][: self.count]
        return int(np.searchsorted(received, received_ns, side="left"))

    def close_holes(self) -> Positions | None:
        """Close the holes if they are many.

        Returns:
            int64 by old position: the new one, -1 for what is gone; None if nothing moved.
        """
        if self.count - self._alive_count <= max(self._alive_count // 2, _HOLES_MIN):
            return None
        alive = (self.state[: self.count] & PRESENT) != 0
        before = np.cumsum(alive)
        moved = np.where(alive, before - 1, -1)
        marks = (self.settled, self.yielded, self.expired, self.dropped)
        self.settled, self.yielded, self.expired, self.dropped = (
            int(before[mark - 1]) if mark else 0 for mark in marks
        )
        kept = np.flatnonzero(alive)
        room = _CAPACITY_MIN + self._alive_count + self._alive_count // 2
        # In place as long as there is not far too much room: large columns that come and go leave
        # the allocator's memory in pieces, which took as much again as they do.
        if len(self.state) > _SHRINK * room:
            self.columns = {
                name: _copied(column[kept], room) for name, column in self.columns.items()
            }
            self.state = _copied(self.state[kept], room)
        else:
            for column in (*self.columns.values(), self.state):
                column[: len(kept)] = column[kept]
        self.count = self._alive_count
        return moved

    def _reserve(self, count: int) -> None:
        capacity = len(self.state)
        if count <= capacity:
            return
        capacity = max(count, capacity + capacity // 2)
        self.columns = {name: _copied(column, capacity) for name, column in self.columns.items()}
        self.state = _copied(self.state, capacity)


def _copied(column: npt.NDArray[Any], capacity: int) -> npt.NDArray[Any]:
    copied = np.zeros(capacity, dtype=column.dtype)
    copied[: len(column)] = column
    return copied
