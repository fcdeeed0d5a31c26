from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.search.table import TableLines, escape, event_columns

MOMENT = 1_763_712_000_123_456_789


def event(**known: Any) -> dict[str, Any]:
    return {**dict.fromkeys(event_columns()), "received_time": MOMENT, "kind": "request", **known}


def format_events(rows: list[dict[str, Any]], *, width: int | None) -> list[str]:
    """The readable table."""
    schema = pa.schema([EVENT_SCHEMA.field(name) for name in event_columns()])
    table = TableLines(is_events=True, width=width)
    table.add(pa.RecordBatch.from_pylist(rows, schema=schema))
    return table.take()


def format_columns(names: list[str], rows: list[dict[str, Any]]) -> list[str]:
    """A table of exactly these columns."""
    table = TableLines(is_events=False, width=None)
    columns = [pa.array([row.get(name) for row in rows]) for name in names]
    table.add(pa.RecordBatch.from_arrays(columns, names=names))
    return table.take()


REQUEST = event(
    log_index=7,
    time=MOMENT,
    src_spiffe_id="spiffe://td/ns/shop/sa/web",
    src_spiffe_id_trust="attested",
    dst_ip="10.0.0.9",
    http_request_method="GET",
    url_path="/cart",
    http_response_status_code=403,
    decision="denied",
    decision_trust="reported",
    policy_name="shop-only",
)


def test_an_event_is_one_readable_line_under_its_titles() -> None:
    titles, line = format_events([REQUEST], width=None)
    assert titles == (
        "INDEX  TIME (UTC)                  KIND     SRC → DST                     REQUEST    "
        "STATUS  DECISION  POLICY     TRUST"
    )
    assert line == (
        "7      2025-11-21 08:00:00.123456  request  td/ns/shop/sa/web → 10.0.0.9  GET /cart  "
        "403     denied    shop-only  reported"
    )


def test_null_is_a_dash_and_unknown_is_a_word() -> None:
    _, line = format_events([event(log_index=1, decision="unknown")], width=None)
    assert line.split() == [
        "1", "~2025-11-21", "08:00:00.123456", "request", "-", "→", "-", "-", "-", "unknown", "-",
        "-",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ({"cause": "not_written", "missing_min": 17, "missing_max": 17}, "not_written 17 missing"),
        ({"cause": "dropped", "missing_min": 1, "missing_max": 3}, "dropped 1 to 3 missing"),
        ({"cause": "restart", "missing_min": 0, "missing_max": None}, "restart 0 or more missing"),
        ({"cause": "silent"}, "silent"),
    ],
)
def test_a_gap_or_finding_says_whose_it_is_and_why(known: dict[str, Any], shown: str) -> None:
    (_, line) = format_events([event(kind="gap", about="web\x1b", **known)], width=None)
    assert line.split()[3:5] == ["gap", "web\\x1b"]
    assert f" {shown} " in line


def test_trust_is_that_of_the_weakest_part() -> None:
    weakest = event(src_spiffe_id_trust="attested", decision_trust="asserted")
    assert format_events([weakest], width=None)[1].endswith("asserted")


@pytest.mark.parametrize("width", [80, 120])
def test_a_narrow_terminal_cuts_the_long_columns_only(width: int) -> None:
    long = {**REQUEST, "url_path": "/" + "x" * 300, "policy_name": "p" * 60}
    header, line = format_events([long], width=width)
    assert "…" in line
    assert "403" in line
    assert "denied" in line
    assert header.startswith("INDEX")
    assert len(line) <= max(width, 110)


def test_what_a_terminal_would_act_on_is_shown_as_an_escape() -> None:
    assert escape("/\x1b[2J\u202e\n") == r"/\x1b[2J\u202e\n"
    _, line = format_events([{**REQUEST, "url_path": "/\x1b]0;x\x07"}], width=None)
    assert line.isprintable()
    titles = format_columns(["a"], [{"a": "\x1b"}])
    assert titles == ["a", r"\x1b"]


def test_chosen_columns_are_shown_as_they_are_named() -> None:
    rows: list[dict[str, Any]] = [{"request_id": b"\x01" * 16, "n": 3, "t": ""}, {"n": None}]
    assert format_columns(["n", "t", "request_id"], rows) == [
        "n  t   request_id",
        '3  ""  01010101-0101-0101-0101-010101010101',
        "-  -   -",
    ]


def test_wide_characters_take_two_columns() -> None:
    lines = format_columns(["a", "b"], [{"a": "日本", "b": 1}, {"a": "ab", "b": 2}])
    assert lines == ["a     b", "日本  1", "ab    2"]


def test_a_table_without_rows_is_its_titles() -> None:
    assert format_columns(["a", "b"], []) == ["a  b"]


def test_a_table_that_goes_on_has_one_header_and_columns_that_only_grow() -> None:
    table = TableLines(is_events=False, width=None)
    printed = []
    for path in ("/a", "/longer", "/b"):
        table.add(pa.RecordBatch.from_pylist([{"path": path, "n": 1}]))
        printed += table.take()
    assert printed == ["path  n", "/a    1", "/longer  1", "/b       1"]
    assert table.take() == []
