from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect.http_claims import HTTP_CLAIMS, QUERY_BYTES_MAX, decode_claims, read_claims
from meshtrail.collect.http_request import HttpRequest
from meshtrail.errors import InputError, RequestError
from meshtrail.sources.claims import TEXT_CHARS_MAX

if TYPE_CHECKING:
    from meshtrail.http.asgi import Message


async def nothing() -> Message:
    raise AssertionError("the body is nobody's business here")


def request(query: bytes = b"", **headers: bytes) -> HttpRequest:
    found = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    scope: dict[str, Any] = {"path": "/", "query_string": query, "headers": found}
    return HttpRequest(scope, nothing)


def claimed(query: bytes, **headers: bytes) -> dict[str, Any]:
    identifier = read_claims(request(query, **headers))
    assert identifier is not None
    return decode_claims(identifier)


def test_parameters_and_user_agent_are_claims() -> None:
    said = claimed(b"reporter=shop-%C3%A9&cluster=eu+1", user_agent=b"fluent-bit/4")
    assert said == {
        "node_id": "shop-é",
        "node_cluster": "eu 1",
        "log_name": None,
        "user_agent": "fluent-bit/4",
        "metadata": None,
    }


def test_who_says_nothing_claims_nothing() -> None:
    assert read_claims(request()) is None
    assert HTTP_CLAIMS.none_said == "the request names no reporter"


def test_the_same_claims_are_the_same_bytes_in_whatever_order() -> None:
    assert read_claims(request(b"reporter=a&cluster=b")) == read_claims(
        request(b"cluster=b&reporter=a")
    )


def test_how_long_a_client_waits_is_no_claim() -> None:
    assert read_claims(request(b"timeout=30s")) is None


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (b"reporter=%FF", "not UTF-8"),
        (b"reporter=\xc3\xa9", "not UTF-8"),
        (b"reporter=%ED%A0%80", "not UTF-8"),
        (b"reporter=", "1 to 512 printable"),
        (b"reporter=a%00b", "1 to 512 printable"),
        (b"reporter=a%0Ab", "1 to 512 printable"),
        (b"cluster=" + b"x" * (TEXT_CHARS_MAX + 1), "1 to 512 printable"),
        (b"reporter=a&reporter=b", "stands twice"),
        (b"reportr=a", "there is no parameter 'reportr'"),
        (b"x" * QUERY_BYTES_MAX + b"=", "at most"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(query: bytes, reason: str) -> None:
    with pytest.raises(RequestError, match=reason) as caught:
        read_claims(request(query))
    assert caught.value.http_status == 400
    assert len(caught.value.message) < 300


def test_the_longest_names_are_read_and_fit_into_an_entry() -> None:
    name = "%F0%9F%98%80" * TEXT_CHARS_MAX
    said = claimed(f"reporter={name}&cluster={name}".encode(), user_agent=b"\xff" * 20_000)
    assert said["node_id"] == said["node_cluster"] == "😀" * TEXT_CHARS_MAX
    assert len(json.dumps(said)) < 20_000


def test_what_are_no_claims_is_refused() -> None:
    with pytest.raises(InputError):
        decode_claims(b"{")
