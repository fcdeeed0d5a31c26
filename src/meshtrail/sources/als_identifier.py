"""What an Envoy says of itself in the identifier of its first message: a claim, cut to fit.

The identifier was measured at 61 kB, nearly all of it a list of extensions. The bytes are kept as a
blob; this is the part of them that people look for. Nobody has verified any of it.
"""

from __future__ import annotations

import json
import math
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from meshtrail.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

IDENTIFIER_BYTES_MAX: Final = 256 << 10
"""Of a larger one nothing is read: it would keep every other stream waiting, for 0.3 s per MiB."""

METADATA_BYTES_MAX: Final = 8_192
TEXT_CHARS_MAX: Final = 512
CUT: Final = "…"
"""Stands at the end of what was cut, and for what was left out."""

_METADATA_KEYS: Final = (
    "NAMESPACE",
    "WORKLOAD_NAME",
    "SERVICE_ACCOUNT",
    "CLUSTER_ID",
    "MESH_ID",
    "NAME",
    "OWNER",
    "ISTIO_VERSION",
    "LABELS",
    "APP_CONTAINERS",
    "INSTANCE_IPS",
    "NODE_NAME",
)
"""The most telling first: what does not fit is left out from the end."""

_DEPTH_MAX: Final = 4
_ITEMS_MAX: Final = 64
_INTEGER_MAX: Final = 2.0**53


def decode_identifier(identifier: bytes) -> dict[str, Any]:
    """The claims in an identifier, as plain JSON values.

    Returns:
        ``node_id``, ``node_cluster``, ``log_name``, ``user_agent`` and ``metadata``; None where the
        sender said nothing. At most about 20 kB as JSON, whatever came in.

    Raises:
        InputError: it is not an ``Identifier``, holds text that is not UTF-8, or is too large.
    """
    if len(identifier) > IDENTIFIER_BYTES_MAX:
        raise InputError(
            f"identifier of {len(identifier)} bytes, at most {IDENTIFIER_BYTES_MAX} are read"
        )
    try:
        message = _identifier_class().FromString(identifier)
    except DecodeError as error:
        raise InputError(f"identifier of {len(identifier)} bytes: {error}") from error
    node = message.node
    return {
        "node_id": _cut(node.id) or None,
        "node_cluster": _cut(node.cluster) or None,
        "log_name": _cut(message.log_name) or None,
        "user_agent": _cut(_user_agent(node)) or None,
        "metadata": _metadata(node.metadata.fields),
    }


def _user_agent(node: Any) -> str:  # noqa: ANN401 - generated classes have no types
    version = node.user_agent_version
    if not version and node.HasField("user_agent_build_version"):
        number = node.user_agent_build_version.version
        version = f"{number.major_number}.{number.minor_number}.{number.patch}"
    return "/".join(part for part in (node.user_agent_name, version) if part)


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    metadata: dict[str, Any] = {}
    room = METADATA_BYTES_MAX
    for key in _METADATA_KEYS:
        if key not in fields:
            continue
        value = _plain(fields[key], depth=0)
        needed = _json_bytes({key: value})
        if needed > room:
            value = CUT
            needed = _json_bytes({key: value})
        metadata[key] = value
        room -= needed
    return metadata or None


def _plain(value: Any, *, depth: int) -> Any:  # noqa: ANN401 - a protobuf Value is anything
    match value.WhichOneof("kind"):
        case "string_value":
            plain: Any = _cut(value.string_value)
        case "number_value":
            plain = _number(value.number_value)
        case "bool_value":
            plain = value.bool_value
        case "struct_value" | "list_value" if depth >= _DEPTH_MAX:
            plain = CUT
        case "struct_value":
            fields = value.struct_value.fields
            names = sorted(fields)[:_ITEMS_MAX]
            plain = {_cut(name): _plain(fields[name], depth=depth + 1) for name in names}
            plain |= {CUT: CUT} if len(fields) > _ITEMS_MAX else {}
        case "list_value":
            items = value.list_value.values
            plain = [_plain(item, depth=depth + 1) for item in items[:_ITEMS_MAX]]
            plain += [CUT] if len(items) > _ITEMS_MAX else []
        case _:
            plain = None
    return plain


def _number(number: float) -> float | int | str:
    """JSON knows neither NaN nor infinity, and 8080 reads better than 8080.0."""
    if not math.isfinite(number):
        return str(number)
    return int(number) if number.is_integer() and abs(number) < _INTEGER_MAX else number


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + CUT


def _json_bytes(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


@cache
def _identifier_class() -> Any:  # noqa: ANN401 - generated classes have no types
    # Imported here: it takes 0.2 s, which only those who receive should pay.
    from envoy.service.accesslog.v3 import als_pb2  # noqa: PLC0415 - see above

    return als_pb2.StreamAccessLogsMessage.Identifier
