from __future__ import annotations

import threading
import time

import pytest

from meshtrail.app.seal_process import Work, run_sealer
from meshtrail.errors import DurabilityError


class Sealer:
    """Seals what a script says, and stops the run at one of its ticks."""

    def __init__(self, script: list[int], stopping: threading.Event, *, stop_at: int) -> None:
        self.script = script
        self.stopping = stopping
        self.stop_at = stop_at
        self.ticks = 0
        self.read_ns = 0

    def tick(self) -> int:
        self.ticks += 1
        if self.ticks == self.stop_at:
            self.stopping.set()
        return self.script[self.ticks - 1] if self.ticks <= len(self.script) else 0


def test_after_the_stop_it_seals_until_the_journals_are_empty() -> None:
    stopping = threading.Event()
    sealer = Sealer([5, 0, 7, 7, 7, 0, 7], stopping, stop_at=3)
    run_sealer(sealer, stopping, tick_seconds=0.001)
    assert sealer.ticks == 6


def test_an_idle_tick_before_the_stop_does_not_stand_for_empty_journals() -> None:
    stopping = threading.Event()
    sealer = Sealer([0, 0, 7, 0], stopping, stop_at=2)
    run_sealer(sealer, stopping, tick_seconds=0.001)
    assert sealer.ticks == 4


def test_a_stop_before_the_first_tick_still_empties_the_journals() -> None:
    stopping = threading.Event()
    stopping.set()
    sealer = Sealer([9, 9], stopping, stop_at=0)
    run_sealer(sealer, stopping, tick_seconds=60)
    assert sealer.ticks == 3


def test_an_error_ends_the_run_at_once() -> None:
    class Failing:
        read_ns = 0

        def tick(self) -> int:
            raise DurabilityError("fsync")

    with pytest.raises(DurabilityError):
        run_sealer(Failing(), threading.Event(), tick_seconds=0)


def test_the_next_tick_is_due_a_while_after_journals_were_read_not_after_the_last_began() -> None:
    stopping = threading.Event()
    sealer = Sealer([5, 5, 5], stopping, stop_at=3)
    sealer.read_ns = time.monotonic_ns() - 60_000_000_000
    begun = time.monotonic()
    run_sealer(sealer, stopping, tick_seconds=60)
    assert time.monotonic() - begun < 30


def test_the_work_of_a_sealer_is_told_while_it_goes_on() -> None:
    stopping, work = threading.Event(), Work()
    sealer = Sealer([5, 0, 7, 0], stopping, stop_at=3)
    run_sealer(sealer, stopping, tick_seconds=0.001, work=work)
    assert work.ticks_count == 3
    assert 0 < work.seconds < 10
