"""How far reporters' clocks are off, as meshtrail's own ledger stated it in the log.

What an event says of its reporter's clock is the latest that was stated before it, so it can be
derived again from the log alone. Specified in docs/formats/event.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from meshtrail.model.event import TimeQuality
from meshtrail.sources.columns import coded

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Rows = npt.NDArray[np.int64]

LEDGER_WRITER: Final = "ledger"
"""Which of meshtrail's own streams states clocks; nobody else is believed."""
DRIFT_DIVISOR: Final = 20_000
"""A clock drifts from the collector's by at most one part in so many: 50 ppm."""
STATED_FOR_NS: Final = 3_600_000_000_000
"""A statement counts for what arrives within an hour: the ledger repeats it every five minutes, and
recovery need not read the whole log for it."""
CLOCKS_MAX: Final = 100_000
"""Reporters whose clocks are known at once; of more, those that were stated last."""

_NS_MAX: Final = 1 << 60
_TIME_NS_MAX: Final = 1 << 62
_KEY: Final = ("id", "spiffe_id", "token")

ReporterKey = tuple[str | None, str | None, str | None]
"""What a reporter claims to be, what it was authenticated as, and the token that it came with."""


class StatedClock(NamedTuple):
    """A statement about a clock.

    Attributes:
        offset_ns: the reporter's clock minus the collector's; None where it is not known.
        error_ns: it is within this of ``offset_ns``.
        until_ns: when that was so, on the collector's clock.
        received_ns: of the entry.
    """

    quality: TimeQuality = TimeQuality.UNKNOWN
    offset_ns: int | None = None
    error_ns: int | None = None
    until_ns: int = 0
    received_ns: int = 0

    def error_at(self, time_ns: int) -> int | None:
        """The error of a time that the clock said, with the drift from when the offset was so."""
        if self.offset_ns is None or self.error_ns is None:
            return None
        time_ns = min(max(time_ns, 0), _TIME_NS_MAX)
        age_ns = abs(time_ns - self.offset_ns - self.until_ns) + self.error_ns
        return self.error_ns + age_ns // DRIFT_DIVISOR + 1


UNKNOWN_CLOCK: Final = StatedClock()


