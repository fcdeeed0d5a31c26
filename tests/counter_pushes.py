"""Pushes of counters as Envoys send them, written by hand so that they need not be valid."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from meshtrail.sources.counter_slices import HEAD
from tests.als_messages import length_delimited, varint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIME_MS = 1_795_283_435_317
TIME_NS = TIME_MS * 1_000_000
DELTA, CUMULATIVE = 1, 2


def number(value: float) -> bytes:
    """Prometheus' Counter or Gauge."""
    return b"\x09" + struct.pack("<d", value) if value else b""


def family(
    name: str,
    value: float = 1.0,
    *,
    labels: Mapping[str, str] | None = None,
    is_gauge: bool = False,
    time_ms: int = TIME_MS,
) -> bytes:
    """A ``MetricFamily`` with one metric, as Envoy writes it."""
    parts = [
        length_delimited(1, length_delimited(1, key.encode()) + length_delimited(2, text.encode()))
        for key, text in (labels or {}).items()
    ]
    parts.append(length_delimited(2 if is_gauge else 3, number(value)))
    parts.append(b"\x30" + varint(time_ms % 2**64))
    kind = b"\x18" + varint(int(is_gauge))
    return length_delimited(1, name.encode()) + kind + length_delimited(4, b"".join(parts))


def envoy_message(*families: bytes, claims: bytes | None = None) -> bytes:
    """A ``StreamMetricsMessage``."""
    parts = [] if claims is None else [length_delimited(1, claims)]
    return b"".join([*parts, *(length_delimited(2, item) for item in families)])


def point(
    value: float = 1,
    *,
    attributes: Mapping[str, str] | None = None,
    time_ns: int = TIME_NS,
) -> bytes:
    """A ``NumberDataPoint``: of an integer where it is one, else of a double."""
    parts = [b"\x19" + struct.pack("<Q", time_ns)]
    is_integer = isinstance(value, int)
    parts.append(b"\x31" + struct.pack("<q", value) if is_integer else b"\x21" + _double(value))
    for key, text in (attributes or {}).items():
        pair = length_delimited(1, key.encode())
        parts.append(length_delimited(7, pair + length_delimited(2, _string(text))))
    return b"".join(parts)


def metric(
    name: str,
    *points: bytes,
    is_gauge: bool = False,
    temporality: int = CUMULATIVE,
) -> bytes:
    """A ``Metric``: a sum, or a gauge."""
    data = b"".join(length_delimited(1, item) for item in points)
    kind = (
        length_delimited(5, data)
        if is_gauge
        else length_delimited(7, data + b"\x10" + varint(temporality) + b"\x18\x01")
    )
    return length_delimited(1, name.encode()) + kind


def otlp_message(*metrics: bytes, resource: bytes | None = b"") -> bytes:
    """An ``ExportMetricsServiceRequest`` with one scope."""
    scope = b"".join(length_delimited(2, item) for item in metrics)
    parts = [] if resource is None else [length_delimited(1, resource)]
    return length_delimited(1, b"".join([*parts, length_delimited(2, scope)]))


def payload(message: bytes, *, left_out: int = 0) -> bytes:
    """What an entry holds of a message that was cut already."""
    return HEAD.pack(bytes(32), left_out) + message


def envoy_payload(families: Sequence[bytes]) -> bytes:
    """What an entry holds of these families."""
    return payload(envoy_message(*families))


def _double(value: float) -> bytes:
    return struct.pack("<d", value)


def _string(text: str) -> bytes:
    return length_delimited(1, text.encode())
