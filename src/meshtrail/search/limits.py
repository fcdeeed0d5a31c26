"""How much time and memory one search may take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from meshtrail.errors import ConfigError

SECONDS_MAX: Final = 600
"""Superseded segments stay for 15 minutes: a search must not outlive the list that it pinned."""

_MIB: Final = 1 << 20
_MEMORY_BYTES_MIN: Final = 64 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLimits:
    """Bounds of one search; reaching one raises BudgetError.

    Attributes:
        memory_bytes_max: what the engine may hold; it never spills to disk.
        threads_count: threads that work on the query.
        seconds_max: from the start of the search to its last row.
    """

    memory_bytes_max: int = 1024 * _MIB
    threads_count: int = 2
    seconds_max: float = 60.0

    def __post_init__(self) -> None:
        """Raise ConfigError for a bound that makes no sense."""
        if not 0 < self.seconds_max <= SECONDS_MAX:
            raise ConfigError(
                f"a search takes more than 0 and at most {SECONDS_MAX} s, got {self.seconds_max}"
            )
        if self.memory_bytes_max < _MEMORY_BYTES_MIN:
            raise ConfigError(
                f"a search needs at least {_MEMORY_BYTES_MIN // _MIB} MiB, "
                f"got {self.memory_bytes_max // _MIB} MiB"
            )
        if self.threads_count < 1:
            raise ConfigError(f"a search needs at least 1 thread, got {self.threads_count}")


class Deadline:
    """The moment at which one search has to end; it runs from when it is made."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._end_s = time.monotonic() + seconds_max

    def seconds_left(self) -> float:
        """Until the end; 0 after it."""
        return max(self._end_s - time.monotonic(), 0)
