from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.timestamps import parse_any_time, parse_time, read_times

DAY_NS = 86_400 * 10**9


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2025-01-30T12:10:13.682034460Z", 1_738_239_013_682_034_460),
        ("2025-01-30T12:10:13.279Z", 1_738_239_013_279_000_000),
        ("2025-01-30T12:10:13Z", 1_738_239_013_000_000_000),
        ("2025-01-30T13:10:13.6+01:00", 1_738_239_013_600_000_000),
        ("1970-01-02T00:00:00Z", DAY_NS),
        ("2024-02-29T00:00:00-00:30", 1_709_166_600_000_000_000),
        ("1970-01-01T00:00:00+01:00", None),
        ("2025-02-30T00:00:00Z", None),
        ("2025-01-30T24:00:00Z", None),
        ("2025-01-30T12:10:13.1234567890Z", None),
        ("2025-01-30T12:10:13", None),
        ("2025-01-30 12:10:13Z", None),
        ("2261-01-01T00:00:00Z", None),
        ("2025-01-30T12:10:13Z\n", None),
        ("\uff12025-01-30T12:10:13Z", None),
        ("", None),
    ],
)
def test_a_time_is_read_as_nanoseconds_or_called_none(text: str, time_ns: int | None) -> None:
    # The day that no calendar has beside it takes the other way.
    for beside in ("2025-01-30T12:10:13Z", "2025-02-31T00:00:00Z"):
        times, wrong = read_times(pa.array([text, beside, None], pa.string()))
        assert times.to_pylist()[::2] == [time_ns, None]
        assert wrong.to_pylist()[::2] == [time_ns is None, False]
    assert parse_time(text) == time_ns


@given(
    st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    st.text("0123456789-+:.TZ ", max_size=36),
)
def test_columns_and_single_texts_are_read_alike(time: str, noise: str) -> None:
    texts = [time, noise, time.replace("Z", "+07:30"), f"{time[:-1]}123Z"]
    assert read_times(pa.array(texts))[0].to_pylist() == [parse_time(text) for text in texts]


MOMENT_NS = 1_795_334_400 * 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("2026-11-22T08:00:00Z", MOMENT_NS),
        ("2026-11-22t08:00:00.000000001z", MOMENT_NS + 1),
        ("2026-11-22T08:00:00.123456Z", MOMENT_NS + 123_456_000),
        ("2026-11-22T08:00:00.1234567899999Z", MOMENT_NS + 123_456_789),
        ("2026-11-22T09:30:00+01:30", MOMENT_NS),
        ("2026-11-22 06:00:00-0200", MOMENT_NS),
        ("1970-01-01T00:00:00Z", 0),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_any_spelling_is_read_to_the_nanosecond(text: str, nanos: int) -> None:
    assert parse_any_time(text) == nanos


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
def test_what_is_in_no_spelling_a_time_of_64_bits_is_none(text: str) -> None:
    assert parse_any_time(text) is None


@given(st.datetimes().map(lambda time: f"{time.isoformat()}Z"))
def test_what_machines_write_is_the_same_to_both(text: str) -> None:
    narrow = parse_time(text)
    assert narrow is None or narrow == parse_any_time(text)
