"""Senders that were not let in: told at once, then with their number every ten seconds at most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from meshtrail.collect.diag import Diag
    from meshtrail.units import UnixNanos

EVENT: Final = "sender_refused"
TELL_EVERY_NS: Final = 10_000_000_000
"""A refused sender comes back at once, and there may be thousands of them."""


class SenderRefusals:
    """The refusals of all doors.

    Args:
        diag: hears the alarms.

    Attributes:
        count: since the start.
    """

    def __init__(self, diag: Diag) -> None:
        self.count = 0
        self._diag = diag
        self._last: dict[str, str] = {}
        self._told_count = 0
        self._told_ns: UnixNanos | None = None

    def add(self, *, address: str, source: str, reason: str, now_ns: UnixNanos) -> None:
        """Count one; who was the last is told with the number."""
        self.count += 1
        self._last = {"address": address, "source": source, "reason": reason}
        self.look(now_ns=now_ns)

    def look(self, *, now_ns: UnixNanos) -> None:
        """Tell what is untold, if it is time to: nobody else may come and be refused."""
        if self._told_ns is None or now_ns - self._told_ns >= TELL_EVERY_NS:
            self.tell(now_ns=now_ns)

    def tell(self, *, now_ns: UnixNanos) -> None:
        """Tell what is untold."""
        refused_count = self.count - self._told_count
        if refused_count:
            self._diag.error(EVENT, **self._last, refused_count=refused_count)
            self._told_count, self._told_ns = self.count, now_ns
