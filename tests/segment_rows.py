"""Rows of segments for tests: every column of the schema filled, or left null, from a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from meshtrail.model.event import SEGMENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable

_VALUES: dict[pa.DataType, Callable[[int], Any]] = {
    pa.bool_(): lambda number: number % 3 == 0,
    pa.string(): lambda number: f"value {number}",
    pa.int32(): lambda number: number % 2**31,
    pa.int64(): lambda number: number,
    pa.binary(): lambda number: b"entry %d" % number,
    pa.binary(32): lambda number: number.to_bytes(32, "big"),
    pa.binary(16): lambda number: number.to_bytes(16, "big"),
    pa.binary(8): lambda number: number.to_bytes(8, "big"),
}


def segment_table(start: int, end: int) -> pa.Table:
    """Rows of entries [start, end); in every second one all that may be null is null."""
    columns = []
    for field in SEGMENT_SCHEMA:
        value = _VALUES[field.type]
        values = [
            None if field.nullable and number % 2 else value(number) for number in range(start, end)
        ]
        columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=SEGMENT_SCHEMA)
