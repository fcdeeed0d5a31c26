"""Waits that end when they should: for the processes of a benchmark whose subject is time."""

from __future__ import annotations

import contextlib
import gc
from pathlib import Path


def wake_on_time() -> None:
    """Let the kernel end this thread's waits when they are over, not up to 50 us later."""
    with contextlib.suppress(OSError):
        Path("/proc/self/timerslack_ns").write_text("1", encoding="ascii")


def collect_no_more_garbage() -> None:
    """Call it once everything is set up: a collection during a run would be a stall of its own."""
    gc.collect()
    gc.disable()
