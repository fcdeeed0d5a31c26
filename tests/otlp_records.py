"""OTLP log records for tests: made by hand, or cut out of exports as the collector's door does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.proto.logs.v1 import logs_pb2

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import ABSENT, ATTRIBUTES, Told
from tests.als_messages import length_delimited
from tests.als_records import FRONTEND, PAYMENTS, REQUEST_ID, TRACEPARENT, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_NS = 1_795_224_684_882_174_000
RESOURCE, SCHEMA_URL = 1, 3
"""Field numbers of an element of an export and of a scope's; the records, too, are field 2."""


def log_record(
    attributes: Mapping[str, str | bytes], *, time_ns: int = START_NS, **fields: Any
) -> bytes:
    """A log record with attributes of text; bytes stand as they are, UTF-8 or not."""
    record: bytes = logs_pb2.LogRecord(time_unix_nano=time_ns, **fields).SerializeToString()
    for key, value in attributes.items():
        text = value if isinstance(value, bytes) else value.encode()
        any_value = length_delimited(1, text)
        pair = length_delimited(1, key.encode()) + length_delimited(2, any_value)
        record += length_delimited(6, pair)
    return record


def export(*records: bytes, resource: bytes = b"") -> bytes:
    """An export request of records of one resource, without a scope."""
    scope = b"".join(length_delimited(2, record) for record in records)
    element = length_delimited(RESOURCE, resource) + length_delimited(2, scope)
    return length_delimited(1, element)


def log_entry(attributes: Mapping[str, str | bytes], *, seq: int = 1, **fields: Any) -> bytes:
    """An entry of a log record."""
    payload = export(log_record(attributes, **fields))
    return entry(payload, PayloadFormat.OTLP_LOG, seq=seq)


def cut_export(body: bytes) -> list[tuple[bytes, bytes]]:
    """Each record of an export: the bytes of its resource, and its payload as in an entry."""
    cut = []
    for _, element in fields_of(body):
        around = [(number, data) for number, data in fields_of(element) if number != 2]
        resource = next((data for number, data in around if number == RESOURCE), b"")
        for scope in (data for number, data in fields_of(element) if number == 2):
            scoped = [(number, data) for number, data in fields_of(scope) if number != 2]
            for record in (data for number, data in fields_of(scope) if number == 2):
                inner = _joined(scoped) + length_delimited(2, record)
                payload = length_delimited(1, _joined(around) + length_delimited(2, inner))
                cut.append((resource, payload))
    return cut


def _joined(fields: list[tuple[int, bytes]]) -> bytes:
    return b"".join(length_delimited(number, data) for number, data in sorted(fields))


def fields_of(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that has nothing but fields of bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        assert tag & 7 == 2, tag
        length, at = _varint(message, at)
        yield tag >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while message[at] & 0x80:
        value |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | message[at] << shift, at + 1


def absent(told: Told) -> dict[str, str]:
    """All attributes of a record, as Envoy writes those that have no value."""
    return {one.key: ABSENT for one in ATTRIBUTES if told in one.told}


def request(**changed: str | bytes) -> dict[str, str | bytes]:
    """The attributes of the request of ``als_records.inbound``, with ``_`` in keys for a dot.

    Arguments are attributes of ``envoy.…``.
    """
    return {
        **absent(Told.REQUEST),
        "envoy.access_log_type": "DownstreamEnd",
        "envoy.duration": "446.694us",
        "envoy.request_duration": "85245",
        "envoy.response_start_duration": "292867",
        "http.request.method": "GET",
        "url.scheme": "http",
        "server.address": "payments:8080",
        "envoy.request_path": "/api/pay?x=1&y=?",
        "user_agent.original": "curl/8",
        "http.request.header.x-request-id": REQUEST_ID,
        "http.request.header.traceparent": TRACEPARENT,
        "envoy.protocol": "HTTP/1.1",
        "http.response.status_code": "200",
        "envoy.response_code_details": "via_upstream",
        "envoy.bytes_received": "12",
        "envoy.bytes_sent": "3",
        "envoy.wire_bytes_received": "276",
        "envoy.wire_bytes_sent": "119",
        "envoy.attempt_count": "0",
        "envoy.upstream_cluster": "inbound|8080||",
        "network.local.address": "10.0.0.7",
        "network.local.port": "8080",
        "network.peer.address": "10.0.0.5",
        "network.peer.port": "40001",
        "envoy.tls_version": "TLSv1.3",
        "envoy.tls_cipher": "TLS_AES_128_GCM_SHA256",
        "envoy.tls_server_name": "payments.shop",
        "envoy.peer_uri_san": FRONTEND,
        "envoy.local_uri_san": PAYMENTS,
        "envoy.rbac.http": '{"enforced_engine_result":"allowed","enforced_effective_policy_id":'
        '"ns[shop]-policy[payments-allow]-rule[0]"}',
        **{f"envoy.{name}": value for name, value in changed.items()},
    }


def connection(**changed: str | bytes) -> dict[str, str | bytes]:
    """The attributes of a TCP connection on the same way; arguments as of ``request``."""
    known = absent(Told.CONNECTION)
    said = {key: value for key, value in request().items() if key in known}
    return {
        **known,
        **said,
        "envoy.access_log_type": "TcpConnectionEnd",
        "envoy.bytes_received": "900",
        "envoy.bytes_sent": "4",
        **{f"envoy.{name}": value for name, value in changed.items()},
    }
