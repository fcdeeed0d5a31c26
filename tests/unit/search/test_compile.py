from __future__ import annotations

import uuid

import pytest

from meshtrail.errors import QueryError
from meshtrail.search.compile import Period, Where, compile_query
from meshtrail.search.query import parse_query
from meshtrail.units import UnixNanos

NOW = UnixNanos(1_763_712_000_000_000_000)
REQUEST = "8c1a2b3c-0d0e-4f10-8111-121314151617"


def compiled(text: str, period: Period | None = None) -> Where:
    return compile_query(parse_query(text), period or Period(), now_ns=NOW)


def test_an_empty_query_finds_everything() -> None:
    assert compiled("") == Where("TRUE", ())


def test_values_are_bound_and_never_pasted() -> None:
    where = compiled("path:\"/x' OR 1=1 --\" AND method:GET'")
    assert where == Where('"url_path" = ? AND "http_request_method" = ?', ("/x' OR 1=1 --", "GET'"))


def test_a_period_is_half_open_on_the_arrival() -> None:
    where = compiled("", Period(from_ns=UnixNanos(5), to_ns=UnixNanos(9)))
    assert where == Where('"received_time" >= ? AND "received_time" < ?', (5, 9))


@pytest.mark.parametrize(("start", "end"), [(9, 9), (9, 5)])
def test_a_period_that_holds_no_moment_is_refused(start: int, end: int) -> None:
    with pytest.raises(QueryError):
        Period(from_ns=UnixNanos(start), to_ns=UnixNanos(end))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("status:403", Where('"http_response_status_code" = ?', (403,))),
        ("status:>=400", Where('"http_response_status_code" >= ?', (400,))),
        ("duration:>250ms", Where('"duration" > ?', (250_000_000,))),
        ("received:<-1h", Where('"received_time" < ?', (NOW - 3_600_000_000_000,))),
        ("path:/a_%*", Where("\"url_path\" LIKE ? ESCAPE '\\'", ("/a\\_\\%%",))),
        ("path:?x", Where("\"url_path\" LIKE ? ESCAPE '\\'", ("_x",))),
        ("policy:*", Where('"policy_name" IS NOT NULL', ())),
        ('path:""', Where('"url_path" = ?', ("",))),
        ("trace:" + "ab" * 16, Where('"trace_id" = ?', (b"\xab" * 16,))),
        ("trace:" + "AB" * 8, Where('"trace_id" = ?', (bytes(8) + b"\xab" * 8,))),
        ("span:" + "01" * 8, Where('"span_id" = ?', (b"\x01" * 8,))),
        ("request:" + REQUEST, Where('"request_id" = ?', (uuid.UUID(REQUEST).bytes,))),
        ("request:abc", Where('"request_id_text" = ?', ("abc",))),
        (
            "request:" + REQUEST.upper(),
            Where(
                '("request_id_text" = ? OR "request_id" = ?)',
                (REQUEST.upper(), uuid.UUID(REQUEST).bytes),
            ),
        ),
        (
            "request:*",
            Where('("request_id" IS NOT NULL OR "request_id_text" IS NOT NULL)', ()),
        ),
    ],
)
def test_each_kind_of_field_becomes_the_condition_that_its_column_needs(
    text: str, where: Where
) -> None:
    assert compiled(text) == where


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decision:denyed", "did you mean denied"),
        ("decision:zzz", "one of allowed, denied, error, unknown"),
        ("kind:reqest", "did you mean request"),
        ("status:4xx", "whole number"),
        ("status:4*", "whole value"),
        ("status:99999999999999999999", "whole number"),
        ("path:>=3", "is no number"),
        ("trace:abc", "32 hex digits"),
        ("trace:" + "zz" * 16, "32 hex digits"),
        ("span:" + "ab" * 16, "16 hex digits"),
        ("trace:ab*", "whole value"),
        ("request:8c1a*", "whole value"),
        ("received:>=soon", "no moment"),
        ("duration:>1x", "no duration"),
        ("status:>=*", "whole value"),
    ],
)
def test_a_value_that_its_field_cannot_have_is_refused_where_it_stands(
    text: str, said: str
) -> None:
    with pytest.raises(QueryError) as caught:
        compiled("method:GET AND " + text)
    assert said in caught.value.message
    assert caught.value.facts["position"] == 15 + text.index(":") + 1
