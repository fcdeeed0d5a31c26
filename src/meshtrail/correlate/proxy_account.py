"""The account of one proxy: what its processes counted, one after the other, against its records.

A process counts from 0. When it is started again, what its predecessor wrote after its last count
is not known; from the start of the new one on, everything is again.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from meshtrail.correlate.counter_account import CounterAccount
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

JITTER_NS: Final = 20_000_000
"""Between the end of a happening, by its record, and the count of the record."""
START_JITTER_NS: Final = 1_100_000_000
"""A process tells its age in whole seconds."""

HELD_MAX: Final = 1_000_000
"""Records of one proxy whose ends are held until a count takes them in: 8 MB."""

_NANOS: Final = 1_000_000_000
_SAME_NS: Final = 2_100_000_000
"""Two ages in whole seconds that are one, and what a count takes to come in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """What a proxy counted since its process started.

    Attributes:
        at_ns: when, on the proxy's clock.
        received_ns: when it came in, on the collector's.
        written: records that went into its access logs' buffers.
        dropped: records that found no room there.
        epoch: of hot restarts.
        uptime_s: how long the process has run.
    """

    at_ns: int
    received_ns: int
    written: int
    dropped: int
    epoch: int
    uptime_s: int

    @property
    def started_ns(self) -> int:
        """When the process started, on the proxy's clock, to a second."""
        return self.at_ns - self.uptime_s * _NANOS

    def is_of_process_of(self, earlier: Push) -> bool:
        """Whether the process that counted ``earlier`` counted this, too."""
        if (
            self.epoch != earlier.epoch
            or self.uptime_s < earlier.uptime_s
            or self.written < earlier.written
            or self.dropped < earlier.dropped
        ):
            return False
        # A count that came in late makes the second differ, a clock that was set the first.
        is_same_start = abs(self.started_ns - earlier.started_ns) <= _SAME_NS
        passed_ns = self.received_ns - earlier.received_ns
        grown_ns = (self.uptime_s - earlier.uptime_s) * _NANOS
        return is_same_start or grown_ns >= passed_ns - _SAME_NS


def read_push(detail: str, *, at_ns: int, received_ns: int) -> Push | None:
    """The counts in the ``detail`` of a counter event; None where the counters needed are not."""
    counts = json.loads(detail)
    try:
        return Push(
            at_ns=at_ns,
            received_ns=received_ns,
            written=counts["logs_written"],
            dropped=counts["logs_dropped"],
            epoch=counts["epoch"],
            uptime_s=counts["uptime_s"],
        )
    except KeyError:
        return None


class LossKind(Enum):
    """What is known of how records were lost."""

    WRITTEN = auto()
    """The proxy wrote them, and they did not come."""
    DROPPED = auto()
    """The proxy says itself that it dropped them."""
    RESTART = auto()
    """Those between the last count of a process and its end, of which nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Records of a proxy that are missing, and what is known of how.

    Attributes:
        received_ns: when the count came in that shows it.
    """

    from_ns: int
    until_ns: int
    received_ns: int
    missing_min: int
    missing_max: int | None
    kind: LossKind


class ProxyAccount:
    """Everything that was counted and sealed of one proxy.

    Args:
        recording_since_ns: since when records can have been sealed; a process that is older had
            written some before.

    Attributes:
        given_up_count: how often records came without counts for so long that their ends were let
            go of; the account then begins anew with the next count.
    """

    def __init__(self, *, recording_since_ns: int) -> None:
        self.given_up_count = 0
        self._recording_since_ns = recording_since_ns
        self._account: CounterAccount | None = None
        self._early: list[npt.NDArray[np.int64]] = []
        self._early_count = 0
        self._waiting: deque[Push] = deque()
        self._last: Push | None = None

    @property
    def last_push(self) -> Push | None:
        """The last count that was settled."""
        return self._last

    def add_records(self, ends: npt.NDArray[np.int64]) -> None:
        """Take the ends of sealed records, in any order: int64[n], ns on the proxy's clock."""
        if self._account is not None:
            self._account.add(ends)
            held_count = self._account.held_count
        else:
            self._early.append(ends)
            self._early_count += len(ends)
            held_count = self._early_count
        if held_count > HELD_MAX:
            self._give_up()

    def add_push(self, push: Push) -> None:
        """Take a count, to be settled later; in the order of arrival."""
        self._waiting.append(push)

    def settle(self, *, received_before_ns: int) -> list[Loss]:
        """Settle the counts that came in before a moment, on the collector's clock.

        Returns:
            What is known to be missing now and was not told before.
        """
        losses = []
        while self._waiting and self._waiting[0].received_ns < received_before_ns:
            losses += self._settle(self._waiting.popleft())
        return losses

    def _settle(self, push: Push) -> list[Loss]:
        losses = []
        last = self._last
        if last is not None and not push.is_of_process_of(last):
            losses.append(_restart(last, push))
            if self._account is not None:
                self._early = [self._account.take_rest()]
                self._account = None
            last = _start_of(push)
        elif last is None:
            last = _start_of(push) if push.started_ns >= self._recording_since_ns else push
        if self._account is None:
            self._account = self._begin(last)
        # Two ways to send them, or a clock that was set: nothing can be said between the two.
        if push.at_ns > last.at_ns:
            losses += _losses(self._account, push, last)
        self._last = push
        return losses

    def _begin(self, first: Push) -> CounterAccount:
        is_start = first.uptime_s == 0
        account = CounterAccount(
            at_ns=first.at_ns,
            counted=first.written,
            jitter_ns=JITTER_NS,
            begin_jitter_ns=START_JITTER_NS if is_start else JITTER_NS,
        )
        for ends in self._early:
            account.add(ends)
        self._early, self._early_count = [], 0
        return account

    def _give_up(self) -> None:
        self.given_up_count += 1
        self._account = self._last = None
        self._early, self._early_count = [], 0
        self._recording_since_ns = INT64_MAX


def _start_of(push: Push) -> Push:
    """What the process of a count would have counted at its start."""
    return Push(
        at_ns=push.started_ns,
        received_ns=push.received_ns,
        written=0,
        dropped=0,
        epoch=push.epoch,
        uptime_s=0,
    )


def _restart(last: Push, push: Push) -> Loss:
    return Loss(
        from_ns=last.at_ns,
        until_ns=max(push.started_ns, last.at_ns),
        received_ns=push.received_ns,
        missing_min=0,
        missing_max=None,
        kind=LossKind.RESTART,
    )


def _losses(account: CounterAccount, push: Push, last: Push) -> Iterator[Loss]:
    dropped = push.dropped - last.dropped
    if dropped > 0:
        yield Loss(
            from_ns=last.at_ns,
            until_ns=push.at_ns,
            received_ns=push.received_ns,
            missing_min=dropped,
            missing_max=dropped,
            kind=LossKind.DROPPED,
        )
    shortfall = account.settle(at_ns=push.at_ns, counted=push.written)
    if shortfall is not None:
        yield Loss(
            from_ns=shortfall.from_ns,
            until_ns=shortfall.until_ns,
            received_ns=push.received_ns,
            missing_min=shortfall.missing_min,
            missing_max=shortfall.missing_max,
            kind=LossKind.WRITTEN,
        )
