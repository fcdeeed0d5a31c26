"""OTLP exports as senders write them, field by field: the schema at hand is older than they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshtrail.sources.otlp_frame import Signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATHS = {
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_NAMES = {
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
    Signal.TRACES: ("resourceSpans", "scopeSpans", "spans"),
    Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
}


def varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number % 128 | 128])
        number //= 128
    return encoded + bytes([number])


def field(number: int, data: bytes) -> bytes:
    """A field of bytes, text or a message."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(key: str, value: str) -> bytes:
    return field(1, key.encode()) + field(2, field(1, value.encode()))


def resource(name: str = "checkout") -> bytes:
    return field(1, attribute("service.name", name))


def record(text: str = "hello") -> bytes:
    """A log record with a body; as a span, it is one with a name."""
    return field(5, field(1, text.encode()))


def resource_part(records: Sequence[bytes], *, of: bytes | None) -> bytes:
    """One ``Resource*`` element."""
    scope = field(1, field(1, b"scope")) + b"".join(field(2, one) for one in records)
    return (b"" if of is None else field(1, of)) + field(2, scope)


def export(*parts: bytes) -> bytes:
    return b"".join(field(1, part) for part in parts)


def export_of(*texts: str, of: str = "checkout") -> bytes:
    """An export of one resource with a record for each text."""
    return export(resource_part([record(text) for text in texts], of=resource(of)))


def json_export(signal: Signal, *texts: str, of: str = "checkout") -> bytes:
    outer, scopes, records = _NAMES[signal]
    attributes = [{"key": "service.name", "value": {"stringValue": of}}]
    listed = [{"body": {"stringValue": text}} for text in texts]
    said: dict[str, Any] = {
        "resource": {"attributes": attributes},
        scopes: [{"scope": {"name": "scope"}, records: listed}],
    }
    return json.dumps({outer: [said]}).encode()


def fields_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that has nothing but fields of bytes."""
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        assert tag & 7 == 2
        length, at = _read_varint(data, at)
        yield tag >> 3, data[at : at + length]
        at += length


def slice_export(data: bytes) -> list[bytes]:
    """The records of an export."""
    return [
        one
        for _, part in fields_of(data)
        for number, scope in fields_of(part)
        if number == 2
        for inner, one in fields_of(scope)
        if inner == 2
    ]


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return number, at
        shift += 7
