"""Access log records for tests, made with the published protobuf types; none is recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from envoy.data.accesslog.v3 import accesslog_pb2
from google.protobuf import json_format

from meshtrail.model.entry import EntryFlags, EntryHeader, EntryType, PayloadFormat
from meshtrail.sources.derive import derive_events
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex, UnixNanos

if TYPE_CHECKING:
    from collections.abc import Callable

FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
REQUEST_ID = "3b827cf3-0783-459b-9a73-25381ac6f687"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STREAM = 77


def certificate(*uris: str) -> dict[str, Any]:
    return {"subjectAltName": [{"uri": uri} for uri in uris]}


def address(ip: str, port: int) -> dict[str, Any]:
    return {"socketAddress": {"address": ip, "portValue": port}}


def rbac(filter_name: str = "envoy.filters.http.rbac", **fields: str) -> dict[str, Any]:
    return {"filterMetadata": {filter_name: fields}}


def inbound(**common: Any) -> dict[str, Any]:
    """An HTTP record as the destination's sidecar writes it; arguments are common properties."""
    return {
        "protocolVersion": "HTTP11",
        "request": {
            "requestMethod": "GET",
            "scheme": "http",
            "authority": "payments:8080",
            "path": "/api/pay?x=1&y=?",
            "userAgent": "curl/8",
            "requestId": REQUEST_ID,
            "requestBodyBytes": "12",
            "requestHeaders": {"traceparent": TRACEPARENT},
        },
        "response": {
            "responseCode": 200,
            "responseBodyBytes": "3",
            "responseCodeDetails": "via_upstream",
        },
        "commonProperties": {
            "downstreamLocalAddress": address("10.0.0.7", 8080),
            "downstreamDirectRemoteAddress": address("10.0.0.5", 40001),
            "downstreamRemoteAddress": address("203.0.113.9", 0),
            "upstreamCluster": "inbound|8080||",
            "tlsProperties": {
                "tlsVersion": "TLSv1_3",
                "tlsCipherSuite": 4865,
                "tlsSniHostname": "payments.shop",
                "peerCertificateProperties": certificate(FRONTEND),
                "localCertificateProperties": certificate(PAYMENTS),
            },
            "startTime": "2026-11-21T01:31:24.882174Z",
            "duration": "0.000446694s",
            "timeToLastRxByte": "0.000085245s",
            "timeToFirstDownstreamTxByte": "0.000292867s",
            "metadata": rbac(
                enforced_engine_result="allowed",
                enforced_effective_policy_id="ns[shop]-policy[payments-allow]-rule[0]",
            ),
            "downstreamWireBytesSent": "119",
            "downstreamWireBytesReceived": "276",
            "accessLogType": "DownstreamEnd",
            **common,
        },
    }


def outbound(**common: Any) -> dict[str, Any]:
    """The same request as the source's sidecar writes it."""
    record = inbound(
        upstreamCluster="outbound|8080||payments.shop",
        upstreamRemoteAddress=address("10.0.0.7", 8080),
        upstreamLocalAddress=address("10.0.0.5", 40001),
        downstreamLocalAddress=address("10.0.0.7", 80),
        downstreamDirectRemoteAddress=address("10.0.0.5", 51000),
        upstreamRequestAttemptCount=1,
    )
    for absent in ("tlsProperties", "metadata"):
        del record["commonProperties"][absent]
    record["commonProperties"].update(common)
    return record


def tcp(**common: Any) -> dict[str, Any]:
    """A TCP record as the destination's sidecar writes it."""
    record = inbound(**common)
    return {
        "commonProperties": record["commonProperties"],
        "connectionProperties": {"receivedBytes": "900", "sentBytes": "4"},
    }


def http_bytes(record: dict[str, Any]) -> bytes:
    message = json_format.ParseDict(record, accesslog_pb2.HTTPAccessLogEntry())
    data: bytes = message.SerializeToString()
    return data


def tcp_bytes(record: dict[str, Any]) -> bytes:
    message = json_format.ParseDict(record, accesslog_pb2.TCPAccessLogEntry())
    data: bytes = message.SerializeToString()
    return data


def entry(
    payload: bytes,
    payload_format: PayloadFormat = PayloadFormat.ALS_HTTP,
    *,
    entry_type: EntryType = EntryType.RECORD,
    flags: EntryFlags = EntryFlags(0),
    stream: int = STREAM,
    seq: int = 1,
) -> bytes:
    header = EntryHeader(
        entry_type=entry_type,
        payload_format=payload_format,
        flags=flags,
        received_ns=UnixNanos(1_795_224_685_000_000_000),
        stream=stream,
        seq=seq,
    )
    return header.encode() + payload


def opened(spiffe_id: str | None = PAYMENTS, *, auth: str = "mtls", stream: int = STREAM) -> bytes:
    """A stream-opened entry of a sender that was authenticated as ``spiffe_id``."""
    payload = {
        "auth": auth,
        "authenticated": {"spiffe_id": spiffe_id, "certificate_sha256": None},
        "claimed": {"node_id": "sidecar~10.0.0.7", "node_cluster": "payments", "log_name": "in"},
    }
    return entry(
        json.dumps(payload, sort_keys=True).encode(),
        PayloadFormat.MESHTRAIL_JSON,
        entry_type=EntryType.STREAM_OPENED,
        stream=stream,
        seq=0,
    )


def closed(*, stream: int = STREAM, seq: int = 9) -> bytes:
    return entry(
        b"{}",
        PayloadFormat.MESHTRAIL_JSON,
        entry_type=EntryType.STREAM_CLOSED,
        stream=stream,
        seq=seq,
    )


def no_blob(sha256: bytes) -> bytes:
    raise AssertionError(f"blob {sha256.hex()} was asked for")


def derive_both(
    *entries: bytes, read_blob: Callable[[bytes], bytes] | None = None
) -> list[dict[str, Any]]:
    """The events of entries, nulls and all, which both mappers must say alike."""
    column = pa.array(entries, pa.binary())
    got, wanted = (
        derive_rows(
            column,
            log="o",
            start=LeafIndex(5),
            streams=Streams(),
            read_blob=read_blob or no_blob,
        ).to_pylist()
        for derive_rows in (derive_events, derive_reference)
    )
    for row, want in zip(got, wanted, strict=True):
        assert row == want
    return list(got)


def derive(
    *entries: bytes,
    streams: Streams | None = None,
    read_blob: Callable[[bytes], bytes] = no_blob,
    start: int = 0,
) -> list[dict[str, Any]]:
    """The events of entries, without their nulls."""
    table = derive_events(
        pa.array(entries, pa.binary()),
        log="mesh/c/12345678",
        start=LeafIndex(start),
        streams=Streams() if streams is None else streams,
        read_blob=read_blob,
    )
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in table.to_pylist()
    ]
