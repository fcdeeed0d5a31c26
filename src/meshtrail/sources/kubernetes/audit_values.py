"""What single values of an audit event mean: ids, queries, and the reason of a decision.

Source: audit.k8s.io/v1 Event; the describers of bindings in Kubernetes' RBAC authorizer.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qs

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_QUOTED: Final = r'"((?:[^"\\]|\\.)*)"'
_BINDING: Final = re.compile(
    rf"RBAC: allowed by (ClusterRoleBinding|RoleBinding) {_QUOTED} of (ClusterRole|Role) {_QUOTED}"
    r" to (?:User|Group|ServiceAccount) "
)
REASON_CHARS_MAX: Final = 4096
_QUERY_FIELDS_MAX: Final = 256
_QUERY_CHARS_MAX: Final = 64 << 10


class Binding(NamedTuple):
    """The binding that let a call through."""

    kind: str | None = None
    name: str | None = None
    namespace: str | None = None


def parse_uuid(text: str) -> bytes | None:
    """The 16 bytes of a UUID in its usual form."""
    return bytes.fromhex(text.replace("-", "")) if _UUID.fullmatch(text) else None


def parse_binding(reason: str) -> Binding:
    """The binding in the reason of a decision of the RBAC authorizer; none in other texts."""
    match = _BINDING.match(reason[:REASON_CHARS_MAX])
    if match is None:
        return Binding()
    kind, name = match[1], re.sub(r"\\(.)", r"\1", match[2])
    if kind == "RoleBinding":
        # Neither a name nor a namespace holds a slash.
        name, _, namespace = name.rpartition("/")
        return Binding(kind, name, namespace)
    return Binding(kind, name)


def parse_query(query: str) -> dict[str, list[str]]:
    """The fields of a query; none of one that is longer than anyone writes in earnest."""
    if len(query) > _QUERY_CHARS_MAX:
        return {}
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError:
        return {}
