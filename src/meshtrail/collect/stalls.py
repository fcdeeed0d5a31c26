"""Tells when senders are held back: as an alarm at once, and as a counter entry when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.collect.payloads import counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.collect.clock import CollectorClock
    from meshtrail.collect.diag import Diag
    from meshtrail.units import UnixNanos

STALL_COUNTER = "collect_stalled"


class Stalls:
    """A ``journal.StallListener``.

    Args:
        clock: the collector's.
        diag: hears the alarms.
        seal: takes the payload of a counter entry.
    """

    def __init__(self, *, clock: CollectorClock, diag: Diag, seal: Callable[[bytes], None]) -> None:
        self._clock = clock
        self._diag = diag
        self._seal = seal
        self._alarms: set[str] = set()
        self._from_ns: UnixNanos | None = None

    def stall_began(self, alarm: str, **facts: object) -> None:
        """Raise the alarm; the stall lasts as long as any alarm does."""
        self._diag.error(alarm, **facts)
        self._alarms.add(alarm)
        if self._from_ns is None:
            self._from_ns = self._clock.now()

    def stall_ended(self, alarm: str) -> None:
        """Take the alarm back; with the last one, seal how long nothing was read."""
        self._diag.info(f"{alarm}_ended")
        self._alarms.discard(alarm)
        if not self._alarms:
            self.finish()

    def finish(self) -> None:
        """Seal a stall that lasts until now, if there is one."""
        if self._from_ns is not None:
            from_ns, until_ns = self._from_ns, self._clock.now()
            self._from_ns = None
            self._seal(
                counter(STALL_COUNTER, until_ns - from_ns, from_ns=from_ns, until_ns=until_ns)
            )
