"""Valid exports and pushes to start from, in protobuf and in the JSON that says the same."""

from __future__ import annotations

import binascii
import json
from functools import cache
from typing import Any, Final

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2

from meshtrail.sources.counter_families import FAMILIES
from meshtrail.sources.otlp_frame import Signal
from tests import otlp_records, otlp_spans
from tests.counter_pushes import envoy_message, family, metric, otlp_message, point
from tests.otlp_messages import attribute, field, resource

REQUESTS: Final[dict[Signal, Any]] = {
    Signal.LOGS: logs_service_pb2.ExportLogsServiceRequest,
    Signal.TRACES: trace_service_pb2.ExportTraceServiceRequest,
    Signal.METRICS: metrics_service_pb2.ExportMetricsServiceRequest,
}
"""As published; of newer names only the numbers are the same."""

_NAMES_NOW: Final = {
    "instrumentationLibraryLogs": "scopeLogs",
    "instrumentationLibrarySpans": "scopeSpans",
    "instrumentationLibraryMetrics": "scopeMetrics",
    "instrumentationLibrary": "scope",
    "logs": "logRecords",
}
_HEX_NAMES: Final = frozenset({"traceId", "spanId", "parentSpanId"})
_TRACE: Final[dict[str, Any]] = {"trace_id": otlp_spans.TRACE_ID, "span_id": otlp_spans.SPAN_ID}

LOG_TEXTS: Final = (
    *(b"envoy.access_log_type", b"DownstreamEnd", b"TcpConnectionEnd", b"UpstreamEnd", b"NotSet"),
    *(b"envoy.duration", b"446.694us", b"1h2m3.5s", b"1m", b"0s", b"9999999h", b"1.5", b"-1ms"),
    *(b"-", b"envoy.rbac.http", b"envoy.rbac.network", b"envoy.response_flags", b"UF,URX", b"URX"),
    *(b'{"enforced_engine_result":"denied"}', b'{"a":', b"[" * 2_000, b'{"a":1e999}', b'"\\ud800"'),
    *(b"network.peer.address", b"network.peer.port", b"10.0.0.5", b"::1", b"65536", b"8080"),
    *(b"envoy.upstream_host", b"[2001:db8::1]:443", b"10.0.0.9:1", b"10.0.0.9:99999", b"[]:1"),
    *(b"envoy.tls_version", b"TLSv1.3", b"envoy.tls_cipher", b"TLS_AES_128_GCM_SHA256"),
    *(b"envoy.peer_certificate_sha256", b"ab" * 32, b"AB" * 32, b"envoy.connection_id"),
    *(b"9223372036854775807", b"9223372036854775808", b"99999999999999999999", b"envoy.protocol"),
)
SPAN_TEXTS: Final = (
    *(b"http.url", b"http://h:1/p?q", b"http.status_code", b"component", b"proxy", b"peer.address"),
    *(b"guid:x-request-id", b"upstream_cluster", b"error", b"true", b"http.request.method", b"404"),
    *(b"url.path", b"server.address", b"server.port", b"http.protocol", b"HTTP/2", b"1e3", b"07"),
)
COUNTER_TEXTS: Final = (
    *(".".join(filter(None, [one.scope, "inbound", one.tail])).encode() for one in FAMILIES),
    *(".".join(filter(None, [one.scope, one.tail])).encode() for one in FAMILIES),
    *(b"envoy.http_conn_manager_prefix", b"http_conn_manager_prefix", b"listener_address"),
    *(b"http.admin.downstream_rq_total", b"listener.0.0.0.0_8080.worker_0.downstream_cx_total"),
    *(b"cluster.meshtrail.upstream_rq_tx_reset", b"http." + b"a" * 600 + b".downstream_rq_total"),
)


@cache
def export_seeds(signal: Signal) -> tuple[bytes, ...]:
    """Export requests of one and of more resources, scopes and records."""
    if signal is Signal.METRICS:
        return _metrics_seeds()
    records = _log_records() if signal is Signal.LOGS else _span_records()
    one_of_each = [_export([_element(resource("a"), [record])]) for record in records]
    several = [
        _export([_element(resource("checkout"), records)]),
        _export([_element(None, records[:2], schema_url=b"https://s")]),
        _export([_element(resource(name), records[:1]) for name in "abc"]),
        _export([_element(_said_much(), records[:3])]),
        _export([_element(resource("many"), [records[-1]] * 40)]),
    ]
    return (*one_of_each, *several)


@cache
def record_seeds(signal: Signal) -> tuple[bytes, ...]:
    """Payloads of entries: export requests with one record each, as entries hold them."""
    cut = [payload for body in export_seeds(signal) for _, payload in otlp_records.cut_export(body)]
    return tuple(dict.fromkeys(cut))


@cache
def json_export_seeds(signal: Signal) -> tuple[bytes, ...]:
    """The exports in JSON."""
    return tuple(_to_json(body, signal) for body in export_seeds(signal))


@cache
def json_record_seeds(signal: Signal) -> tuple[bytes, ...]:
    """The payloads in JSON."""
    return tuple(_to_json(body, signal) for body in record_seeds(signal))


