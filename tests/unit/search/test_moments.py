from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import QueryError
from meshtrail.search.moments import format_moment, parse_duration, parse_moment, parse_span
from meshtrail.units import INT64_MAX, UnixNanos

NOW = UnixNanos(1_763_712_000_000_000_000)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("-15m", NOW - 900_000_000_000),
        ("-2h", NOW - 7_200_000_000_000),
        ("-7d", NOW - 604_800_000_000_000),
        ("1763712000000000001", NOW + 1),
        ("2025-11-21T08:00:00Z", NOW),
        ("2025-11-21t08:00:00z", NOW),
        ("2025-11-21T08:00Z", NOW),
        ("2025-11-21T10:30:00+02:30", NOW),
        ("2025-11-21T08:00:00.000000001Z", NOW + 1),
        ("2025-11-21T08:00:00.5Z", NOW + 500_000_000),
        ("2025-11-21", NOW - 8 * 3_600_000_000_000),
    ],
)
def test_each_form_of_a_moment_is_read(text: str, moment: int) -> None:
    assert parse_moment(text, now_ns=NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1763712000",
        "2025-11-21T08:00:00",
        "2025-13-01",
        "2025-11-21T25:00:00Z",
        "2025-11-21 08:00:00Z",
        "-15",
        "- 15m",
        "-15q",
        "-99999w",
        "2300-01-01",
        "1960-01-01",
        "４２-01-01",
        "2025-11-21T08:00:00.0000000001Z",
    ],
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_moment(text, now_ns=NOW)


@given(st.integers(min_value=0, max_value=INT64_MAX))
def test_a_formatted_moment_reads_back_to_the_nanosecond(moment: int) -> None:
    assert parse_moment(format_moment(moment), now_ns=NOW) == moment


@pytest.mark.parametrize(
    ("text", "nanos"), [("7", 7), ("250ms", 250_000_000), ("3us", 3_000), ("1d", 86_400 * 10**9)]
)
def test_a_duration_is_read_with_its_unit(text: str, nanos: int) -> None:
    assert parse_duration(text) == nanos


@pytest.mark.parametrize("text", ["", "ms", "1.5s", "-1s", "1 s", "1S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("2025-11-21", 86_400 * 10**9),
        ("2025-11-21T08:00Z", 60 * 10**9),
        ("2025-11-21T08:00:00Z", 10**9),
        ("2025-11-21T08:00:00.5Z", 10**8),
        ("2025-11-21T08:00:00.000000001Z", 1),
        ("1763712000000000000", 1),
        ("now", 1),
        ("-1h", 1),
    ],
)
def test_a_moment_names_the_span_that_it_is_written_with(text: str, nanos: int) -> None:
    start, end = parse_span(text, now_ns=NOW)
    assert start == parse_moment(text, now_ns=NOW)
    assert end - start == nanos
