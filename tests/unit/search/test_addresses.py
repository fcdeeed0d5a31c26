from __future__ import annotations

import ipaddress

import duckdb
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshtrail.errors import QueryError
from meshtrail.search.addresses import compile_network

addresses = st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address)


def finds(network: str, address: str) -> bool:
    """Whether the condition holds for one address, asked of the engine itself."""
    where = compile_network("ip", network)
    (found,) = duckdb.execute(
        f'SELECT ({where.sql}) IS TRUE FROM (SELECT ?::VARCHAR AS "ip")',
        [*where.values, address],
    ).fetchall()
    return bool(found[0])


@given(inside=addresses, other=addresses, bits=st.integers(0, 32))
@example(ipaddress.IPv4Address("10.0.1.255"), ipaddress.IPv4Address("10.0.2.0"), 23)
@example(ipaddress.IPv4Address("1.2.3.4"), ipaddress.IPv4Address("101.2.3.4"), 8)
def test_a_network_finds_exactly_its_addresses(
    inside: ipaddress.IPv4Address, other: ipaddress.IPv4Address, bits: int
) -> None:
    network = ipaddress.ip_network((inside, bits), strict=False)
    after = ipaddress.IPv4Address((int(network[-1]) + 1) % 2**32)
    for address in (inside, other, network[0], network[-1], after):
        assert finds(str(network), str(address)) == (address in network)


@pytest.mark.parametrize("network", ["0.0.0.0/0", "0.0.0.0/1", "10.0.0.0/8"])
def test_a_network_finds_no_address_of_ipv6(network: str) -> None:
    assert not finds(network, "2001:db8::1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("10.0.0.0/33", "no network"),
        ("10.0.0.1/8", "host bits"),
        ("10.0.0/8", "no network"),
        ("x/8", "no network"),
        ("2001:db8::/32", "wildcard"),
    ],
)
def test_what_is_no_network_of_ipv4_is_refused(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        compile_network("ip", text)
