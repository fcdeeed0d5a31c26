"""What a sender claims, held against what it was authenticated as.

A conflict is said beside the record and refuses nothing: the lie is evidence, too.
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from meshtrail.sources.envoy_values import split_spiffe_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_QUOTED_CHARS_MAX: Final = 128
"""A conflict stands in each row of its stream; the entry has the whole claim."""

# Istio's node id: type, address, pod.namespace, namespace.svc and the domain of the cluster.
_ISTIO_NODE: Final = re.compile(
    r"[a-z0-9-]+~[^~]*~(?:[^~]*\.([^~.]*)|[^~]*)~(?:([^~.]+)\.svc(?:\.[^~]*)?|[^~]*)"
)


def find_conflict(
    claimed: Mapping[str, Any],
    *,
    spiffe_id: str | None,
    token: str | None,
    reporters: Sequence[str] | None,
) -> str | None:
    """What a sender claims against what it was authenticated as; None where nothing contradicts.

    Args:
        claimed: ``node_id``, ``node_cluster`` and ``metadata`` of a stream-opened payload.
        spiffe_id: that it was authenticated as.
        token: name of the token that it showed.
        reporters: patterns of the names that this token may claim.
    """
    found: list[str] = []
    if spiffe_id is not None:
        found += _against_identity(claimed, spiffe_id)
    if reporters is not None:
        found += _against_token(claimed, token, reporters)
    return "; ".join(found) or None


def format_other_identity(own_identity: str, spiffe_id: str, stream_conflict: str | None) -> str:
    """The conflict of a record whose proxy is another than its sender was authenticated as.

    Args:
        own_identity: SPIFFE ID of the certificate that the proxy used in the record.
        spiffe_id: that the sender was authenticated as.
        stream_conflict: what its stream is in conflict about besides.
    """
    own = f"record of {_quoted(own_identity)}, sent by {_quoted(spiffe_id)}"
    return own if stream_conflict is None else f"{stream_conflict}; {own}"


def _against_identity(claimed: Mapping[str, Any], spiffe_id: str) -> Iterator[str]:
    parts = split_spiffe_id(spiffe_id)
    metadata = claimed.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    for what, key, proven in (
        ("namespace", "NAMESPACE", parts.namespace),
        ("service account", "SERVICE_ACCOUNT", parts.service_account),
    ):
        value = known.get(key)
        if proven is not None and value is not None and value != proven:
            yield f"claims {what} {_quoted(value)}, is of {_quoted(proven)}"
    node_id = claimed.get("node_id")
    match = _ISTIO_NODE.fullmatch(node_id) if isinstance(node_id, str) else None
    if match is None or parts.namespace is None:
        return
    named = sorted({name for name in match.groups() if name})
    for namespace in named:
        if namespace != parts.namespace:
            yield f"node id names namespace {_quoted(namespace)}, is of {_quoted(parts.namespace)}"


def _against_token(
    claimed: Mapping[str, Any], token: str | None, reporters: Sequence[str]
) -> Iterator[str]:
    """Each name that is claimed must be one of the token's; so must be the absence of any."""
    names = {
        what: value
        for what, key in (("node id", "node_id"), ("node cluster", "node_cluster"))
        if isinstance(value := claimed.get(key), str)
    }
    for what, name in (names or {"name": ""}).items():
        if not any(fnmatchcase(name, pattern) for pattern in reporters):
            yield f"{what} {_quoted(name)} is none of token {_quoted(token)}"


def _quoted(value: object) -> str:
    if not isinstance(value, str):
        return "no text"
    # JSON can escape half of a surrogate pair, which no column holds.
    escaped = value.encode(errors="backslashreplace").decode()
    text = json.dumps(escaped, ensure_ascii=False)
    return text if len(text) <= _QUOTED_CHARS_MAX else f"{text[:_QUOTED_CHARS_MAX]}…"
