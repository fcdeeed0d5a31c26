"""The ledger: for each reporter and minute, what was counted, received and sealed, and what is not.

A function of the log: the same entries in the same order give the same statements, however they are
cut into batches. Time is that of the log; it goes on in steps, and what a step says is said when
all that it rests on has had time to arrive.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate import statements
from meshtrail.correlate.clock_account import ClockAccount
from meshtrail.correlate.downtimes import Downtimes
from meshtrail.correlate.minutes import MINUTE_NS
from meshtrail.correlate.outages import Outages
from meshtrail.correlate.pair_book import PAIRED_COLUMNS, PairBook
from meshtrail.correlate.pairing import TEXT_COLUMNS
from meshtrail.correlate.proxy_account import Ends, Logged, LossKind, ProxyAccount
from meshtrail.correlate.reported_proxy import ReportedProxy
from meshtrail.correlate.reporters import KEY_COLUMNS, OVERFLOW, Reporters, rows_by_number
from meshtrail.correlate.shared_keys import KEY_USE_COLUMNS, SharedKeys
from meshtrail.correlate.statements import Cause
from meshtrail.model.event import Kind
from meshtrail.model.record_formats import LINE_FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from meshtrail.correlate.pairing import Place
    from meshtrail.correlate.proxy_account import Loss
    from meshtrail.correlate.reporters import Reporter
    from meshtrail.correlate.statements import Statement

_OWN_COLUMNS: Final = (
    "kind",
    "received_time",
    "end_time",
    "time",
    "source",
    "is_duplicate",
    "about",
    "detail",
    "stream",
    "payload_format",
    "envoy_access_log_type",
    *KEY_COLUMNS,
    *(name for name in KEY_USE_COLUMNS if name != "received_time"),
)
LEDGER_COLUMNS: Final = tuple(dict.fromkeys([*_OWN_COLUMNS, *PAIRED_COLUMNS]))
"""The event columns that the ledger reads."""

LEDGER_TEXTS: Final = (*TEXT_COLUMNS, "source", "about", "payload_format", "reporter_token")
"""Those of few distinct values: as dictionaries they cost half as much to read."""

STEP_NS: Final = 10_000_000_000
GRACE_NS: Final = 10_000_000_000
"""How long after a count its records may come in: Envoy sends them within a second, a retry after a
few."""
UNDER_WAY_NS: Final = 2_000_000_000
"""So long a proxy keeps what it has counted before it sends it: a second, if not told otherwise."""
SILENT_PUSHES: Final = 3
"""So many counts in a row that did not come make a reporter silent."""
UNHEARD_NS: Final = 300_000_000_000
"""So long is waited besides where nobody else was heard either: the collector may be restarting."""

PLACES_EVERY_NS: Final = 1_200_000_000_000
"""How often it is told where proxies report from: less than a start reads of the log again."""

QUIET_NS: Final = 600_000_000_000
"""Longer than any grace: a log may have slept for a month."""

_REQUEST_ENDED: Final = "DownstreamEnd"
_CONNECTIONS: Final = pa.array([Kind.CONNECTION, Kind.HANDSHAKE])
_RECORDS: Final = pa.array([Kind.REQUEST, Kind.CONNECTION, Kind.HANDSHAKE, Kind.UNDECODED])
_CAUSES: Final = {
    LossKind.DROPPED: Cause.DROPPED,
    LossKind.RESTART: Cause.RESTART,
    LossKind.GIVEN_UP: Cause.UNKNOWN,
    LossKind.NOT_WRITTEN: Cause.NOT_WRITTEN,
}
_LINES: Final = pa.array(list(LINE_FORMATS))
"""Sources of lines: files and shippers are no proxies, and what is imported may be years old. They
are counted as received; nothing is expected of them."""
_BROKEN: Final = frozenset({"cancelled", "error"})
_OWN: Final = "meshtrail"


@dataclass(frozen=True, slots=True)
class Step:
    """What the ledger says at the end of a step.

    Attributes:
        until_ns: the end of it, on the collector's clock.
    """

    until_ns: int
    statements: list[Statement]


class Ledger:
    """Keeps account, entry by entry.

    Args:
        recording_since_ns: arrival of the first entry of the log.
        keys: looks at who uses which key from where; None where no inventory says what belongs.

    Attributes:
        keys: may be exchanged between two calls.
    """

    def __init__(self, *, recording_since_ns: int, keys: SharedKeys | None = None) -> None:
        self.keys = keys
        self._noticed: list[Statement] = []
        self._since_ns = recording_since_ns
        self._closed_ns = recording_since_ns // STEP_NS * STEP_NS
        self._step_ns = self._closed_ns + STEP_NS
        self._last_ns = self._heard_ns = self._resumed_ns = recording_since_ns
        self._reporters = Reporters()
        self._proxies: list[ReportedProxy] = []
        self._active: set[int] = set()
        self._logged: dict[Reporter, Logged] = {}
        self._downtimes = Downtimes()
        self._outages = Outages()
        self._pairs = PairBook()
        self._clocks = ClockAccount()

    def learn(self, places: Iterable[Place], logged: Mapping[Reporter, Logged]) -> None:
        """Learn what was told before the events that are taken.

        Args:
            places: where proxies reported from.
            logged: what proxies logged.
        """
        self._pairs.learn(places)
        self._logged.update(logged)

    @property
    def reporters_count(self) -> int:
        """Reporters that were heard of."""
        return len(self._proxies)

    @property
    def silent_count(self) -> int:
        """Reporters whose counts no longer come."""
        return sum(proxy.is_silent for proxy in self._proxies)

    def take(self, events: pa.Table) -> Iterator[Step]:
        """Take the next events.

        Args:
            events: ``LEDGER_COLUMNS``, in the order of the log.

        Yields:
            The steps that they end.
        """
        # Before time is passed on: what ended while the collector was down is told by these steps.
        events, found = self._downtimes.take(events)
        for from_ns, until_ns in found:
            self._outages.add_downtime(from_ns, until_ns)
            self._pairs.add_downtime(from_ns, until_ns)
        yield from self._take_steps(events)

    def _take_steps(self, events: pa.Table) -> Iterator[Step]:
        received = events.column("received_time").to_numpy()
        start = 0
        while start < len(received):
            if received[start] >= self._step_ns:
                yield from self._pass_time(int(received[start]), is_now=False)
            end = int(np.searchsorted(received, self._step_ns))
            self._take(events.slice(start, end - start))
            start = end

    def pass_time(self, now_ns: int) -> Iterator[Step]:
        """Go on to a moment until which nothing more can come in.

        Args:
            now_ns: at most now; the collector has been running until then.

        Yields:
            The steps that end before it.
        """
        for events in self._downtimes.take_waiting():
            yield from self._take_steps(events)
        yield from self._pass_time(now_ns, is_now=True)

    def _pass_time(self, now_ns: int, *, is_now: bool) -> Iterator[Step]:
        quiet_ns = self._last_ns + QUIET_NS
        while now_ns >= self._step_ns:
            if self._step_ns > quiet_ns:
                # Nothing came for so long that nothing is left to say of it.
                self._step_ns = max(now_ns // STEP_NS * STEP_NS, self._step_ns)
            yield Step(self._step_ns, list(self._close_step(self._step_ns, is_now=is_now)))
            self._step_ns += STEP_NS

    def _take(self, events: pa.Table) -> None:
        numbers = self._reporters.number(events)
        for number in range(len(self._proxies), len(self._reporters.all)):
            assert number == len(self._proxies)  # noqa: S101 - both grow together
            reporter = self._reporters.all[number]
            account = ProxyAccount(
                recording_since_ns=self._since_ns, logged=self._logged.get(reporter, Logged())
            )
            self._proxies.append(ReportedProxy(account, is_many=reporter.id == OVERFLOW))
        self._active.update(np.unique(numbers[numbers >= 0]).tolist())
        self._take_records(events, numbers)
        self._take_counts(events, numbers)
        self._take_streams(events, numbers)
        self._clocks.take(events, numbers)
        sent = _sent_by_proxies(events)
        self._clocks.take_pairs(self._pairs.take(sent), self._reporters)
        if self.keys is not None:
            self._noticed += self.keys.take(sent)
        received = events.column("received_time").to_numpy()
        self._last_ns = int(received[-1])
        heard = np.flatnonzero(numbers >= 0)
        if len(heard):
            self._heard_ns = int(received[heard[-1]])

    def _take_records(self, events: pa.Table, numbers: npt.NDArray[np.int64]) -> None:
        is_record = pc.is_in(events.column("kind"), _RECORDS).to_numpy()
        is_again = events.column("is_duplicate").to_numpy()
        # Of what cannot be read only the arrival is known; a proxy's clock is hardly far from it.
        ends = pc.coalesce(events.column("end_time"), events.column("received_time")).to_numpy()
        parts = _parts(events)
        minutes = events.column("received_time").to_numpy() // MINUTE_NS
        is_read = pc.not_equal(events.column("kind"), Kind.UNDECODED.value).to_numpy()
        is_sent = ~_is_line(events).to_numpy()
        for number, rows in rows_by_number(np.where(is_record, numbers, -1)):
            proxy = self._proxies[number]
            first = rows[~is_again[rows]]
            sent = first[is_sent[first]]
            proxy.account.add_records(Ends(*(ends[sent[is_part[sent]]] for is_part in parts)))
            proxy.minutes.add("received", minutes[first])
            proxy.minutes.add("duplicates", minutes[rows[is_again[rows]]])
            proxy.minutes.add("undecoded", minutes[first[~is_read[first]]])

    def _take_counts(self, events: pa.Table, numbers: npt.NDArray[np.int64]) -> None:
        is_count = pc.and_(
            pc.equal(events.column("kind"), Kind.COUNTER.value),
            pc.not_equal(events.column("source"), _OWN),
        ).to_numpy()
        # What is sent again says nothing of how often the proxy counts.
        is_count &= ~events.column("is_duplicate").to_numpy()
        for row in np.flatnonzero(is_count & (numbers >= 0)).tolist():
            one = events.slice(row, 1).to_pylist()[0]
            at_ns, received_ns = one["time"], one["received_time"]
            if at_ns is None or one["detail"] is None:
                continue
            self._proxies[int(numbers[row])].take_push(
                one["detail"], at_ns=at_ns, received_ns=received_ns, stream=one["stream"]
            )

    def _take_streams(self, events: pa.Table, numbers: npt.NDArray[np.int64]) -> None:
        kinds = events.column("kind")
        for row in np.flatnonzero(pc.equal(kinds, Kind.STREAM_CLOSED.value).to_numpy()).tolist():
            one = events.slice(row, 1).to_pylist()[0]
            if numbers[row] >= 0 and _reason(one) in _BROKEN:
                self._outages.add_reset(int(numbers[row]), one["received_time"])
        for row in np.flatnonzero(pc.equal(kinds, Kind.STREAM_OPENED.value).to_numpy()).tolist():
            one = events.slice(row, 1).to_pylist()[0]
            if one["source"] == _OWN:
                self._resumed_ns = one["received_time"]

    def _close_step(self, until_ns: int, *, is_now: bool) -> Iterator[Statement]:
        yield from self._noticed
        self._noticed.clear()
        self._clocks.take_pairs(self._pairs.pass_time(until_ns), self._reporters)
        for names, minute_ns, figure, count in self._pairs.take_counts():
            number = self._reporters.find(*names)
            if number is not None:
                minutes = self._proxies[number].minutes
                minutes.add_count(figure, minute_ns // MINUTE_NS, count)
                self._active.add(number)
        yield from self._pairs.tell()
        yield from self._tell_places(until_ns)
        yield from self._clocks.close_step(until_ns, self._reporters.all)
        for number in sorted(self._active):
            yield from self._close_proxy(number, until_ns, is_now=is_now)

    def _close_proxy(self, number: int, until_ns: int, *, is_now: bool) -> Iterator[Statement]:
        proxy, reporter = self._proxies[number], self._reporters.all[number]
        for loss in proxy.account.settle(received_before_ns=until_ns - GRACE_NS):
            proxy.minutes.lose(loss)
            yield self._tell_loss(number, loss)
        late_count = proxy.account.late_count
        proxy.minutes.add_count("late", until_ns // MINUTE_NS, late_count - proxy.late_count)
        proxy.late_count = late_count
        if proxy.is_shared and not proxy.is_told_shared:
            proxy.is_told_shared = True
            since_ns = until_ns - STEP_NS
            yield statements.finding(
                reporter, Cause.NAME_SHARED, from_ns=since_ns, until_ns=until_ns
            )
        yield from self._tell_silence(number, proxy, until_ns, is_now=is_now)
        for one in proxy.minutes.close(until_ns):
            yield statements.minute(reporter, logged=proxy.account.logged, **one)
        if proxy.is_at_rest:
            self._active.remove(number)
            proxy.minutes.forget_counts()

    def _tell_places(self, until_ns: int) -> Iterator[Statement]:
        """Say now and then where proxies report from."""
        before_ns, self._closed_ns = self._closed_ns, until_ns
        if before_ns // PLACES_EVERY_NS != until_ns // PLACES_EVERY_NS:
            places = self._pairs.places()
            yield from statements.known_places(places, from_ns=before_ns, until_ns=until_ns)

    def _tell_loss(self, number: int, loss: Loss) -> Statement:
        cause = _CAUSES.get(loss.kind) or self._explain(number, loss)
        return statements.gap(
            self._reporters.all[number],
            cause,
            from_ns=loss.from_ns,
            until_ns=loss.until_ns,
            seen_until_ns=loss.received_ns,
            missing_min=loss.missing_min,
            missing_max=loss.missing_max,
        )

    def _explain(self, number: int, loss: Loss) -> Cause:
        """Why records that the proxy had written did not come."""
        from_ns = loss.from_ns + loss.received_ns - loss.until_ns
        cause = self._outages.explain(number, from_ns, loss.received_ns)
        if cause is Cause.UNKNOWN and loss.kind is LossKind.LAST:
            return Cause.RESTART
        if cause is Cause.UNKNOWN:
            # What was counted was still with the proxy when something happened to it.
            cause = self._outages.explain(number, from_ns, loss.received_ns + UNDER_WAY_NS)
        return cause

    def _tell_silence(
        self, number: int, proxy: ReportedProxy, until_ns: int, *, is_now: bool
    ) -> Iterator[Statement]:
        """Say once that a proxy's counts no longer come."""
        if proxy.push is None or not proxy.interval_ns or proxy.is_silent:
            return
        since_ns = proxy.push.received_ns
        due_ns = max(since_ns, self._resumed_ns) + SILENT_PUSHES * proxy.interval_ns
        if self._heard_ns <= due_ns:
            if not is_now:
                # Nobody was heard: the collector may have been down, and says so in what comes.
                return
            due_ns += UNHEARD_NS
        if until_ns - GRACE_NS > due_ns:
            proxy.is_silent = True
            yield statements.finding(
                self._reporters.all[number],
                Cause.SILENT,
                from_ns=since_ns,
                until_ns=until_ns,
                interval_ns=proxy.interval_ns,
            )


