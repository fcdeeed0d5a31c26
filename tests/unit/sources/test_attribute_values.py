from __future__ import annotations

import pyarrow as pa
import pytest

from meshtrail.sources.attribute_values import (
    mend_texts,
    read_durations,
    read_ids,
    read_numbers,
    read_sockets,
)

HOUR_NS = 3_600 * 10**9


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("0", 0),
        ("297.188us", 297_188),
        ("46.57227ms", 46_572_270),
        ("9.999999999s", 9_999_999_999),
        ("1m2.5s", 62 * 10**9 + 5 * 10**8),
        ("2h", 2 * HOUR_NS),
        ("0.9ns", 0),
        ("1.23456789123us", 1_234),
        ("999999h59m59.999999999s", 10**6 * HOUR_NS - 1),
    ],
)
def test_duration_of_cel_is_read_to_the_nanosecond(text: str, duration_ns: int) -> None:
    durations, wrong = read_durations(pa.array([text, None]))
    assert durations.to_pylist() == [duration_ns, None]
    assert wrong.to_pylist() == [False, False]


@pytest.mark.parametrize("text", ["", "1", "-1s", "inf", "1s\n", "1.5", "1.s", "1000000h", "1 s"])
def test_text_that_is_no_duration_is_wrong(text: str) -> None:
    durations, wrong = read_durations(pa.array([text]))
    assert durations.to_pylist() == [None]
    assert wrong.to_pylist() == [True]


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "0x1", "1\n", " 1", "٣", "1" * 20])
def test_text_that_is_no_number_is_wrong(text: str) -> None:
    numbers, wrong = read_numbers(pa.array([text]), to=pa.int64())
    assert numbers.to_pylist() == [None]
    assert wrong.to_pylist() == [True]


def test_number_that_does_not_fit_is_null_and_not_wrong() -> None:
    texts = pa.array(["2147483647", "2147483648", "9999999999999999999", "007", None])
    numbers, wrong = read_numbers(texts, to=pa.int32())
    assert numbers.to_pylist() == [2**31 - 1, None, None, 7, None]
    assert not any(wrong.to_pylist())
    assert read_numbers(pa.array([f"{2**63}"]), to=pa.int64())[0].to_pylist() == [None]


def test_socket_needs_an_address_and_a_port() -> None:
    texts = ["10.0.0.7:80", "[fd00::7]:443", "/run/app.sock", "payments:80", "[fd00::7]", None]
    ips, ports = read_sockets(pa.array(texts))
    assert ips.to_pylist() == ["10.0.0.7", "fd00::7", None, None, None, None]
    assert ports.to_pylist() == [80, 443, None, None, None, None]


def test_id_of_another_width_or_of_zeros_is_none() -> None:
    values = pa.array([b"i" * 8, bytes(8), b"", b"i" * 16, None])
    assert read_ids(values, width=8).to_pylist() == [b"i" * 8, None, None, None, None]


def test_each_byte_that_is_no_utf8_becomes_one_mark_and_the_rest_stays() -> None:
    values = pa.array([b"x\xff\xfey", "café".encode(), b"\xe2\x82 \xed\xa0\x80", None])
    assert mend_texts(values).to_pylist() == ["x!!y", "café", "!! !!!", None]
