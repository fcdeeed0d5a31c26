"""A clock that tests own."""

from __future__ import annotations

from meshtrail.units import UnixNanos

START_NS = 1_700_000_000_000_000_000


class FakeClock:
    """A `units.Clock` that moves only when it is told to."""

    def __init__(self, wall_ns: int = START_NS) -> None:
        self.wall = wall_ns
        self.monotonic = 5_000

    def wall_ns(self) -> UnixNanos:
        return UnixNanos(self.wall)

    def monotonic_ns(self) -> int:
        return self.monotonic

    def advance(self, elapsed_ns: int) -> None:
        """Let time pass."""
        self.wall += elapsed_ns
        self.monotonic += elapsed_ns

    def step(self, step_ns: int) -> None:
        """Set the wall clock, as an operator or an attacker does."""
        self.wall += step_ns
