"""Which requests are heard at all: from programs on this machine, not from pages of other sites.

A page in a browser can reach loopback, and by DNS rebinding even under a name of its own; what it
cannot do is choose the Host header, or keep the browser from saying where it comes from.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from meshtrail.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import Scope

QUERY_BYTES_MAX: Final = 16 << 10

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[0-9a-z.-]+)(?::[0-9]{1,5})?")
_ELSEWHERE: Final = {b"cross-site", b"same-site"}


def check_request(scope: Scope, *, hosts: Collection[str]) -> None:
    """Return when a request may be heard.

    Args:
        scope: of the request.
        hosts: names besides those of loopback.

    Raises:
        RequestError: it is for another host (421), from another site (403), or too long (414).
    """
    host = _read_one(scope, b"host")
    if host is None or not _is_ours(host, hosts):
        raise RequestError(
            f"this is not the host {(host or '')[:80]!r}: ask for 127.0.0.1 or localhost, or "
            "name it in serve.hosts",
            http_status=421,
        )
    origin = _read_one(scope, b"origin")
    if origin is not None and origin != f"http://{host}":
        raise RequestError(
            f"a page of another site, {origin[:80]!r}, may ask for nothing here", http_status=403
        )
    if any(name == b"sec-fetch-site" and value in _ELSEWHERE for name, value in scope["headers"]):
        raise RequestError("a page of another site may ask for nothing here", http_status=403)
    if len(scope["query_string"]) > QUERY_BYTES_MAX:
        raise RequestError(
            f"a query string has at most {QUERY_BYTES_MAX} bytes: POST takes longer queries",
            http_status=414,
            bytes_max=QUERY_BYTES_MAX,
        )


def _read_one(scope: Scope, name: bytes) -> str | None:
    """The value of a header; None without it.

    Raises:
        RequestError: it stands more than once.
    """
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise RequestError(f"the header {name.decode()} stands {len(values)} times")
    return values[0].decode("latin-1").lower() if values else None


def _is_ours(host: str, hosts: Collection[str]) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    # The port is left out: it is another one behind a tunnel, and no page can choose it anyway.
    name = match[1].strip("[]")
    if name == "localhost" or name in hosts:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
