from __future__ import annotations

import pytest

from meshtrail.sources.span_values import grpc_status, protocol_version, read_ip, read_socket


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)),
        ("10.0.0.1", ("10.0.0.1", None)),
        ("10.0.0.1:65535", ("10.0.0.1", 65_535)),
        ("10.0.0.1:65536", ("10.0.0.1", None)),
        ("10.0.0.1:", (None, None)),
        ("[fd00::1]:80", ("fd00::1", 80)),
        ("fd00::1", ("fd00::1", None)),
        ("fd00::1:80", ("fd00::1:80", None)),
        ("payments:80", (None, None)),
        ("/run/socket", (None, None)),
        ("envoy://internal/1", (None, None)),
        ("fe80::1%eth0", (None, None)),
        ("10.0.0.1:8\n", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_a_socket_is_an_ip_address_and_a_port(
    text: str | None, wanted: tuple[str | None, int | None]
) -> None:
    assert read_socket(text) == wanted


def test_an_ip_address_stays_as_it_was_written() -> None:
    assert read_ip("FD00::0001") == "FD00::0001"
    assert read_ip("010.0.0.1") is None
    assert read_ip("localhost") is None


def test_versions_and_statuses_have_one_spelling() -> None:
    assert [protocol_version(text) for text in ("HTTP/2", "2.0", "HTTP/HTTP/2", None)] == [
        *("2", "2", None, None)
    ]
    assert [grpc_status(text) for text in ("OK", "UNAUTHENTICATED", "ok", None)] == [
        0,
        16,
        None,
        None,
    ]
