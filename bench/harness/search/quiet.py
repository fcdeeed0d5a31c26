"""Other processes on the machine: what they took, and asking only while they take little.

Nothing here looks at what a question took: whether a time counts, others alone decide.
"""

from __future__ import annotations

import os
import time
from typing import Final

from bench.harness.machine import read_bystanders_cpu_s

_LOOK_S: Final = 0.1
_WAIT_S_MAX: Final = 30.0
_TICKS_S: Final = 0.02
"""Two ticks of the kernel's accounting, which the shortest of times would otherwise not survive."""


class OthersWatch:
    """What processes that are not the benchmark's took of the machine, within its blocks."""

    def __init__(self) -> None:
        self._cpu_s = self._elapsed_s = 0.0

    def __enter__(self) -> None:
        self._cpu_s -= read_bystanders_cpu_s(os.getpid())
        self._elapsed_s -= time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._cpu_s += read_bystanders_cpu_s(os.getpid())
        self._elapsed_s += time.monotonic()

    @property
    def percent_of_machine(self) -> float:
        """Of all cores."""
        capacity_s = self._elapsed_s * (os.cpu_count() or 1)
        return round(100 * max(self._cpu_s, 0.0) / capacity_s, 1)


class Quiet:
    """Waits until others take little, and tells whether they went on taking little."""

    def __init__(self, percent_max: float) -> None:
        """Take how much of the machine others may take, in percent of all cores."""
        self._share_max = percent_max / 100
        self._started_s = self._others_s = 0.0

    def wait(self) -> None:
        """Wait until others took little for a moment, but not for ever."""
        end_s = time.monotonic() + _WAIT_S_MAX
        self._look()
        while time.monotonic() < end_s:
            time.sleep(_LOOK_S)  # the moment itself
            if self.was_kept():
                break
            self._look()
        self._look()

    def was_kept(self) -> bool:
        """Whether others took little since the end of the last wait."""
        elapsed_s = time.monotonic() - self._started_s
        others_s = read_bystanders_cpu_s(os.getpid()) - self._others_s
        return others_s <= self._share_max * elapsed_s * (os.cpu_count() or 1) + _TICKS_S

    def _look(self) -> None:
        self._others_s = read_bystanders_cpu_s(os.getpid())
        self._started_s = time.monotonic()
