"""Pairing of callers' and callees' records as a function of the log, table by table.

Rows are looked at in windows of ``received_time``, cut at fixed moments however the tables were
cut, so what is found depends on the rows alone. In each window, in this order: records with one
request id on one connection are paired; then those that have settled, by connection and time; then
those whose grace is over are told to be without a partner; then what is too old, or too much, is
forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from meshtrail.correlate.pairing.happenings import COLUMNS, read_happenings
from meshtrail.correlate.pairing.outcome import Count, Outcome, Report, join_outcomes
from meshtrail.correlate.pairing.partners import pair_new, pair_settled
from meshtrail.correlate.pairing.pending import Pending, Rows
from meshtrail.correlate.pairing.places import learn_places, read_places
from meshtrail.correlate.pairing.state import State
from meshtrail.correlate.pairing.unpaired import bound, drop, expire, find_late_attempts
from meshtrail.errors import ClockError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    import pyarrow as pa

    from meshtrail.correlate.pairing.options import PairingOptions
    from meshtrail.correlate.pairing.places import Place
    from meshtrail.correlate.pairing.reasons import Gap

_BEFORE_ALL_NS: Final = -(1 << 62)


class Pairing:
    """Pairs the records of both ends of each call, as they come."""

    def __init__(self, options: PairingOptions) -> None:
        self._state = State(options)
        self._pending = Pending()
        self._complete_ns = _BEFORE_ALL_NS

    @property
    def open_count(self) -> int:
        """Records that wait."""
        return len(self._state.records)

    @property
    def open_bytes(self) -> int:
        """Memory of the records that wait, without the indexes to them."""
        return self._state.records.memory_bytes

    def take(
        self,
        table: pa.Table,
        *,
        watermark_ns: int | None = None,
        tolerance_ns: int | npt.NDArray[np.int64] = 0,
        gaps: Iterable[Gap] = (),
    ) -> Outcome:
        """Take the next rows of the log, and tell what is decided by then.

        Args:
            table: events with ``COLUMNS``, in the order of the log, after those of the last call.
            watermark_ns: no later row has an earlier ``received_time``; None: that of the last row.
            tolerance_ns: how far two reporters' clocks may be apart, for all rows or for each.
            gaps: stretches that became known; each counts from its ``known_ns``.

        Raises:
            ClockError: ``received_time`` falls behind what was taken, or promised.
        """
        received = table.column("received_time").to_numpy()
        self._check_order(received)
        state = self._state
        state.gaps += gaps
        each_ns = np.broadcast_to(np.asarray(tolerance_ns, dtype=np.int64), (table.num_rows,))
        self._pending.add(Rows(table.select(COLUMNS), each_ns))
        promised = [int(received[-1])] if len(received) else []
        promised += [] if watermark_ns is None else [watermark_ns]
        self._complete_ns = max([self._complete_ns, *promised])
        written = self._run_windows()
        return join_outcomes([*written, self._write()], decided_until_ns=self._complete_ns)

    def places(self) -> list[Place]:
        """Where proxies report from, as far as rows have been looked at."""
        return read_places(self._state, self._complete_ns)

    def learn(self, places: Iterable[Place]) -> None:
        """Learn who reported from where before the rows that are taken."""
        learn_places(self._state, places)

    def _check_order(self, received: npt.NDArray[np.int64]) -> None:
        before = np.concatenate([[self._complete_ns], received[:-1]])
        falls = np.flatnonzero(received < before[: len(received)])
        if len(falls):
            at = int(falls[0])
            raise ClockError(
                f"received_time falls from {before[at]} to {received[at]}",
                want_ns=int(before[at]),
                got_ns=int(received[at]),
            )

    def _run_windows(self) -> list[Outcome]:
        """Run the windows that are complete and in which something is due.

        Returns:
            What was written already, because numbers in it were about to change.
        """
        written = []
        window_ns = self._state.options.window_ns
        while (due_ns := self._next_due_ns()) is not None:
            end_ns = (due_ns // window_ns + 1) * window_ns
            if end_ns > self._complete_ns:
                break
            self._run_window(self._pending.take_until(end_ns), end_ns)
            # Here, not between two calls: what is forgotten depends on the rows alone.
            if self._state.has_many_names:
                written.append(self._write())
                self._state.forget_names(end_ns)
        return written

    def _write(self) -> Outcome:
        state = self._state
        report, state.report = state.report, Report()
        return report.write(
            state.registers, state.reporter_columns, decided_until_ns=self._complete_ns
        )

    def _next_due_ns(self) -> int | None:
        """A moment in the first window in which there is something to do."""
        options, records = self._state.options, self._state.records
        due = [] if self._pending.first_ns is None else [self._pending.first_ns]
        due += [
            int(records["received_ns"][mark]) + age_ns
            for mark, age_ns in (
                (records.settled, options.settle_ns),
                (records.yielded, 2 * options.settle_ns),
                (records.expired, options.grace_ns),
                (records.dropped, options.grace_ns + options.late_ns),
            )
            if mark < records.count
        ]
        deferred = self._state.deferred.until_ns
        due += [int(deferred.min())] if len(deferred) else []
        return min(due, default=None)

    def _run_window(self, window: Rows | None, end_ns: int) -> None:
        state = self._state
        state.retried.forget(end_ns - state.options.retried_ns)
        if window is not None:
            happenings = read_happenings(
                window.table, state.registers, tolerance_ns=window.tolerance_ns
            )
            state.reserve()
            rows = happenings.rows
            state.memory.see(rows)
            state.life.add(happenings.life)
            local = rows["is_local"]
            state.report.count(
                Count.LOCALLY_ANSWERED, rows["reporter"][local], rows["received_ns"][local]
            )
            pair_new(state, happenings.parts)
            state.retried.add(happenings.retried)
            find_late_attempts(state, happenings.retried)
        pair_settled(state, end_ns)
        expire(state, end_ns)
        drop(state, end_ns)
        bound(state)
        state.close_holes()