@cache
def envoy_metrics_seeds() -> tuple[bytes, ...]:
    """Pushes to Envoy's metrics service: full names and labels, kept and left out."""
    claims = field(1, field(1, b"sidecar~10.0.0.7") + field(2, b"payments"))
    full = [family(text.decode(), 7.0 + at) for at, text in enumerate(COUNTER_TEXTS[:30])]
    tagged = [
        family("http.downstream_rq_total", 3.0, labels={"envoy.http_conn_manager_prefix": "in"}),
        family("http.downstream_rq_active", 1.0, labels={"http_conn_manager_prefix": "in"}),
        family("server.uptime", 60.0, is_gauge=True),
        family("cluster.other.upstream_rq_total", 9.0),
    ]
    return (
        envoy_message(*tagged, claims=claims),
        envoy_message(*full),
        envoy_message(*tagged, *full[:4]),
        envoy_message(family("server.uptime", 4.0), family("a" * 300, 1.0)),
        envoy_message(claims=claims),
        envoy_message(),
    )


def _metrics_seeds() -> tuple[bytes, ...]:
    full = [metric(text.decode(), point(7 + at)) for at, text in enumerate(COUNTER_TEXTS[:30])]
    tagged = metric(
        "http.downstream_rq_total",
        point(3, attributes={"envoy.http_conn_manager_prefix": "in"}),
        point(2.0),
    )
    uptime = metric("server.uptime", point(60.0), is_gauge=True)
    other = metric("cluster.other.upstream_rq_total", point(9))
    delta = metric("access_logs.grpc_access_log.logs_written", point(5), temporality=1)
    kinds = metric("http.downstream_rq_active", point(4), is_gauge=True) + metric(
        "http.in.downstream_rq_total", point(6), point(8), temporality=1
    )
    gauge = metric("http.in.downstream_rq_total", point(2), is_gauge=True)
    both = otlp_message(tagged, uptime, resource=resource("a"))
    return (
        otlp_message(tagged, uptime, other, resource=resource("a")),
        otlp_message(*full, resource=_said_much()),
        otlp_message(delta, uptime, resource=None),
        otlp_message(other),
        otlp_message(kinds, uptime, gauge),
        otlp_message(gauge + metric("http.in.downstream_rq_total", temporality=1)),
        both + both + otlp_message(other, delta, resource=resource("b")),
        otlp_message(resource=resource("empty")),
    )


def _log_records() -> list[bytes]:
    request, connection = otlp_records.request(), otlp_records.connection()
    values = [otlp_spans.any_value(one) for one in ("text", 7, 1.5, True, ["a", 1, [False]])]
    values.append(common_pb2.AnyValue(bytes_value=b"\x00\xff"))
    plain = [otlp_records.log_record({}, severity_number=9, body=one) for one in values]
    return [
        otlp_records.log_record(request, **_TRACE),
        otlp_records.log_record(connection),
        otlp_records.log_record({**request, "envoy.access_log_type": "UpstreamEnd"}),
        otlp_records.log_record({"a": "b"}, severity_text="INFO", flags=1, **_TRACE),
        *plain,
        otlp_records.log_record(otlp_records.request(connection_id="0", attempt_count="1")),
        otlp_records.log_record({}),
    ]


def _span_records() -> list[bytes]:
    odd = {"a": [1, "b", [True, 2.5]], "http.status_code": 404, "error": True, "x": 1.5}
    spans = [
        otlp_spans.span(otlp_spans.ENVOY_TAGS),
        otlp_spans.span(otlp_spans.ROUTER_TAGS, kind=3, status={"code": 2, "message": "no"}),
        otlp_spans.span(odd, trace_state="a=b", events=[{"name": "e", "time_unix_nano": 5}]),
        otlp_spans.span({}, parent_span_id=b"", links=[_TRACE]),
    ]
    return [span.SerializeToString() for span in spans]


def _said_much() -> bytes:
    named = {"k8s.pod.name": "web-1", "k8s.namespace.name": "shop", "node_name": "sidecar~web-1"}
    return b"".join(field(1, attribute(key, value)) for key, value in named.items())


def _export(elements: list[bytes]) -> bytes:
    return b"".join(field(1, element) for element in elements)


def _element(of: bytes | None, records: list[bytes], *, schema_url: bytes | None = None) -> bytes:
    scope = field(1, field(1, b"envoy")) + b"".join(field(2, record) for record in records)
    said = b"" if of is None else field(1, of)
    return said + field(2, scope) + (b"" if schema_url is None else field(3, schema_url))


def _to_json(body: bytes, signal: Signal) -> bytes:
    message = REQUESTS[signal].FromString(body)
    said = json_format.MessageToDict(message, use_integers_for_enums=True)
    return json.dumps(_renamed(said), ensure_ascii=False).encode()


def _renamed(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """In today's names, and with ids in hexadecimal."""
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        _NAMES_NOW.get(key, key): binascii.a2b_base64(one).hex()
        if key in _HEX_NAMES
        else _renamed(one)
        for key, one in value.items()
    }