def parse_clock(payload: bytes, *, received_ns: int) -> tuple[ReporterKey, StatedClock] | None:
    """A statement about a reporter's clock; None where a clock entry is none.

    Args:
        payload: of the entry.
        received_ns: of the entry.
    """
    try:
        said = json.loads(payload.decode())
        reporter = said["reporter"]
        key = tuple(reporter[name] for name in _KEY)
        quality, until_ns = TimeQuality(said["quality"]), said["until_ns"]
        offset_ns, error_ns = said["offset_ns"], said["error_ns"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if not any(key) or not all(part is None or isinstance(part, str) for part in key):
        return None
    if quality is TimeQuality.UNKNOWN:
        offset_ns = error_ns = None
    elif not (_within(offset_ns, -_NS_MAX, _NS_MAX) and _within(error_ns, 0, _NS_MAX)):
        return None
    if not _within(until_ns, 0, _TIME_NS_MAX):
        return None
    return key, StatedClock(quality, offset_ns, error_ns, until_ns, received_ns)


class ReporterClocks:
    """What was stated last about each reporter's clock, at a point of the log."""

    def __init__(self, stated: dict[ReporterKey, StatedClock] | None = None) -> None:
        self._stated = dict(stated or {})

    def __len__(self) -> int:
        return len(self._stated)

    def copy(self) -> ReporterClocks:
        """An independent copy."""
        return ReporterClocks(self._stated)

    def tell(self, key: ReporterKey, stated: StatedClock) -> None:
        """Take a statement; later ones of the log later."""
        self._stated.pop(key, None)
        self._stated[key] = stated
        while True:
            oldest = next(iter(self._stated))
            is_over = not _counts(self._stated[oldest], stated.received_ns)
            if not is_over and len(self._stated) <= CLOCKS_MAX:
                return
            del self._stated[oldest]

    def get(self, key: ReporterKey) -> StatedClock:
        """The last statement about a reporter, however old."""
        return self._stated.get(key, UNKNOWN_CLOCK)

    def get_at(self, key: ReporterKey, received_ns: int) -> StatedClock:
        """What counts for an entry of a reporter that arrives at a moment."""
        stated = self.get(key)
        return stated if _counts(stated, received_ns) else UNKNOWN_CLOCK


class Statement(NamedTuple):
    """A statement among some entries.

    Attributes:
        position: of its entry.
    """

    position: int
    key: ReporterKey
    stated: StatedClock


class ClocksOfRows:
    """The clock of the sender of each of some entries."""

    def __init__(self, stated: Sequence[StatedClock], rows: Rows) -> None:
        """Take the distinct statements, and which counts for each row if it is not too old."""
        self._stated = stated
        self._rows = rows

    def select(self, rows: Rows) -> ClocksOfRows:
        """The clocks of some of the rows."""
        return ClocksOfRows(self._stated, self._rows[rows])

    def columns(self, time: pa.Array | None, received_ns: Rows) -> dict[str, pa.Array]:
        """The columns of the event schema that say how far ``time`` is off.

        Args:
            time: int64[n], of the events; null where an event has none, None where all have none.
            received_ns: int64[n], their arrivals.
        """
        if time is None or time.null_count == len(time):
            return {}
        absent = time.is_null().to_numpy(zero_copy_only=False)
        stated = [UNKNOWN_CLOCK, *self._stated]
        rows = self._rows + 1
        is_known = np.array([one.offset_ns is not None for one in stated])
        if not is_known.any():
            rows = np.zeros_like(rows)
            return {"time_quality": coded([TimeQuality.UNKNOWN.value], pa.array(rows, mask=absent))}
        arrived = np.array([one.received_ns for one in stated], dtype=np.int64)
        rows = np.where(received_ns - arrived[rows] <= STATED_FOR_NS, rows, 0)
        qualities = [one.quality.value for one in stated]
        unknown = absent | ~is_known[rows]
        offset_ns, error_ns = _measure(stated, rows, time.fill_null(0).to_numpy())
        return {
            "time_offset": pa.array(offset_ns, mask=unknown),
            "time_error": pa.array(error_ns, mask=unknown),
            "time_quality": coded(qualities, pa.array(rows, mask=absent)),
        }


def follow_clocks(
    clocks: ReporterClocks,
    statements: Sequence[Statement],
    keys: Sequence[ReporterKey],
    rows: Rows,
) -> ClocksOfRows:
    """The clock of the sender of each entry, as of that entry; ``clocks`` is as after the last.

    Args:
        clocks: as before the first.
        statements: among the entries, in their order.
        keys: of the senders; may repeat.
        rows: int64[n], which of the keys the sender of each entry has.
    """
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    stated = [clocks.get(key) for key in numbers]
    number = np.array([numbers[key] for key in keys], dtype=np.int64)[rows]
    for one in statements:
        clocks.tell(one.key, one.stated)
    here = [one for one in statements if one.key in numbers]
    if here:
        # Statements by sender and position; for each entry the last of its sender's before it.
        width = len(rows) + 1
        places = np.array([numbers[one.key] * width + one.position + 1 for one in here])
        order = np.argsort(places)
        last = np.searchsorted(places[order], number * width + np.arange(len(rows)), side="right")
        last = np.maximum(last - 1, 0)
        is_told = (places[order][last] >= number * width) & (
            places[order][last] <= number * width + np.arange(len(rows))
        )
        number = np.where(is_told, len(stated) + order[last], number)
        stated += [one.stated for one in here]
    return ClocksOfRows(stated, number)


def _measure(stated: Sequence[StatedClock], rows: Rows, time_ns: Rows) -> tuple[Rows, Rows]:
    """Offset and error of each row, as ``StatedClock.error_at``; of anything where not known."""
    offset_ns = np.array([one.offset_ns or 0 for one in stated], dtype=np.int64)
    error_ns = np.array([one.error_ns or 0 for one in stated], dtype=np.int64)
    due_ns = offset_ns + np.array([one.until_ns for one in stated], dtype=np.int64)
    age_ns = np.abs(np.clip(time_ns, 0, _TIME_NS_MAX) - due_ns[rows])
    wide_ns = error_ns[rows]
    return offset_ns[rows], wide_ns + (age_ns + wide_ns) // DRIFT_DIVISOR + 1


def _counts(stated: StatedClock, received_ns: int) -> bool:
    return received_ns - stated.received_ns <= STATED_FOR_NS


def _within(value: Any, low: int, high: int) -> bool:  # noqa: ANN401 - of somebody's JSON
    # A truth value is an int to Python.
    return type(value) is int and low <= value <= high
