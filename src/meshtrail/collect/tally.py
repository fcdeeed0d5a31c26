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

    def add(self, event: str, reason: str) -> None:
        """Count one; the last reason is told with the count."""
        self._counts[event] += 1
        self._last[event] = reason

    def tell(self) -> None:
        """Say what was counted since the last time."""
        for event, count in self._counts.items():
            self._diag.warning(event, count=count, last=self._last[event])
        self._counts.clear()
        self._last.clear()
