from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from meshtrail.errors import InputError
from meshtrail.sources.record_rows import RecordRow, map_each, refer_each
from meshtrail.sources.streams import Reporters, StreamFacts


def read(record: bytes) -> RecordRow:
    if record == b"bad":
        raise InputError("not good")
    problems = ["z is odd", "a is odd"] if record == b"odd" else []
    return RecordRow({"kind": "commit", "actor": record.decode(), "time": 7}, problems)


def test_each_record_becomes_a_row_and_a_bad_one_says_why() -> None:
    records = pa.array([b"one", b"bad", b"odd"], pa.binary())
    out = map_each(read, records, Reporters([StreamFacts()], np.zeros(3, dtype=np.int64)))
    assert out.columns["kind"].to_pylist() == ["commit", "undecoded", "commit"]
    assert out.columns["actor"].to_pylist() == ["one", None, "odd"]
    assert out.columns["time"].type == pa.int64()
    assert {reason: where.to_pylist() for reason, where in out.problems.items()} == {
        "a is odd": [False, False, True],
        "not good": [False, True, False],
        "z is odd": [False, False, True],
    }


def test_no_records_become_no_rows() -> None:
    none = pa.array([], pa.binary())
    out = map_each(read, none, Reporters([StreamFacts()], np.zeros(0, dtype=np.int64)))
    assert (out.rows_count, out.columns["kind"].to_pylist()) == (0, [])


def test_the_reference_tells_the_same_in_the_same_order() -> None:
    row: dict[str, Any] = {"stream": 1}
    problems: list[str] = []
    refer_each(read)(b"odd", row, problems, StreamFacts())
    assert row == {"stream": 1, "kind": "commit", "actor": "odd", "time": 7}
    assert problems == ["a is odd", "z is odd"]
