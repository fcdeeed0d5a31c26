from __future__ import annotations

import ipaddress

import pytest

from meshtrail.collect.address import Address, find_ip, format_peer, parse_address
from meshtrail.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4317", "127.0.0.1", 4317),
        ("[::1]:0", "::1", 0),
        ("localhost:65535", "localhost", 65535),
        ("collector.example:80", "collector.example", 80),
    ],
)
def test_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert address.format() == text


@pytest.mark.parametrize(
    "text",
    ["", "4317", ":4317", "host", "host:", "host:x", "h:65536", "h:04317", "h:4_3", "h:４３",
     "::1:5", "[::1]", "[1.2.3.4]:5", "[:::]:5", "unix:/x", "a/b:5", "h:5\n", "h:-1"],
)  # fmt: skip
def test_anything_else_is_not_an_address(text: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - the point
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, *, is_loopback: bool) -> None:
    assert Address(host, 1).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("peer", "want"),
    [
        ("ipv4:10.0.0.7:4711", "10.0.0.7:4711"),
        ("ipv6:%5B::1%5D:4711", "[::1]:4711"),
        ("unix:/run/x", "unix:/run/x"),
        ("unknown", "unknown"),
    ],
)
def test_peer_is_written_as_the_socket_saw_it(peer: str, want: str) -> None:
    assert format_peer(peer) == want


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("10.0.0.7:1", "10.0.0.7"),
        ("[::1]:1", "::1"),
        ("[::ffff:10.0.0.7]:1", "10.0.0.7"),
        ("localhost:1", None),
        ("10.0.0.7", None),
        ("unix:/x", None),
        ("", None),
    ],
)
def test_ip_address_of_a_peer_is_found(address: str, ip: str | None) -> None:
    found = find_ip(address)
    assert found == (None if ip is None else ipaddress.ip_address(ip))
