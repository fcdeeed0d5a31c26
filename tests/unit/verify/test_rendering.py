"""The readable lines of a bundle are held to the headers, in every way that JSON can lie."""

from __future__ import annotations

import json

import pytest

from meshtrail.errors import BundleError, EventError
from meshtrail.model.entry import EntryHeader as Header
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.units import UnixNanos
from meshtrail.verify.rendering import NEEDED, check_rendering

ORIGIN = "test/one/0a1b2c3d"


def header(seq: int) -> Header:
    return Header(
        entry_type=EntryType.RECORD,
        payload_format=PayloadFormat.ALS_HTTP,
        received_ns=UnixNanos(10**18 + seq),
        stream=2**62,
        seq=seq,
    )


HEADERS = {4: header(1), 7: header(2)}


def line(index: int, **columns: object) -> bytes:
    of = HEADERS.get(index, header(0))
    event = {
        "log": ORIGIN,
        "log_index": index,
        "received_time": of.received_ns,
        "stream": of.stream,
        "seq": of.seq,
        "payload_format": "als-http",
        "url_path": "/größe",
    }
    return json.dumps(event | columns).encode() + b"\n"


GOOD = line(4) + line(7)


def check(data: bytes) -> None:
    check_rendering(data, HEADERS, origin=ORIGIN)


def test_lines_that_say_what_the_headers_say_are_good_in_any_order() -> None:
    check(GOOD)
    check(line(7) + line(4))
    check(line(4, url_path="/other", anything=[1, {"a": None}]) + line(7))


@pytest.mark.parametrize("column", NEEDED)
def test_line_without_a_header_column_is_refused(column: str) -> None:
    event = json.loads(line(4))
    del event[column]
    with pytest.raises(EventError):
        check(json.dumps(event).encode() + b"\n" + line(7))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("log", "test/two/0a1b2c3d"),
        ("log", None),
        ("log_index", 5),
        ("log_index", 4.0),
        ("log_index", "4"),
        ("log_index", True),
        ("received_time", 0),
        ("received_time", float(10**18 + 1)),
        ("stream", -(2**62)),
        ("seq", True),
        ("seq", 1.0),
        ("payload_format", "als-tcp"),
    ],
)
def test_line_that_says_otherwise_is_refused(column: str, value: object) -> None:
    with pytest.raises(EventError):
        check(line(4, **{column: value}) + line(7))


@pytest.mark.parametrize("data", [b"", line(4), line(4) + line(4), GOOD + line(7), GOOD + line(5)])
def test_lines_are_one_for_each_entry(data: bytes) -> None:
    with pytest.raises((EventError, BundleError)):
        check(data)


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-1],
        GOOD + b"\n",
        b"no json\n" + GOOD,
        b"[]\n" + GOOD,
        b"\xff\n" + GOOD,
        b"[" * 100_000 + b"\n",
        b'{"a": 1, "a": 2}\n' + GOOD,
        line(4).replace(b"{", b'{"seq": 1, ') + line(7),
        line(4, x={}).replace(b"{}", b'{"a": 1, "a": 2}') + line(7),
    ],
)
def test_lines_that_programs_could_read_differently_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        check(data)


def test_number_of_a_million_digits_is_read_at_once() -> None:
    with pytest.raises(EventError):
        check(line(4).replace(b'"seq": 1', b'"seq": 1' + b"0" * 1_000_000) + line(7))
