"""How the sealer works: each limit with its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

_TICK_MS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SealOptions:
    """Options of the sealer.

    Attributes:
        tick_ms: how often entries are sealed while there are any; longest an entry waits.
        read_bytes_max: taken from each journal in one tick.
        read_records_max: likewise; for senders of tiny records, of which each takes 200 bytes, and
            of records that repeat their resource, which count as one for each kilobyte.
        lock_record: file on another volume to which each signed head is appended first.
        is_clock_accepted: start although the wall clock stands before the last entry.
    """

    tick_ms: int = 250
    read_bytes_max: int = 32 << 20
    read_records_max: int = 1 << 18
    lock_record: Path | None = None
    is_clock_accepted: bool = False

    def __post_init__(self) -> None:
        """Refuse what would break a promise."""
        if not 1 <= self.tick_ms <= _TICK_MS_MAX:
            raise ConfigError(
                f"seal.tick_ms is {self.tick_ms}, want 1 to {_TICK_MS_MAX}: "
                "an entry must not wait longer for its checkpoint"
            )
