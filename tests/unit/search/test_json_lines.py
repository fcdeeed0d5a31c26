from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal

import pyarrow as pa
import pytest

from meshtrail.search.json_lines import format_json_lines, plain_value


def lines(**columns: list[object]) -> list[str]:
    return list(format_json_lines(pa.RecordBatch.from_pydict(columns)))


def test_a_row_is_one_object_with_the_columns_names_and_without_nulls() -> None:
    assert lines(log_index=[1, 2], url_path=["/a", None]) == [
        '{"log_index":1,"url_path":"/a"}',
        '{"log_index":2}',
    ]


def test_ids_are_hex_and_request_ids_are_uuids() -> None:
    assert plain_value("trace_id", bytes(range(16))) == "000102030405060708090a0b0c0d0e0f"
    assert plain_value("request_id", bytes(range(16))) == "00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert plain_value("request_id", b"\x01") == "01"


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (2**63 - 1, 2**63 - 1),
        (True, True),
        (1.5, 1.5),
        (math.inf, "inf"),
        (Decimal(12), 12),
        (Decimal("1.50"), "1.50"),
        (dt.date(2026, 11, 21), "2026-11-21"),
        ([b"\x01", {"a": b"\x02"}], ["01", {"a": "02"}]),
        ([("k", 1)], [["k", 1]]),
        (None, None),
    ],
)
def test_every_value_that_sql_can_give_has_a_plain_form(value: object, plain: object) -> None:
    assert plain_value("x", value) == plain
    json.dumps(plain_value("x", value), allow_nan=False)


def test_a_line_is_ascii_whatever_a_caller_put_in_a_path() -> None:
    (line,) = lines(url_path=["/\x1b[2J\x9b\u202e\u2028é"])
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["url_path"] == "/\x1b[2J\x9b\u202e\u2028é"
