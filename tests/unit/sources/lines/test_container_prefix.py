from __future__ import annotations

import json
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.lines.container_prefix import PART_OF_A_LINE, strip_prefixes
from meshtrail.sources.lines.container_prefix_reference import BareLine, strip_prefix

TIME = b"2025-01-30T12:10:13.682034460Z"
TIME_NS = 1_738_239_013_682_034_460


def in_columns(*records: bytes) -> list[BareLine]:
    bare = strip_prefixes(pa.array(records, pa.binary()))
    rows = zip(bare.lines.to_pylist(), bare.runtime_time.to_pylist(), strict=True)
    return [BareLine(line, time_ns, bare.bad.get(row)) for row, (line, time_ns) in enumerate(rows)]


def docker(line: str, **others: object) -> bytes:
    told = {"log": line, "stream": "stderr", "time": TIME.decode()} | others
    return json.dumps(told, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("record", "bare"),
    [
        (TIME + b' stdout F {"a":1}', BareLine(b'{"a":1}', TIME_NS)),
        (TIME + b" stderr F:tag x\r", BareLine(b"x", TIME_NS)),
        (TIME + b' stdout P {"a"', BareLine(b'{"a"', TIME_NS, PART_OF_A_LINE)),
        (TIME + b" stdout F ", BareLine(b"", TIME_NS)),
        (TIME + b" [2025", BareLine(b"[2025", TIME_NS)),
        (TIME + b" \xff", BareLine(b"\xff", TIME_NS)),
        (TIME + b"\tinfo", BareLine(TIME + b"\tinfo")),
        (b"2025-02-30T00:00:00Z stdout P x", BareLine(b"2025-02-30T00:00:00Z stdout P x")),
        (docker("\u00e9 x\r\n"), BareLine("\u00e9 x".encode(), TIME_NS)),
        (docker("x"), BareLine(b"x", TIME_NS, PART_OF_A_LINE)),
        (docker("x\n", stream="other"), BareLine(docker("x\n", stream="other"))),
        (docker("x\n", time="today"), BareLine(docker("x\n", time="today"))),
        (b'{"log":"x', BareLine(b'{"log":"x')),
        (b'{"a":1}\r', BareLine(b'{"a":1}')),
        (b"", BareLine(b"")),
    ],
)
def test_a_line_is_what_stands_in_what_the_runtime_wrote(record: bytes, bare: BareLine) -> None:
    beside = TIME + b" stdout F beside"
    assert in_columns(record) == [bare]
    assert in_columns(beside, record, docker("y\n"))[1] == bare
    assert strip_prefix(record) == bare


def test_lines_in_the_middle_of_an_array_are_themselves() -> None:
    records = pa.array([b"zero", TIME + b" one", b"two", TIME + b" stdout F three"], pa.binary())
    assert strip_prefixes(records[1:]).lines.to_pylist() == [b"one", b"two", b"three"]


PIECES = st.sampled_from(
    [
        TIME,
        b" ",
        b"stdout",
        b"stderr",
        b" F ",
        b" P ",
        b":",
        b"{",
        docker("x\n"),
        docker(""),
        b"\xff",
    ]
)
RECORDS = st.lists(st.one_of(PIECES, st.binary(max_size=3)), max_size=6).map(b"".join)


@given(st.lists(RECORDS, max_size=5))
def test_any_lines_are_stripped_as_one_by_one(records: list[bytes]) -> None:
    assert in_columns(*records) == [strip_prefix(record) for record in records]


def test_lines_that_are_made_to_take_long_do_not() -> None:
    hostile = [
        b"2" * 60_000,
        TIME + b" " * 60_000,
        b'{"log":"' + b"\\" * 60_000,
        TIME + b" stdout F" * 6_000,
    ]
    start = time.perf_counter()
    in_columns(*hostile * 5)
    assert time.perf_counter() - start < 2
