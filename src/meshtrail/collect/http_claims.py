"""What a sender over HTTP says of itself beside its body: names, for people to tell senders apart.

Claims as those in a resource of OTLP are: sealed, held against what the sender was authenticated
as, and never an identity.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from meshtrail.collect.opening import Claims
from meshtrail.collect.payloads import encode_json
from meshtrail.errors import InputError, RequestError
from meshtrail.sources.claims import TEXT_CHARS_MAX, cut_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.collect.http_request import HttpRequest

QUERY_BYTES_MAX: Final = 16 << 10
"""Both names at their longest, every byte of them escaped."""

_PARAMETERS: Final = {"reporter": "node_id", "cluster": "node_cluster"}
"""By name of the parameter: what it claims."""

_IGNORED: Final = ("timeout",)
"""A client of Kubernetes says with it how long it waits."""

_NAMES: Final = ("node_id", "node_cluster", "log_name", "user_agent", "metadata")


def read_claims(request: HttpRequest) -> bytes | None:
    """What the query of a request and its user agent claim, as bytes to be kept; None for nothing.

    Raises:
        RequestError: the query is not one of those parameters, once each, with a text.
    """
    texts: dict[str, str] = {}
    if len(request.query) > QUERY_BYTES_MAX:
        raise RequestError(
            f"a query of {len(request.query)} bytes, at most {QUERY_BYTES_MAX} are read",
            http_status=400,
        )
    try:
        found = parse_qsl(request.query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError as error:
        raise RequestError("the query is not UTF-8 in percent-encoding", http_status=400) from error
    for name, text in found:
        if name in _IGNORED:
            continue
        claimed = _PARAMETERS.get(name)
        if claimed is None:
            raise RequestError(
                f"there is no parameter {name[:80]!r}: known are {', '.join(_PARAMETERS)}",
                http_status=400,
            )
        if claimed in texts:
            raise RequestError(f"the parameter {name} stands twice", http_status=400)
        if not 0 < len(text) <= TEXT_CHARS_MAX or not text.isprintable():
            raise RequestError(
                f"the parameter {name} is 1 to {TEXT_CHARS_MAX} printable characters, got "
                f"{text[:80]!r}",
                http_status=400,
            )
        texts[claimed] = text
    return encode_claims(request, texts)


def encode_claims(request: HttpRequest, texts: Mapping[str, str]) -> bytes | None:
    """The bytes of claims and of what a request says that it was sent by; None for nothing."""
    user_agent = request.header(b"user-agent")
    said = {**texts, **({"user_agent": cut_text(user_agent)} if user_agent else {})}
    return encode_json(said) if said else None


def decode_claims(identifier: bytes) -> dict[str, Any]:
    """The claims in such bytes, as plain JSON values.

    Raises:
        InputError: they are none.
    """
    try:
        said = json.loads(identifier)
    except ValueError as error:
        raise InputError(f"claims of {len(identifier)} bytes: {error}") from error
    return {name: said.get(name) for name in _NAMES}


HTTP_CLAIMS: Final = Claims(decode=decode_claims, none_said="the request names no reporter")
