"""The clock of the machine; everything else takes a ``units.Clock`` so that tests own time."""

from __future__ import annotations

import time

from meshtrail.units import UnixNanos


class SystemClock:
    """Wall clock and monotonic clock of this machine; a ``units.Clock``."""

    def wall_ns(self) -> UnixNanos:
        """Wall-clock time; it may step in either direction."""
        return UnixNanos(time.time_ns())  # noqa: TID251 - the one place that reads it

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start; never decreases."""
        return time.monotonic_ns()
