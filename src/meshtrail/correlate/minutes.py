"""What is told of one reporter for each minute of its arrivals, on the collector's clock."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from meshtrail.correlate.proxy_account import Loss
    from meshtrail.correlate.pushes import Push

MINUTE_NS: Final = 60_000_000_000
MINUTE_GRACE_NS: Final = 80_000_000_000
"""How long after its end a minute is told: what belongs to it is there then, pairs among it."""

_COUNTS_MAX: Final = 256
_FIGURES: Final = (
    "received",
    "duplicates",
    "undecoded",
    "late",
    "expected",
    "paired",
    "answered",
)


@dataclass(slots=True)
class _Minute:
    figures: Counter[str] = field(default_factory=Counter)
    missing_min: int = 0
    missing_max: int | None = 0


class Minutes:
    """The minutes of one reporter that are not told yet."""

    def __init__(self) -> None:
        self._open: defaultdict[int, _Minute] = defaultdict(_Minute)
        self._counts: deque[tuple[int, Push]] = deque(maxlen=_COUNTS_MAX)
        self._told_until = 0

    @property
    def are_open(self) -> bool:
        """Whether any is not told yet."""
        return bool(self._open)

    def forget_counts(self) -> None:
        """Let go of all counts but the last: no minute is open that they would be in."""
        self._counts = deque(list(self._counts)[-1:], maxlen=_COUNTS_MAX)

    def add(self, figure: str, minutes: npt.NDArray[np.int64]) -> None:
        """Count one for each row.

        Args:
            figure: of ``_FIGURES``.
            minutes: int64[n], which minute since 1970 each belongs to.
        """
        if not len(minutes):
            return
        for minute, count in zip(*np.unique(minutes, return_counts=True), strict=True):
            self._open[int(minute)].figures[figure] += int(count)

    def add_count(self, figure: str, minute: int, count: int) -> None:
        """Count some for a minute, or take back what was counted; one that was told is over."""
        if count:
            self._open[max(minute, self._told_until)].figures[figure] += count

    def count(self, received_ns: int, push: Push) -> None:
        """Take a count of the reporter's own."""
        self._counts.append((received_ns, push))
        # A minute in which nothing but a count came is told as well.
        _ = self._open[received_ns // MINUTE_NS]

    def lose(self, loss: Loss) -> None:
        """Take records that are missing, by the arrival of the count that shows it."""
        minute = self._open[loss.received_ns // MINUTE_NS]
        minute.missing_min += loss.missing_min
        if loss.missing_max is None or minute.missing_max is None:
            minute.missing_max = None
        else:
            minute.missing_max += loss.missing_max

    def close(self, until_ns: int) -> Iterator[dict[str, Any]]:
        """The minutes that can be told by now, in their order."""
        for number in sorted(self._open):
            from_ns, end_ns = number * MINUTE_NS, (number + 1) * MINUTE_NS
            if end_ns + MINUTE_GRACE_NS > until_ns:
                return
            minute = self._open.pop(number)
            self._told_until = number + 1
            yield {
                "from_ns": from_ns,
                "until_ns": end_ns,
                "missing_min": minute.missing_min,
                "missing_max": minute.missing_max,
                **{name: minute.figures[name] for name in _FIGURES},
                **self._counted(from_ns, end_ns),
            }

    def _counted(self, from_ns: int, until_ns: int) -> dict[str, int | None]:
        """How many requests the reporter itself counted within a time: bounds, null without."""
        before = [push for at, push in self._counts if at <= from_ns]
        inside = [push for at, push in self._counts if from_ns < at <= until_ns]
        behind = [push for at, push in self._counts if at > until_ns]
        known = [*before[-1:], *inside, *behind[:1]]
        is_one_count = all(later.goes_on_from(earlier) for earlier, later in pairwise(known))
        if not known or not is_one_count:
            return {"counted_min": None, "counted_max": None}
        least = inside[-1].requests - inside[0].requests if inside else 0
        most = behind[0].requests - before[-1].requests if before and behind else None
        return {"counted_min": least, "counted_max": most}
