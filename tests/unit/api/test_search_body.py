from __future__ import annotations

from typing import Any

import pytest

from meshtrail.api.search_body import (
    SearchBody,
    check_limit,
    find_columns,
    parse_search_body,
    parse_search_query,
)
from meshtrail.errors import QueryError, RequestError
from meshtrail.search.period import Period
from meshtrail.units import UnixNanos

NOW = UnixNanos(1_763_712_000_000_000_000)


def test_a_query_string_and_a_body_say_the_same() -> None:
    pairs = [
        ("q", "status:>=500"),
        ("from", "-1h"),
        ("to", "now"),
        ("limit", "7"),
        ("columns", "path,status"),
        ("format", "ndjson"),
    ]
    by_body = parse_search_body(
        b'{"q":"status:>=500","from":"-1h","to":"now","limit":7,'
        b'"columns":["path","status"],"format":"ndjson"}'
    )
    assert parse_search_query(pairs) == by_body
    request = by_body.make_request(now_ns=NOW)
    assert request.query == "status:>=500"
    assert request.period == Period(from_ns=UnixNanos(NOW - 3_600 * 10**9), to_ns=NOW)
    assert request.columns == ("url_path", "http_response_status_code")
    # One row more than was asked for says whether there are more.
    assert request.limit == 8


def test_nothing_asked_for_is_the_newest_hundred() -> None:
    assert parse_search_query([]) == parse_search_body(b"{}") == SearchBody()
    assert SearchBody().limit == 100


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([("query", "x")], "there is no parameter 'query'"),
        ([("limits", "5")], "did you mean limit?"),
        ([("sql", "SELECT 1")], "there is no parameter 'sql'"),
        ([("q", "a"), ("q", "b")], "parameter q stands 2 times"),
        ([("limit", "many")], "limit"),
        ([("limit", "5.5")], "limit"),
        ([("format", "xml")], "format"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_named(pairs: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_search_query(pairs)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"q":1}',
        b'{"q":"a"',
        b'{"query":"a"}',
        b'{"limit":"5"}',
        b'{"columns":"path"}',
        b'{"sql":"SELECT 1","q":"path:/x"}',
        b'{"sql":"SELECT 1","columns":["path"]}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_body_that_is_no_search_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError):
        parse_search_body(data)


@pytest.mark.parametrize("limit", [0, -1, 11, 2**62])
def test_a_limit_outside_its_range_is_refused(limit: int) -> None:
    check_limit(SearchBody(limit=10), rows_max=10)
    with pytest.raises(QueryError, match="a limit is 1 to 10"):
        check_limit(SearchBody(limit=limit), rows_max=10)


def test_columns_are_found_by_either_name_and_named_once() -> None:
    assert find_columns(["path", "url_path", "log_index"]) == ("url_path", "log_index")
    with pytest.raises(QueryError, match="did you mean path"):
        find_columns(["pth"])


@pytest.mark.parametrize("ends", [{"from_": "yesterdayish"}, {"from_": "now", "to": "-1h"}])
def test_a_period_that_is_none_is_refused(ends: dict[str, Any]) -> None:
    with pytest.raises(QueryError):
        SearchBody(**ends).make_period(now_ns=NOW)
