"""What may be counted one day, by label: a counter is shown as 0 before its first event.

A series that begins with its first event has no increase, and whoever waits for one hears nothing
of what happens once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.correlate.statements import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GAP_CAUSES: Final = (
    Cause.COLLECTOR_DOWN,
    Cause.CONNECTION_RESET,
    Cause.DROPPED,
    Cause.NOT_WRITTEN,
    Cause.RESTART,
    Cause.UNKNOWN,
)
FINDING_CAUSES: Final = (
    Cause.KEY_SHARED,
    Cause.NAME_SHARED,
    Cause.PAIRED_LATE,
    Cause.SILENT,
    Cause.UNPAIRED,
)

ALARMS: Final[Mapping[str, tuple[str, ...]]] = {
    "collect": (
        "certificates_refused",
        "clock_stepped",
        "export_failed",
        "journal_disk_full",
        "journal_full",
        "request_failed",
        "sender_refused",
        "senders_turned_away",
        "stream_failed",
        "streams_refused",
        "tail_failed",
        "tail_file_missing",
        "tail_file_refused",
        "tail_files_overflowed",
        "tail_lines_lost",
        "tokens_refused",
        "webhook_secret_refused",
    ),
    "ledger": ("inventory_refused",),
    "serve": ("request_failed", "tampering_found"),
}
"""By process. The last one of a process, ``process_failed``, goes with it, and is a death."""

DEATH_CAUSES: Final = (
    "DurabilityError",
    "JournalDamageError",
    "SIGABRT",
    "SIGBUS",
    "SIGKILL",
    "SIGSEGV",
    "exit 1",
)
"""Those that machines and our own mistakes bring about; there are more, seldom seen."""


def count_from_zero(counted: Mapping[str, int], known: Iterable[str]) -> dict[str, int]:
    """What was counted, and 0 for what is known and was not, by label in order."""
    return dict(sorted({**{str(label): 0 for label in known}, **counted}.items()))
