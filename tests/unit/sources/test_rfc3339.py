from __future__ import annotations

import pytest

from meshtrail.sources.rfc3339 import parse_rfc3339

SECOND = 1_795_334_400 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("2026-11-22T08:00:00Z", SECOND),
        ("2026-11-22t08:00:00.000000001z", SECOND + 1),
        ("2026-11-22T08:00:00.123456Z", SECOND + 123_456_000),
        ("2026-11-22T08:00:00.1234567899999Z", SECOND + 123_456_789),
        ("2026-11-22T09:30:00+01:30", SECOND),
        ("2026-11-22 06:00:00-0200", SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_moment_is_read_to_the_nanosecond(text: str, nanos: int) -> None:
    assert parse_rfc3339(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T08:00:00",
        "2026-13-22T08:00:00Z",
        "2026-11-22T08:00:60Z",
        "2026-11-22T08:00:00Z\n",
        "２026-11-22T08:00:00Z",
        "1969-12-31T23:59:59Z",
        "2262-04-11T23:47:16.854775808Z",
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59",
        "2026-11-22T08:00:00+99:99",
    ],
)
def test_what_is_no_moment_of_64_bits_is_none(text: str) -> None:
    assert parse_rfc3339(text) is None
