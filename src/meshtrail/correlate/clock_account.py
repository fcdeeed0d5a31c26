"""What is said of reporters' clocks: read from events, told when it is new, changed or old."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate import statements
from meshtrail.correlate.clock_offsets import (
    ACCESS_LOGS,
    BATCHES,
    COUNTS,
    Arrivals,
    ClockEstimate,
    ClockOffsets,
    ClockPairs,
)
from meshtrail.correlate.reporters import OVERFLOW
from meshtrail.model.event import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from meshtrail.correlate.reporters import Reporter, Reporters
    from meshtrail.correlate.statements import Statement

TOLD_AGAIN_NS: Final = 300_000_000_000
"""How often a clock is stated that goes as it went."""

_SLEWED_TIMES: Final = 3
"""A step of the collector's clock is over after so many times its length, by that clock."""
_NANOS_MAX: Final = 1 << 60
_SENDINGS: Final = {"envoy-als": ACCESS_LOGS, "envoy-metrics": COUNTS, "otlp": BATCHES}
_TIMES: Final = ["time", "end_time", "received_time"]
_ENDS: Final = ("source", "destination")
_SENT: Final = pa.array([Kind.REQUEST, Kind.CONNECTION, Kind.HANDSHAKE, Kind.SPAN, Kind.COUNTER])


class ClockAccount:
    """Follows the clocks of all reporters through the log."""

    def __init__(self) -> None:
        self._offsets = ClockOffsets()
        self._told: dict[int, ClockEstimate] = {}

    def take(self, events: pa.Table, numbers: npt.NDArray[np.int64]) -> None:
        """Take the next events.

        Args:
            events: ``LEDGER_COLUMNS``, n rows in the order of the log.
            numbers: int64[n], the reporter of each; -1 for none.
        """
        self._take_steps(events)
        is_timed = pc.and_(
            pc.is_in(events.column("kind"), _SENT), pc.is_valid(events.column("time"))
        )
        # A retry was delayed for longer than anything that is assumed.
        is_first = pc.and_(is_timed, pc.invert(events.column("is_duplicate"))).to_numpy()
        sources = events.column("source")
        for source, sending in _SENDINGS.items():
            is_theirs = pc.equal(sources, source).to_numpy() & is_first & (numbers >= 0)
            rows = np.flatnonzero(is_theirs)
            if not len(rows):
                continue
            sent = events.select(_TIMES).take(pa.array(rows))
            times = sent.column("time")
            self._offsets.take_arrivals(
                Arrivals(
                    reporter=numbers[rows],
                    time_ns=times.to_numpy(),
                    end_ns=pc.coalesce(sent.column("end_time"), times).to_numpy(),
                    received_ns=sent.column("received_time").to_numpy(),
                ),
                sending,
            )

    def take_pairs(self, pairs: pa.Table, reporters: Reporters) -> None:
        """Take records of which two belong to one request.

        Args:
            pairs: ``PAIR_SCHEMA``.
            reporters: whose names these are.
        """
        # A request that was broken off may end last where it was served.
        certain = pc.and_(pairs.column("same_request_id"), pairs.column("are_whole"))
        pairs = pairs.filter(certain)
        if not pairs.num_rows:
            return
        numbers = [
            reporters.find_each(
                pairs.column(f"{end}_reporter_id"), pairs.column(f"{end}_reporter_spiffe_id")
            )
            for end in _ENDS
        ]
        times = [
            pairs.column(f"{end}_{name}").to_numpy()
            for end in _ENDS
            for name in ("time", "end_time")
        ]
        arrivals = [pairs.column(f"{end}_received_time").to_numpy() for end in _ENDS]
        columns = [*numbers, *times, np.minimum(*arrivals)]
        are_known = np.minimum(*numbers) >= 0
        self._offsets.take_pairs(ClockPairs(*(column[are_known] for column in columns)))

    def close_step(self, until_ns: int, reporters: Sequence[Reporter]) -> Iterator[Statement]:
        """What there is to say of clocks at the end of a step.

        Args:
            until_ns: its end, on the collector's clock.
            reporters: by number.
        """
        for number, estimate in self._offsets.close_step(until_ns):
            reporter = reporters[number]
            # Several senders under one name have no clock in common.
            if reporter.id != OVERFLOW and _is_news(self._told.get(number), estimate):
                self._told[number] = estimate
                yield statements.clock(reporter, estimate)

    def _take_steps(self, events: pa.Table) -> None:
        """Begin anew where the collector says that its own clock was stepped."""
        is_own = pc.and_(
            pc.equal(events.column("kind"), Kind.CLOCK.value), pc.is_null(events.column("about"))
        )
        for one in events.filter(is_own).select(["received_time", "detail"]).to_pylist():
            step_ns = _read_step(one["detail"])
            self._offsets.restart(one["received_time"] + _SLEWED_TIMES * abs(step_ns))


def _is_news(told: ClockEstimate | None, now: ClockEstimate) -> bool:
    """Whether an estimate says something that the last that was told does not."""
    if now.offset_ns is None or now.error_ns is None:
        return told is not None and told.offset_ns is not None
    if told is None or told.offset_ns is None or told.error_ns is None:
        return True
    return (
        told.quality is not now.quality
        or now.is_stepped
        or now.until_ns - told.until_ns >= TOLD_AGAIN_NS
        or abs(now.offset_ns - told.offset_ns) > now.error_ns
        or 2 * now.error_ns < told.error_ns
    )


def _read_step(detail: str | None) -> int:
    """By how much the collector's clock was stepped; 0 where it does not say."""
    said = json.loads(detail or "{}")
    step_ns = said.get("step_ns") if isinstance(said, dict) else None
    return step_ns if type(step_ns) is int and abs(step_ns) < _NANOS_MAX else 0
