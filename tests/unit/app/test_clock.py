from __future__ import annotations

from meshtrail.app.clock import SystemClock

YEAR_2020_NS = 1_577_836_800_000_000_000


def test_the_system_clock_gives_nanoseconds_of_this_century_and_never_runs_back() -> None:
    clock = SystemClock()
    assert clock.wall_ns() > YEAR_2020_NS
    first, second = clock.monotonic_ns(), clock.monotonic_ns()
    assert first <= second
