"""OTLP spans for tests, made with the published protobuf types; what Envoy's look like was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive_both, entry, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE_ID: Final = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
SPAN_ID: Final = bytes.fromhex("00f067aa0ba902b7")
PARENT_ID: Final = bytes.fromhex("53995c3f42cd8ad8")
START_NS: Final = 1_795_282_790_052_240_000
END_NS: Final = START_NS + 1_567_000
REQUEST_ID: Final = "c1eef815-dc9e-933c-9bb9-f67890e61a6a"

ENVOY_TAGS: Final[dict[str, object]] = {
    "node_id": "sidecar~10.0.0.7~payments",
    "zone": "",
    "guid:x-request-id": REQUEST_ID,
    "http.url": "http://payments:8080/pay?a=1",
    "http.method": "GET",
    "downstream_cluster": "-",
    "user_agent": "curl/8",
    "http.protocol": "HTTP/1.1",
    "peer.address": "10.0.0.5",
    "request_size": "12",
    "response_size": "4",
    "component": "proxy",
    "upstream_cluster": "outbound|80||back",
    "upstream_cluster.name": "outbound|80||back",
    "http.status_code": "200",
    "response_flags": "-",
}
"""What Envoy 1.40 says of a request."""
ROUTER_TAGS: Final[dict[str, object]] = {
    "http.protocol": "HTTP/2",
    "upstream_address": "10.0.0.9:8443",
    "peer.address": "10.0.0.9:8443",
    "component": "proxy",
    "upstream_cluster": "outbound|80||back",
    "upstream_cluster.name": "outbound|80||back",
    "http.status_code": "0",
    "response_flags": "UF",
    "error": "true",
    "error.reason": "remote connection failure",
}
"""What it says of an attempt upstream, with ``spawn_upstream_span``."""


def any_value(value: object) -> common_pb2.AnyValue:
    """A value as a sender writes it."""
    if isinstance(value, common_pb2.AnyValue):
        return value
    if isinstance(value, list):
        return common_pb2.AnyValue(array_value={"values": [any_value(one) for one in value]})
    names = {str: "string", bool: "bool", int: "int", float: "double"}
    return common_pb2.AnyValue(**{f"{names[type(value)]}_value": value})


def span(attributes: Mapping[str, object] | None = None, /, **fields: Any) -> trace_pb2.Span:
    """A span of a server; arguments are fields of ``Span``."""
    given = {
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_span_id": PARENT_ID,
        "name": "ingress",
        "kind": 2,
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": END_NS,
        **fields,
    }
    items = [
        common_pb2.KeyValue(key=key, value=any_value(value))
        for key, value in (attributes or {}).items()
    ]
    return trace_pb2.Span(attributes=items, **given)


def export(*spans: trace_pb2.Span) -> bytes:
    """An export request with these spans, under a resource and a scope."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name", value=any_value("payments"))
    scope = resource.instrumentation_library_spans.add()
    scope.instrumentation_library.name = "envoy"
    scope.spans.extend(spans)
    data: bytes = request.SerializeToString()
    return data


def events(*payloads: bytes) -> list[dict[str, Any]]:
    """The events of span records, without nulls; the reference must say the same."""
    entries = [
        entry(payload, PayloadFormat.OTLP_SPAN, seq=seq) for seq, payload in enumerate(payloads, 1)
    ]
    _, *rows = derive_both(opened(), *entries)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def event(attributes: Mapping[str, object] | None = None, /, **fields: Any) -> dict[str, Any]:
    """The event of a span, which stands between two others."""
    _, row, _ = events(export(span(ENVOY_TAGS)), export(span(attributes, **fields)), export(span()))
    return row
