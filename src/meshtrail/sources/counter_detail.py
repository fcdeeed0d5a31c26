"""What a push of counters comes to: sums over the doors that log, and each of these doors.

Numbers are counts or they are not taken: whole, from 0 to 2^53, above which a double skips some.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from meshtrail.sources.counter_families import SHOWN_BY_DOOR
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from meshtrail.sources.counter_families import Family

COUNT_MAX: Final = 2**53
BAD_COUNT: Final = "a counter that is no whole number from 0 to 2^53"
BAD_TIME: Final = "a time of a counter that fits no clock"

DOORS_SHOWN_MAX: Final = 64
DOOR_CHARS_MAX: Final = 128
"""A door with a longer name is in the sums, and not shown."""

_NANOS_PER_MILLI: Final = 1_000_000


def read_count(value: float) -> int | None:
    """The count that a number stands for; None where it is no count."""
    # In this order: NaN compares as false, and infinity has no integer.
    return int(value) if 0 <= value <= COUNT_MAX and value == int(value) else None


def read_millis(millis: int) -> int | None:
    """Nanoseconds of a time in milliseconds; None where it fits no clock."""
    return millis * _NANOS_PER_MILLI if 0 <= millis <= INT64_MAX // _NANOS_PER_MILLI else None


def read_nanos(nanos: int) -> int | None:
    """A time in unsigned nanoseconds; None where it fits no clock."""
    return nanos if nanos <= INT64_MAX else None


class Tally:
    """What one push says, counter by counter.

    Attributes:
        time_ns: the latest of its times; None before the first.
        problems: why something was not taken.
    """

    def __init__(self) -> None:
        self.time_ns: int | None = None
        self.problems: set[str] = set()
        self._counts: dict[tuple[Family, str | None], int] = {}
        self._is_delta = False

    def note_time(self, time_ns: int | None) -> None:
        """Take the time of a counter; 0 is none."""
        if time_ns is None:
            self.problems.add(BAD_TIME)
        elif time_ns and (self.time_ns is None or time_ns > self.time_ns):
            self.time_ns = time_ns

    def count(
        self, family: Family, door: str | None, value: float, *, is_delta: bool = False
    ) -> None:
        """Take a counter; of several of one name the last counts."""
        count = read_count(value)
        if count is None:
            self.problems.add(BAD_COUNT)
            return
        self._counts[family, door] = count
        self._is_delta = self._is_delta or is_delta

    def detail(self, *, left_out_count: int) -> str:
        """The push as JSON: sorted keys, no spaces. A counter that was not sent is not there."""
        said: dict[str, Any] = {"left_out": left_out_count}
        if self._is_delta:
            said["deltas"] = True
        self._add_sums(said)
        omitted_count = 0
        for scope, part in SHOWN_BY_DOOR.items():
            doors = self._doors(scope)
            shown = sorted(door for door in doors if len(door) <= DOOR_CHARS_MAX)[:DOORS_SHOWN_MAX]
            omitted_count += len(doors) - len(shown)
            if shown:
                said[part] = {door: doors[door] for door in shown}
        if omitted_count:
            said["doors_omitted"] = omitted_count
        return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def _add_sums(self, said: dict[str, Any]) -> None:
        sums: dict[str, int] = {}
        for (family, _), count in self._counts.items():
            sums[family.field] = sums.get(family.field, 0) + count
        for field, total in sums.items():
            if total <= COUNT_MAX:
                said[field] = total
            else:
                self.problems.add(BAD_COUNT)

    def _doors(self, scope: str) -> dict[str, dict[str, int]]:
        doors: dict[str, dict[str, int]] = {}
        for (family, door), count in self._counts.items():
            if family.scope == scope and door is not None:
                counts = doors.setdefault(door, {})
                counts[family.field] = min(counts.get(family.field, 0) + count, COUNT_MAX)
        return doors
