"""What a sender of OTLP says of itself in the resource of its records: a claim, cut to fit.

It has the keys of ``als_identifier.decode_identifier``, so that both kinds of senders are found
alike. The bytes are kept as a blob. Nobody has verified any of it.

Source: OpenTelemetry semantic conventions, resource; the built-in labels of Envoy's access logger.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from meshtrail.errors import InputError
from meshtrail.sources.claims import CUT, ITEMS_COUNT_MAX, cut_text, fit_metadata
from meshtrail.sources.json_text import check_json
from meshtrail.sources.otlp_schema import resource_descriptor
from meshtrail.sources.proto_json import encode_json_message

if TYPE_CHECKING:
    from collections.abc import Iterator

RESOURCE_BYTES_MAX: Final = 256 << 10
"""Of a larger one nothing is read: it would keep every other stream waiting."""

_COMMAS_COUNT_MAX: Final = 1 << 14
"""In a resource in JSON: each attribute takes two."""

_NODE_NAMES: Final = ("node_name", "service.instance.id", "k8s.pod.name", "host.name")
"""The built-in label of Envoy first: only there it is what an Istio proxy calls itself."""

_POD_NAME: Final = "k8s.pod.name"
_NAMESPACE: Final = "k8s.namespace.name"
_CLUSTER_NAMES: Final = ("cluster_name", "service.name")
_LOG_NAME: Final = "log_name"
_AGENT_NAMES: Final = ("telemetry.sdk.name", "telemetry.sdk.version")
_METADATA_NAMES: Final = {
    _NAMESPACE: "NAMESPACE",
    "k8s.serviceaccount.name": "SERVICE_ACCOUNT",
    "k8s.deployment.name": "WORKLOAD_NAME",
}
"""By attribute: what an Istio proxy calls the same in its metadata."""


def decode_resource(resource: bytes) -> dict[str, Any]:
    """The claims in the bytes of a ``Resource``, as plain JSON values.

    Returns:
        ``node_id``, ``node_cluster``, ``log_name``, ``user_agent`` and ``metadata``; None where the
        sender said nothing. At most about 20 kB as JSON, whatever came in.

    Raises:
        InputError: it is no ``Resource``, holds text that is not UTF-8, or is too large.
    """
    _check_size(resource)
    try:
        message = _resource_class().FromString(resource)
    except DecodeError as error:
        raise InputError(f"resource of {len(resource)} bytes: {error}") from error
    # Of equal keys the last counts; what is no text is as good as an empty one: it claims nothing.
    return _claims({item.key: item.value.string_value for item in message.attributes})


def decode_json_resource(resource: bytes) -> dict[str, Any]:
    """The claims in a resource in JSON, as ``decode_resource`` gives them.

    Raises:
        InputError: it is not the JSON of a ``Resource``, or too large.
    """
    _check_size(resource)
    check_json(resource, commas_count_max=_COMMAS_COUNT_MAX)
    return decode_resource(encode_json_message(resource, resource_descriptor()))


@cache
def _resource_class() -> Any:  # noqa: ANN401 - generated classes have no types
    return message_factory.GetMessageClass(resource_descriptor())


def _check_size(resource: bytes) -> None:
    if len(resource) > RESOURCE_BYTES_MAX:
        raise InputError(
            f"resource of {len(resource)} bytes, at most {RESOURCE_BYTES_MAX} are read"
        )


def _claims(texts: dict[str, str]) -> dict[str, Any]:
    node_name = _first(texts, _NODE_NAMES)
    cluster_name = _first(texts, _CLUSTER_NAMES)
    node_id = texts.get(node_name or "")
    if node_name == _POD_NAME and texts.get(_NAMESPACE):
        node_id = f"{node_id}.{texts[_NAMESPACE]}"
    told = {node_name, cluster_name, _LOG_NAME, *_AGENT_NAMES}
    return {
        "node_id": _cut(node_id),
        "node_cluster": _cut(texts.get(cluster_name or "")),
        "log_name": _cut(texts.get(_LOG_NAME)),
        "user_agent": _cut("/".join(filter(None, map(texts.get, _AGENT_NAMES)))),
        "metadata": fit_metadata(_metadata(texts, told)),
    }


def _metadata(texts: dict[str, str], told: set[str | None]) -> Iterator[tuple[str, str]]:
    """What is said besides, first under the names of an Istio proxy, then under its own."""
    renamed = {istio: texts[name] for name, istio in _METADATA_NAMES.items() if texts.get(name)}
    own = {
        cut_text(name): text
        for name, text in texts.items()
        if text and name not in told and name not in _METADATA_NAMES
    }
    items = list((own | renamed).items())
    # Those under the names of Istio first: what does not fit is left out from the end.
    items.sort(key=lambda item: item[0] not in renamed)
    for name, text in items[:ITEMS_COUNT_MAX]:
        yield name, cut_text(text)
    if len(items) > ITEMS_COUNT_MAX:
        yield CUT, CUT


def _first(texts: dict[str, str], names: tuple[str, ...]) -> str | None:
    """The first of the names under which a text stands."""
    return next((name for name in names if texts.get(name)), None)


def _cut(text: str | None) -> str | None:
    return cut_text(text) if text else None