def _parts(events: pa.Table) -> tuple[npt.NDArray[np.bool_], ...]:
    """Which records are of requests that ended, of connections that ended, and were written.

    A record that cannot be read is of the kind that its format says.
    """
    kind, moment = events.column("kind"), events.column("envoy_access_log_type")
    is_als = pc.equal(events.column("payload_format"), "als-http")
    is_request = pc.or_(pc.equal(kind, Kind.REQUEST.value), is_als)
    has_ended = pc.is_in(pc.coalesce(moment, _REQUEST_ENDED), value_set=pa.array([_REQUEST_ENDED]))
    is_connection = pc.is_in(kind, value_set=_CONNECTIONS)
    is_connection = pc.or_(is_connection, pc.equal(events.column("payload_format"), "als-tcp"))
    return (
        pc.and_(is_request, has_ended).to_numpy(),
        # The log of the listener, which has each connection once, names no moment.
        pc.and_(is_connection, pc.is_null(moment)).to_numpy(),
        is_als.to_numpy(),
    )


def _is_line(events: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(events.column("source"), value_set=_LINES)


def _sent_by_proxies(events: pa.Table) -> pa.Table:
    """The events without those of lines; most of the time there are none of these."""
    is_line = _is_line(events)
    return events.filter(pc.invert(is_line)) if pc.any(is_line).as_py() else events


def _reason(event: dict[str, Any]) -> str | None:
    try:
        reason = json.loads(event["detail"] or "null")["reason"]
    except (ValueError, KeyError, TypeError):
        return None
    return reason if isinstance(reason, str) else None
