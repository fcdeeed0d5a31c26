"""Addresses to listen on, as people write them and as gRPC reports them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from meshtrail.errors import ConfigError

_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/]+)):(0|[1-9][0-9]{0,4})", re.ASCII)
_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A name other than localhost could be anything."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def format(self) -> str:
        """As people write it: ``host:port``, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read ``host:port`` or ``[ipv6]:port``.

    Raises:
        ConfigError: it is neither.
    """
    match = _ADDRESS.fullmatch(text)
    if match and int(match[3]) <= _PORT_MAX:
        address = Address(match[1] or match[2], int(match[3]))
        if match[1] is None or _is_ipv6(match[1]):
            return address
    raise ConfigError(
        f"{text!r} is not an address: want host:port, such as 127.0.0.1:4317 or [::1]:4317",
        address=text,
    )


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def find_ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address of a peer, ``host:port``; None for anything else.

    An IPv4 peer of a listener on ``::`` is seen as ``::ffff:a.b.c.d``, and is that IPv4 address.
    """
    host, _, _ = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def format_peer(peer: str) -> str:
    """A peer as gRPC names it, such as ``ipv6:%5B::1%5D:4711``, without scheme and escapes."""
    scheme, colon, rest = unquote(peer).partition(":")
    return rest if colon and scheme in {"ipv4", "ipv6"} else unquote(peer)
