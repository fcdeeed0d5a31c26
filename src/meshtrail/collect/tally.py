"""Counts what senders can make happen as often as they like, to be told once a second at most."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshtrail.collect.diag import Diag


class Tally:
    """Events by name.

    Args:
        diag: hears of them when ``tell`` is called.
    """

    def __init__(self, diag: Diag) -> None:
        self._diag = diag
        self._counts: Counter[str] = Counter()
        self._last: dict[str, str] = {}
        self._alarms: set[str] = set()

    def add(self, event: str, reason: str, *, is_alarm: bool = False) -> None:
        """Count one; the last reason is told with the count."""
        self._counts[event] += 1
        self._last[event] = reason
        if is_alarm:
            self._alarms.add(event)

    def tell(self) -> None:
        """Say what was counted since the last time."""
        counts, self._counts = self._counts, Counter()
        for event, count in counts.items():
            tell = self._diag.error if event in self._alarms else self._diag.warning
            tell(event, count=count, last=self._last[event])
