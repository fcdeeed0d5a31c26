"""Networks such as ``10.1.0.0/20`` as conditions on addresses, which are kept as text."""

from __future__ import annotations

import ipaddress
from typing import Final

from meshtrail.errors import QueryError
from meshtrail.search.where import Where, equals

_OCTET_BITS: Final = 8
_OCTETS: Final = 4


def compile_network(name: str, text: str) -> Where:
    """Addresses of an IPv4 network.

    Args:
        name: the column.
        text: with a slash.

    Raises:
        QueryError: no network, or one of IPv6, which a wildcard finds.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise QueryError(f"{text[:80]!r} is no network: {error}") from error
    if isinstance(network, ipaddress.IPv6Network):
        raise QueryError("networks are those of IPv4; for IPv6 use a wildcard: 2001:db8:*")
    octets = str(network.network_address).split(".")
    whole = network.prefixlen // _OCTET_BITS
    if whole == _OCTETS:
        return equals(name, ".".join(octets))
    # Only the octet that the prefix cuts through is compared as a number.
    rest = "%" if whole == _OCTETS - 1 else "%.%"
    like = "".join(f"{octet}." for octet in octets[:whole]) + rest
    prefix = Where(f'"{name}" LIKE ?', (like,))
    rest_bits = network.prefixlen % _OCTET_BITS
    if not rest_bits:
        return prefix
    low = int(octets[whole])
    high = low + (1 << (_OCTET_BITS - rest_bits)) - 1
    octet = f"TRY_CAST(split_part(\"{name}\", '.', {whole + 1}) AS INTEGER)"
    return Where(f"({prefix.sql} AND {octet} BETWEEN ? AND ?)", (*prefix.values, low, high))
