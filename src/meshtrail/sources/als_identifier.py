"""What an Envoy says of itself in the identifier of its first message: a claim, cut to fit.

The identifier was measured at 61 kB, nearly all of it a list of extensions. The bytes are kept as a
blob; this is the part of them that people look for. Nobody has verified any of it.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from meshtrail.errors import InputError
from meshtrail.sources.claims import CUT, ITEMS_COUNT_MAX, cut_text, fit_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping

IDENTIFIER_BYTES_MAX: Final = 256 << 10
"""Of a larger one nothing is read: it would keep every other stream waiting, for 0.3 s per MiB."""

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
        "node_id": cut_text(node.id) or None,
        "node_cluster": cut_text(node.cluster) or None,
        "log_name": cut_text(message.log_name) or None,
        "user_agent": cut_text(_user_agent(node)) or None,
        "metadata": _metadata(node.metadata.fields),
    }


def _user_agent(node: Any) -> str:  # noqa: ANN401 - generated classes have no types
    version = node.user_agent_version
    if not version and node.HasField("user_agent_build_version"):
        number = node.user_agent_build_version.version
        version = f"{number.major_number}.{number.minor_number}.{number.patch}"
    return "/".join(part for part in (node.user_agent_name, version) if part)


def _metadata(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    return fit_metadata(
        (key, _plain(fields[key], depth=0)) for key in _METADATA_KEYS if key in fields
    )


def _plain(value: Any, *, depth: int) -> Any:  # noqa: ANN401 - a protobuf Value is anything
    match value.WhichOneof("kind"):
        case "string_value":
            plain: Any = cut_text(value.string_value)
        case "number_value":
            plain = _number(value.number_value)
        case "bool_value":
            plain = value.bool_value
        case "struct_value" | "list_value" if depth >= _DEPTH_MAX:
            plain = CUT
        case "struct_value":
            fields = value.struct_value.fields
            names = sorted(fields)[:ITEMS_COUNT_MAX]
            plain = {cut_text(name): _plain(fields[name], depth=depth + 1) for name in names}
            plain |= {CUT: CUT} if len(fields) > ITEMS_COUNT_MAX else {}
        case "list_value":
            items = value.list_value.values
            plain = [_plain(item, depth=depth + 1) for item in items[:ITEMS_COUNT_MAX]]
            plain += [CUT] if len(items) > ITEMS_COUNT_MAX else []
        case _:
            plain = None
    return plain


def _number(number: float) -> float | int | str:
    """JSON knows neither NaN nor infinity, and 8080 reads better than 8080.0."""
    if not math.isfinite(number):
        return str(number)
    return int(number) if number.is_integer() and abs(number) < _INTEGER_MAX else number


@cache
def _identifier_class() -> Any:  # noqa: ANN401 - generated classes have no types
    # Imported here: it takes 0.2 s, which only those who receive should pay.
    from envoy.service.accesslog.v3 import als_pb2  # noqa: PLC0415 - see above

    return als_pb2.StreamAccessLogsMessage.Identifier
