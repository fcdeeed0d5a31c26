"""The account of one proxy: what its processes counted, one after the other, against its records.

A process counts from 0. When it is started again, what its predecessor did after its last push is
not known; from the start of the new one on, everything is again.

Three counts are compared, as docs/completeness.md says: requests that ended, connections that
ended, and HTTP records that were written. The first is how many requests are missing; the third,
and what the proxy says it dropped, tell how. What is left was never written.

Requests and connections are judged from the first push on in which everything that was counted, as
far as can be told, has its record or was lost on the way: a door without an access log, or with a
filter on it, never comes to that, and what it does not log is no loss.

A push in whose moment records ended gives bounds, one in a quiet moment an exact number. Each
counts since the start of the process, so one that is not quiet is left out if a quiet one comes
soon.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.correlate.count_book import CountBook
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from meshtrail.correlate.counter_account import Shortfall
    from meshtrail.correlate.pushes import Push

    Times = npt.NDArray[np.int64]

START_JITTER_NS: Final = 1_100_000_000
"""A process tells its age in whole seconds."""

PATIENCE_NS: Final = 30_000_000_000
"""So long after the last push that was settled a quiet one is waited for."""

HELD_MAX: Final = 1_000_000
"""Records of one proxy whose ends are held until a count takes them in: 8 MB."""


class LossKind(Enum):
    """What is known of how records were lost."""

    SENT = auto()
    """The proxy wrote them, or closed the connections, and the records did not come."""
    LAST = auto()
    """The same, and its process is over since."""
    DROPPED = auto()
    """The proxy says itself that it lost them."""
    NOT_WRITTEN = auto()
    """The proxy served the requests, and wrote no record."""
    GIVEN_UP = auto()
    """So many came and no count that it is no longer known which are missing."""
    RESTART = auto()
    """Those between the last push of a process and its end, of which nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Records of a proxy that are missing, and what is known of how.

    Attributes:
        from_ns: on the proxy's clock.
        until_ns: likewise.
        received_ns: when the push came in that shows it.
        missing_max: None where nothing bounds it.
    """

    from_ns: int
    until_ns: int
    received_ns: int
    missing_min: int
    missing_max: int | None
    kind: LossKind


class Ends(NamedTuple):
    """When records ended, on the proxy's clock: int64[n] each, ns, in any order.

    Attributes:
        requests: of HTTP records of requests that ended.
        connections: of records of connections that ended.
        written: of all HTTP records of gRPC access logs.
    """

    requests: Times
    connections: Times
    written: Times


class Logged(NamedTuple):
    """What a proxy is known to log: all of it came, or is known to be lost, at some moment."""

    requests: bool = False
    connections: bool = False


_NOTHING: Final = Logged()


class ProxyAccount:
    """Everything that was counted and sealed of one proxy.

    Args:
        recording_since_ns: since when records can have been sealed; a process that is older had
            written some before.
        logged: as is known of it from before.
    """

    def __init__(self, *, recording_since_ns: int, logged: Logged = _NOTHING) -> None:
        self._recording_since_ns = recording_since_ns
        self._requests = CountBook(lambda push: push.requests)
        self._connections = CountBook(lambda push: push.connections)
        self._written = CountBook(lambda push: push.written)
        self._books = (self._requests, self._connections, self._written)
        self._are_requests_logged, self._are_connections_logged = logged
        self._waiting: deque[Push] = deque()
        self._last: Push | None = None
        self._left_out: Push | None = None
        self._explained = _Explained()

    @property
    def logged(self) -> Logged:
        """What the proxy is known to log; what that was once it stays."""
        return Logged(self._are_requests_logged, self._are_connections_logged)

    @property
    def late_count(self) -> int:
        """Records that came after they had been told as missing."""
        # A request's record is in two books.
        requests = max(self._requests.late_count, self._written.late_count)
        return requests + self._connections.late_count

    def add_records(self, ends: Ends) -> None:
        """Take sealed records."""
        for book, times in zip(self._books, ends, strict=True):
            book.add(times)

    def add_push(self, push: Push) -> None:
        """Take a push, to be settled later; in the order of arrival."""
        self._waiting.append(push)

    def give_up(self) -> None:
        """Let go of all that is known; the account begins anew with the next push."""
        self._last = self._left_out = None
        self._waiting.clear()
        self._recording_since_ns = INT64_MAX
        for book in self._books:
            book.forget()

    @property
    def is_waiting(self) -> bool:
        """Whether any push is not settled."""
        return bool(self._waiting) or self._left_out is not None

    def settle(self, *, received_before_ns: int) -> list[Loss]:
        """Settle the pushes that came in before a moment, on the collector's clock.

        Returns:
            What is known to be missing now and was not told before.
        """
        losses: list[Loss] = []
        while self._waiting and self._waiting[0].received_ns < received_before_ns:
            push, left_out = self._waiting.popleft(), self._left_out
            if left_out is not None and not push.goes_on_from(left_out):
                found = self._settle(left_out)
                is_last = not push.is_of_process_of(left_out)
                losses += map(_as_last, found) if is_last else found
            self._left_out = push if self._may_leave_out(push) else None
            if self._left_out is None:
                found = self._settle(push)
                losses += map(_as_last, found) if self._is_last(push) else found
        left_out = self._left_out
        if left_out is not None and left_out.received_ns + PATIENCE_NS < received_before_ns:
            # Nothing came after it.
            self._left_out = None
            losses += self._settle(left_out)
        if self._last is None:
            for book in self._books:
                book.drop_early()
        if any(book.held_count > HELD_MAX for book in self._books):
            if self._last is not None:
                losses.append(_unknown(self._last, received_before_ns))
            self.give_up()
        return losses

    def _may_leave_out(self, push: Push) -> bool:
        last = self._last
        return (
            last is not None
            and push.goes_on_from(last)
            and last.at_ns < push.at_ns < last.at_ns + PATIENCE_NS
            and any(book.is_unsure_at(push.at_ns) for book in self._books)
        )

    def _is_last(self, push: Push) -> bool:
        """Whether another process of the proxy is known to have counted next."""
        return bool(self._waiting) and not self._waiting[0].is_of_process_of(push)

    def _settle(self, push: Push) -> Iterator[Loss]:
        last, self._last = self._last, push
        if last is None:
            # By the collector's clock: the proxy's own may be minutes off.
            started_ns = push.received_ns - push.uptime_ns
            is_known = started_ns >= self._recording_since_ns and all(
                book.is_held_since(push.started_ns - START_JITTER_NS) for book in self._books
            )
            last = push.at_start() if is_known else push
            self._begin(last, is_start=last is not push)
        elif not push.is_of_process_of(last):
            yield _restart(last, push)
            last = push.at_start()
            self._begin(last, is_start=True)
        elif push.is_rebased:
            self._begin(push, is_start=False)
            return
        if push.at_ns <= last.at_ns:
            self._last = last
            if push.at_ns < last.at_ns and push.stream == last.stream:
                # The clock was set back: ends from before and from after cannot be told apart.
                self.give_up()
            # Else there are two ways to send them, and the later one said it all.
            return
        yield from self._lost_requests(push, last)
        connections = self._connections.settle(push)
        self._are_connections_logged |= self._connections.is_telling and connections is None
        if connections is not None and self._are_connections_logged:
            yield _sent(connections, push)

    def _lost_requests(self, push: Push, last: Push) -> Iterator[Loss]:
        requests, written = self._requests.settle(push), self._written.settle(push)
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
        if push.requests:
            written = _within(written, requests)
        if written is not None:
            yield _sent(written, push)
        found = self._explained.take(requests, written, dropped)
        self._are_requests_logged |= self._requests.is_telling and found is None
        if found is not None and self._are_requests_logged:
            low, high = found
            yield Loss(
                from_ns=last.at_ns if requests is None else requests.from_ns,
                until_ns=push.at_ns,
                received_ns=push.received_ns,
                missing_min=low,
                missing_max=high,
                kind=LossKind.NOT_WRITTEN,
            )

    def _begin(self, first: Push, *, is_start: bool) -> None:
        for book in self._books:
            book.begin(first, begin_jitter_ns=START_JITTER_NS if is_start else 0)
        self._explained = _Explained()


class _Explained:
    """How many of the missing requests were written, or dropped: the rest was not written."""

    def __init__(self) -> None:
        self._missing_min = self._missing_max = 0
        self._sent_min = self._sent_max = 0
        self._told = 0

    def take(
        self, requests: Shortfall | None, written: Shortfall | None, dropped: int
    ) -> tuple[int, int] | None:
        """What is missing more and has no explanation: at least and at most; None for nothing."""
        if requests is not None:
            self._missing_max = self._missing_min + requests.missing_max
            self._missing_min += requests.missing_min
        if written is not None:
            self._sent_max = self._sent_min + written.missing_max
            self._sent_min += written.missing_min
        self._sent_min += dropped
        self._sent_max += dropped
        low = self._missing_min - self._sent_max - self._told
        if low <= 0:
            return None
        high = self._missing_max - self._sent_min - self._told
        self._told += low
        return low, max(high, low)


def _within(written: Shortfall | None, requests: Shortfall | None) -> Shortfall | None:
    """Records that did not come: surely one for each request that is missing.

    The others are periodic ones, or were written elsewhere: they are in the same count.
    """
    if written is None or requests is None:
        return None
    return replace(written, missing_min=min(written.missing_min, requests.missing_min))


def _sent(shortfall: Shortfall, push: Push) -> Loss:
    return Loss(
        from_ns=shortfall.from_ns,
        until_ns=shortfall.until_ns,
        received_ns=push.received_ns,
        missing_min=shortfall.missing_min,
        missing_max=shortfall.missing_max,
        kind=LossKind.SENT,
    )


def _as_last(loss: Loss) -> Loss:
    return replace(loss, kind=LossKind.LAST) if loss.kind is LossKind.SENT else loss


def _unknown(last: Push, received_ns: int) -> Loss:
    return Loss(
        from_ns=last.at_ns,
        until_ns=last.at_ns + received_ns - last.received_ns,
        received_ns=received_ns,
        missing_min=0,
        missing_max=None,
        kind=LossKind.GIVEN_UP,
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
