from __future__ import annotations

import uuid

import pytest

from meshtrail.errors import QueryError
from meshtrail.search.compile import REGEX_CHARACTERS_MAX, Compiler
from meshtrail.search.parse import parse_query
from meshtrail.search.where import Where
from meshtrail.units import UnixNanos

NOW = UnixNanos(1_763_712_000_000_000_000)
REQUEST = "8c1a2b3c-0d0e-4f10-8111-121314151617"


def compiled(text: str) -> Where:
    query = parse_query(text)
    assert query.root is not None
    return Compiler(query, NOW).compile(query.root)


def test_values_are_bound_and_never_pasted() -> None:
    where = compiled("path:\"/x' OR 1=1 --\" AND method:GET'")
    assert where == Where(
        '("url_path" = ? AND "http_request_method" = ?)', ("/x' OR 1=1 --", "GET'")
    )


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            "status:403",
            Where('"http_response_status_code" = ?', (403,), looked_up="http_response_status_code"),
        ),
        ("status:>=400", Where('"http_response_status_code" >= ?', (400,))),
        ("duration:>250ms", Where('"duration" > ?', (250_000_000,))),
        ("received:<-1h", Where('"received_time" < ?', (NOW - 3_600_000_000_000,))),
        ("path:/a_%*", Where("\"url_path\" LIKE ? ESCAPE '\\'", ("/a\\_\\%%",))),
        ("path:?x", Where("\"url_path\" LIKE ? ESCAPE '\\'", ("_x",))),
        ("policy:*", Where('"policy_name" IS NOT NULL', ())),
        ('path:""', Where('"url_path" = ?', ("",), looked_up="url_path")),
        ("trace:" + "ab" * 16, Where('"trace_id" = ?', (b"\xab" * 16,), looked_up="trace_id")),
        (
            "trace:" + "AB" * 8,
            Where('"trace_id" = ?', (bytes(8) + b"\xab" * 8,), looked_up="trace_id"),
        ),
        ("span:" + "01" * 8, Where('"span_id" = ?', (b"\x01" * 8,), looked_up="span_id")),
        (
            "request:" + REQUEST,
            Where('"request_id" = ?', (uuid.UUID(REQUEST).bytes,), looked_up="request_id"),
        ),
        ("request:abc", Where('"request_id_text" = ?', ("abc",), looked_up="request_id_text")),
        (
            "request:" + REQUEST.upper(),
            Where(
                '("request_id_text" = ? OR "request_id" = ?)',
                (REQUEST.upper(), uuid.UUID(REQUEST).bytes),
            ),
        ),
        (
            "received:2025-11-21T08:00Z",
            Where('("received_time" >= ? AND "received_time" < ?)', (NOW, NOW + 60_000_000_000)),
        ),
        (
            "status:[400 TO 500}",
            Where(
                '("http_response_status_code" >= ? AND "http_response_status_code" < ?)',
                (400, 500),
            ),
        ),
        ("status:{400 TO *]", Where('"http_response_status_code" > ?', (400,))),
        ("status:[* TO *]", Where('"http_response_status_code" IS NOT NULL', ())),
        ('path:~"^/v[0-9]+"', Where('regexp_matches("url_path", ?)', ("^/v[0-9]+",))),
        ("NOT path:/a", Where('("url_path" = ?) IS NOT TRUE', ("/a",))),
        ("path:(/a, /b)", Where('"url_path" IN (?, ?)', ("/a", "/b"), looked_up="url_path")),
        (
            "path:(/a, /b, /c*)",
            Where('("url_path" IN (?, ?) OR "url_path" LIKE ? ESCAPE \'\\\')', ("/a", "/b", "/c%")),
        ),
        (
            "ip:10.0.0.1",
            Where('("src_ip" = ? OR "dst_ip" = ?)', ("10.0.0.1", "10.0.0.1")),
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
        ("status:>=*", "whole number"),
        ('status:~"4.."', "no text"),
        ("path:[a TO b]", "is no number"),
        ('path:~"("', "missing )"),
        ('path:~"(?=x)"', "invalid perl operator"),
        (f'path:~"{"x" * (REGEX_CHARACTERS_MAX + 1)}"', "at most"),
        ("src.ip:10.0.0.1/33", "is no network"),
        ("src.ip:10.0.0.1/8", "host bits"),
        ("src.ip:2001:db8::/32", "use a wildcard"),
        ("src.spiffe:ns/a/sa/b", "*/sa/b"),
        ("spiffe://td/ns/a", "begins with spiffe://"),
    ],
)
def test_a_value_that_its_field_cannot_have_is_refused_where_it_stands(
    text: str, said: str
) -> None:
    with pytest.raises(QueryError) as caught:
        compiled("method:GET AND " + text)
    assert said in caught.value.message
    assert caught.value.facts["position"] == 15 + text.index(":") + 1
