from __future__ import annotations

import pytest

from meshtrail.search.bounds import Bounds, bounds_of
from meshtrail.search.parse import parse_query
from meshtrail.units import INT64_MAX, UnixNanos

NOW = UnixNanos(1_763_712_000_000_000_000)
MINUTE = 60_000_000_000


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("", 0, INT64_MAX),
        ("status:403", 0, INT64_MAX),
        ("index:7", 7, 8),
        ("index:>7", 8, INT64_MAX),
        ("index:>=7", 7, INT64_MAX),
        ("index:<7", 0, 7),
        ("index:<=7", 0, 8),
        ("index:[3 TO 7]", 3, 8),
        ("index:{3 TO 7}", 4, 7),
        ("index:[3 TO *]", 3, INT64_MAX),
        ("index:[* TO 7]", 0, 8),
        ("index:*", 0, INT64_MAX),
        ("index:>=3 AND index:<7 AND status:403", 3, 7),
        ("index:3 OR status:403", 0, INT64_MAX),
        ("NOT index:3", 0, INT64_MAX),
        ("index:(3, 4)", 0, INT64_MAX),
        ("(index:3)", 3, 4),
    ],
)
def test_only_what_has_to_hold_narrows_the_range(query: str, low: int, high: int) -> None:
    found = bounds_of(parse_query(query), "log_index", now_ns=NOW)
    assert found == Bounds(low=low, high=high)


def test_a_moment_bounds_its_span_and_relative_times_count_from_now() -> None:
    spelled = bounds_of(parse_query("received:2025-11-21T08:00Z"), "received_time", now_ns=NOW)
    assert spelled == Bounds(low=NOW, high=NOW + MINUTE)
    back = bounds_of(parse_query("received:>=-1m"), "received_time", now_ns=NOW)
    assert back == Bounds(low=NOW - MINUTE)


def test_bounds_that_exclude_each_other_are_empty() -> None:
    assert Bounds(low=5).within(Bounds(high=5)).is_empty
    assert not Bounds(low=5).within(Bounds(high=6)).is_empty
