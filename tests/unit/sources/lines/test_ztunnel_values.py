from __future__ import annotations

import pytest

from meshtrail.sources.lines.ztunnel_values import Duration, read_duration


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0ms", 0),
        ("13ms", 13_000_000),
        ("1006ms", 1_006_000_000),
        ("86400000ms", 86_400 * 10**9),
        ("1.5s", 1_500_000_000),
        ("2.25µs", 2_250),
        ("7us", 7_000),
        ("9.9ns", 9),
    ],
)
def test_a_duration_is_cut_to_whole_nanoseconds(text: str, ns: int) -> None:
    assert read_duration(text) == Duration(ns, is_wrong=False)


@pytest.mark.parametrize("text", ["", "13", "ms", "-1ms", "1e3ms", "13ms\n", "٣ms", "1" * 11 + "s"])
def test_what_is_no_duration_or_does_not_fit_is_null_and_wrong(text: str) -> None:
    assert read_duration(text) == Duration(None, is_wrong=True)


def test_no_duration_is_not_wrong() -> None:
    assert read_duration(None) == Duration(None, is_wrong=False)
