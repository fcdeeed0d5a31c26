"""How large a journal grows and how it commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshtrail.errors import ConfigError
from meshtrail.journal.recent_exports import RECENT_EXPORTS_MAX

MIB = 1 << 20

_EXPORTS_COUNT_MIN: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalOptions:
    """Bounds of one journal.

    Attributes:
        file_bytes_max: a file is closed before it would grow over this.
        journal_bytes_max: all files together; over it nothing more is taken from senders.
        batch_bytes_max: data in one batch; a single frame over it is a batch of its own.
        pending_bytes_max: frames in memory that wait for their commit; over it senders wait.
        linger_ms: how long a commit waits for more frames. Nobody waits for the commit itself, so
            this trades the time that a crash can lose against the number of fsyncs.
    """

    file_bytes_max: int = 64 * MIB
    journal_bytes_max: int = 1024 * MIB
    batch_bytes_max: int = 8 * MIB
    pending_bytes_max: int = 32 * MIB
    linger_ms: int = 20

    def __post_init__(self) -> None:
        """Refuse bounds under which the journal could fill up and never empty again."""
        if not 0 < self.batch_bytes_max <= self.pending_bytes_max:
            raise ConfigError(
                f"batch_bytes_max must be from 1 to pending_bytes_max {self.pending_bytes_max}, "
                f"got {self.batch_bytes_max}"
            )
        # A file is removed only when the reader has gone on to a later one, so the newest two
        # always stay: if they alone reached the bound, nothing would ever be written again.
        needed = 2 * max(self.file_bytes_max, self.batch_bytes_max)
        if self.file_bytes_max <= 0 or self.journal_bytes_max < needed:
            raise ConfigError(
                f"journal_bytes_max must be at least {needed}, twice the largest file, "
                f"got {self.journal_bytes_max}"
            )
        if self.linger_ms < 0:
            raise ConfigError(f"linger_ms must not be negative, got {self.linger_ms}")

    @property
    def exports_count_max(self) -> int:
        """Digests of exports in the header of a file: of 16 bytes each, a 64th of the file."""
        return min(max(self.file_bytes_max >> 10, _EXPORTS_COUNT_MIN), RECENT_EXPORTS_MAX)
