"""What single values of a span's attributes mean: addresses, protocol versions, gRPC statuses.

Plain functions of one distinct value, shared by the columnar mapper and its row-wise reference.

Source: OpenTelemetry semantic conventions for network, HTTP and RPC; the tags of Envoy's tracers.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from meshtrail.sources.envoy_values import remember

KINDS: Final = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
STATUSES: Final = {1: "ok", 2: "error"}
CALLED_KINDS: Final = frozenset({"server", "consumer"})
"""Kinds of span whose network peer is the caller."""
CALLING_KINDS: Final = frozenset({"client", "producer"})
"""Kinds of span whose network peer is the callee."""

NOTHING: Final = "-"
"""What Envoy writes for a value that it does not have."""
PORT_MAX: Final = 65_535

SPELLINGS: Final = {
    "http_request_method": ("http.request.method", "http.method"),
    "url_scheme": ("url.scheme", "http.scheme"),
    "user_agent_original": ("user_agent.original", "http.user_agent", "user_agent"),
    "http_request_content_type": (
        "http.request.header.content-type",
        "http.request.header.content_type",
        "grpc.content_type",
    ),
    "http_response_content_type": (
        "http.response.header.content-type",
        "http.response.header.content_type",
    ),
    "http_request_forwarded_for": (
        "http.request.header.x-forwarded-for",
        "http.request.header.x_forwarded_for",
    ),
    "envoy_upstream_cluster": ("upstream_cluster.name", "upstream_cluster"),
    "envoy_response_flags": ("response_flags",),
}
"""Texts that are columns as they are: the attributes that say each, the one that counts first."""
SIZES: Final = {
    "http_request_body_size": (
        "http.request.body.size",
        "http.request_content_length",
        "request_size",
    ),
    "http_response_body_size": (
        "http.response.body.size",
        "http.response_content_length",
        "response_size",
    ),
}
"""The same of numbers."""
HTTP_STATUSES: Final = ("http.response.status_code", "http.status_code")
URLS: Final = ("url.full", "http.url")
PROTOCOLS: Final = ("network.protocol.version", "http.flavor", "http.protocol")
HOSTS: Final = ("server.address", "http.host")
PEERS: Final = ("network.peer.address", "net.sock.peer.addr", "net.peer.ip")
PEER_PORTS: Final = ("network.peer.port", "net.sock.peer.port", "net.peer.port")
LOCALS: Final = ("network.local.address", "net.sock.host.addr", "net.host.ip")
LOCAL_PORTS: Final = ("network.local.port", "net.sock.host.port", "net.host.port")
RPC_SYSTEMS: Final = ("rpc.system.name", "rpc.system")
RPC_STATUSES: Final = ("rpc.response.status_code", "rpc.grpc.status_code", "grpc.status_code")
REQUEST_IDS: Final = (
    "http.request.header.x-request-id",
    "http.request.header.x_request_id",
    "guid:x-request-id",
)
DRY_RUN: Final = "istio.authorization.dry_run"
"""Begins the names of Istio's tags about policies that are only tried."""

_PROTOCOL_VERSIONS: Final = {
    "1.0": "1.0",
    "1.1": "1.1",
    "2": "2",
    "2.0": "2",
    "3": "3",
    "3.0": "3",
}
_GRPC_STATUSES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_GRPC_CODES: Final = {name: code for code, name in enumerate(_GRPC_STATUSES)}
_SOCKET: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})")


class Socket(NamedTuple):
    """An address and its port; null where the text has none."""

    ip: str | None
    port: int | None


@remember
def read_ip(text: str | None) -> str | None:
    """An IP address as it was written; null for a name, a path or an address with a zone."""
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    is_zoned = isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None
    return None if is_zoned else text


@remember
def read_socket(text: str | None) -> Socket:
    """Take ``IP:PORT``, ``[IPV6]:PORT`` or an address alone apart, as Envoy writes them."""
    match = _SOCKET.fullmatch(text or "")
    if match is None:
        return Socket(read_ip(text), None)
    ip, port = read_ip(match[1] or match[2]), int(match[3])
    return Socket(ip, port if ip is not None and port <= PORT_MAX else None)


@remember
def protocol_version(text: str | None) -> str | None:
    """The version of HTTP, with or without its name before it; null for any other text."""
    return _PROTOCOL_VERSIONS.get((text or "").removeprefix("HTTP/"))


@remember
def grpc_status(text: str | None) -> int | None:
    """The number of a gRPC status, given by its name."""
    return _GRPC_CODES.get(text or "")
