"""Access log messages as Envoys and others send them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

INVALID_UTF8 = b"\xff\xfe"


def http_record(path: str = "/api/pay") -> bytes:
    entry = accesslog_pb2.HTTPAccessLogEntry()
    entry.request.path = path
    entry.response.response_code.value = 200
    return bytes(entry.SerializeToString())


def tcp_record(received_bytes: int = 512) -> bytes:
    entry = accesslog_pb2.TCPAccessLogEntry()
    entry.connection_properties.received_bytes = received_bytes
    return bytes(entry.SerializeToString())


def identifier(node_id: str = "sidecar~10.0.0.7~pay.shop~shop", log_name: str = "out") -> bytes:
    message = als_pb2.StreamAccessLogsMessage.Identifier()
    message.node.id = node_id
    message.node.cluster = "payments.shop"
    message.log_name = log_name
    return bytes(message.SerializeToString())


def als_message(
    *, http: Sequence[bytes] = (), tcp: Sequence[bytes] = (), claims: bytes | None = None
) -> bytes:
    """A message of records, written by hand so that they need not be valid ones."""
    parts = [] if claims is None else [length_delimited(1, claims)]
    for number, found in ((2, http), (3, tcp)):
        if found:
            parts.append(
                length_delimited(number, b"".join(length_delimited(1, item) for item in found))
            )
    return b"".join(parts)


def length_delimited(field_number: int, data: bytes) -> bytes:
    """A protobuf field of wire type 2."""
    return varint(field_number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])
