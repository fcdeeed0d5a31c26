from __future__ import annotations

from typing import Any

import pytest

from meshtrail.api.request_check import QUERY_BYTES_MAX, check_request
from meshtrail.errors import RequestError


def check(*headers: tuple[str, str], query: bytes = b"", hosts: tuple[str, ...] = ()) -> None:
    scope: dict[str, Any] = {
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "query_string": query,
    }
    check_request(scope, hosts=hosts)


def refusal(*headers: tuple[str, str], **named: Any) -> object:
    with pytest.raises(RequestError) as caught:
        check(*headers, **named)
    return caught.value.facts.get("http_status")


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8710", "127.0.0.1", "localhost", "LocalHost:80", "[::1]:8710", "127.9.9.9:1"],
)
def test_names_and_addresses_of_loopback_are_heard(host: str) -> None:
    check(("host", host))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8710",
        "10.0.0.1",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "localhost@evil.example",
        "127.0.0.1:8710, evil.example",
        "2130706433",
        "0",
        "[::1",
        "",
        "127.0.0.1:8710/x",
        "\xff",
    ],
)
def test_any_other_host_is_refused_as_misdirected(host: str) -> None:
    assert refusal(("host", host)) == 421


def test_a_request_without_host_or_with_two_is_refused() -> None:
    assert refusal() == 421
    assert refusal(("host", "localhost"), ("host", "localhost")) is None


def test_a_configured_name_is_heard_as_well() -> None:
    check(("host", "trail.example:443"), hosts=("trail.example",))
    assert refusal(("host", "other.example"), hosts=("trail.example",)) == 421


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://evil.example")],
        [("origin", "null")],
        [("origin", "https://127.0.0.1:8710")],
        [("origin", "http://127.0.0.1:3000")],
        [("sec-fetch-site", "cross-site")],
        # Another port of this machine is the same site, and still another program.
        [("sec-fetch-site", "same-site")],
    ],
)
def test_a_page_of_another_site_may_ask_for_nothing(headers: list[tuple[str, str]]) -> None:
    assert refusal(("host", "127.0.0.1:8710"), *headers) == 403


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://127.0.0.1:8710"), ("sec-fetch-site", "same-origin")],
        # Typed into the address bar.
        [("sec-fetch-site", "none")],
    ],
)
def test_our_own_pages_and_people_may(headers: list[tuple[str, str]]) -> None:
    check(("host", "127.0.0.1:8710"), *headers)


def test_a_query_string_is_bounded() -> None:
    check(("host", "localhost"), query=b"x" * QUERY_BYTES_MAX)
    assert refusal(("host", "localhost"), query=b"x" * (QUERY_BYTES_MAX + 1)) == 414
