"""The collector's clock: monotonic time plus the offset that the wall clock had at its start.

A wall clock that jumps must not reorder what was received. A step is sealed as an entry, and then
the offset is slewed: the clock runs faster or slower until it agrees again, never backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from meshtrail.units import Clock

STEP_NS_MIN = 1_000_000_000
"""A smaller difference is slewed without an entry."""

_SLEW_DIVISOR = 2
"""The clock runs at half or at one and a half its speed while it slews: an hour takes two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """A step of the wall clock.

    Attributes:
        wall_ns: what it says now.
        collector_ns: what the collector's clock says now.
        step_ns: by how much it stepped since the start or the last step.
    """

    wall_ns: UnixNanos
    collector_ns: UnixNanos
    step_ns: int


class CollectorClock:
    """Time for ``received_ns``. Belongs to one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._monotonic_ns = clock.monotonic_ns()
        self._offset_ns = clock.wall_ns() - self._monotonic_ns
        self._target_ns = self._offset_ns
        self._sealed_ns = self._offset_ns

    def now(self) -> UnixNanos:
        """Unix nanoseconds; never less than before."""
        monotonic_ns = self._clock.monotonic_ns()
        missing = self._target_ns - self._offset_ns
        if missing:
            slew_max = (monotonic_ns - self._monotonic_ns) // _SLEW_DIVISOR
            self._offset_ns += max(-slew_max, min(missing, slew_max))
        self._monotonic_ns = monotonic_ns
        return UnixNanos(monotonic_ns + self._offset_ns)

    def check(self) -> ClockStep | None:
        """Compare with the wall clock, every second or so.

        Returns:
            The step, when the wall clock now differs by over a second from what was last sealed
            about it: many small steps add up to one that is told.
        """
        collector_ns = self.now()
        wall_ns = self._clock.wall_ns()
        self._target_ns = wall_ns - self._monotonic_ns
        step_ns = self._target_ns - self._sealed_ns
        if abs(step_ns) <= STEP_NS_MIN:
            return None
        self._sealed_ns = self._target_ns
        return ClockStep(wall_ns=wall_ns, collector_ns=collector_ns, step_ns=step_ns)
