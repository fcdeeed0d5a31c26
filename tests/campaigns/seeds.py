"""Valid records and messages to start from: every shape that the tests know, and recorded ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from tests.als_records import (
    FRONTEND,
    PAYMENTS,
    REQUEST_ID,
    TRACEPARENT,
    certificate,
    http_bytes,
    inbound,
    outbound,
    rbac,
    tcp,
    tcp_bytes,
)

RECORDING: Final = Path(__file__).resolve().parents[2] / "bench" / "data" / "frames.bin"
_RECORDING_BYTES: Final = 2 << 20
_RECORDED_MAX: Final = 12


@cache
def http_seeds() -> tuple[bytes, ...]:
    """HTTP records of all shapes."""
    denied = inbound(metadata=rbac(enforced_engine_result="denied"))
    denied["response"] = {
        "responseCode": 403,
        "responseCodeDetails": "rbac_access_denied_matched_policy[none]",
    }
    shadow = rbac(
        istio_dry_run_allow_shadow_engine_result="allowed",
        istio_dry_run_deny_shadow_engine_result="denied",
        shadow_effective_policy_id="ns[a]-policy[b]-rule[1]",
    )
    tls: dict[str, Any] = {
        "tlsVersion": "TLSv1_2",
        "ja3Fingerprint": "e7d705a3286e19ea42f587b344ee6865",
        "peerCertificateProperties": {
            **certificate(FRONTEND, "https://x"),
            "subject": "CN=frontend",
            "issuer": "CN=ca",
        },
        "localCertificateProperties": certificate(PAYMENTS),
    }
    flags = {"upstreamConnectionFailure": True, "unauthorizedDetails": {"reason": 1}}
    grpc = inbound(routeName="r", responseFlags=flags, streamId=REQUEST_ID)
    grpc["request"] |= {
        "path": "/shop.Cart/Add",
        "forwardedFor": "1.2.3.4, 5.6.7.8",
        "requestHeaders": {
            "content-type": "application/grpc+proto",
            "traceparent": TRACEPARENT,
            "b3": "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "x-b3-traceid": "4bf92f3577b34da6",
            "x-b3-spanid": "00F067AA0BA902B7",
        },
    }
    grpc["response"] |= {
        "responseHeaders": {"content-type": "application/grpc", "grpc-status": "13"},
        "responseTrailers": {"grpc-status": "7"},
    }
    odd = outbound()
    odd["request"]["requestId"] = REQUEST_ID.upper()
    odd["request"]["requestHeaders"] = {
        "b3": "4BF92F3577B34DA6-00f067aa0ba902b7",
        "x-b3-traceid": "",
    }
    odd["response"] = {"responseTrailers": {"grpc-status": "\u0667"}, "responseCode": 599}
    made = [
        inbound(),
        outbound(),
        odd,
        outbound(upstreamTransportFailureReason="TLS_error", upstreamRequestAttemptCount=3),
        denied,
        inbound(metadata=shadow, tlsProperties=tls),
        grpc,
        {"commonProperties": {"downstreamLocalAddress": {"pipe": {"path": "/run/x"}}}},
        {"request": {"path": "/"}},
    ]
    return (*map(http_bytes, made), *_recorded("http_logs"))


@cache
def tcp_seeds() -> tuple[bytes, ...]:
    """TCP records of all shapes."""
    refused = tcp(
        metadata=rbac("envoy.filters.network.rbac", enforced_engine_result="denied"),
        connectionTerminationDetails="rbac_access_denied_matched_policy[none]",
    )
    handshake = tcp(downstreamTransportFailureReason="TLS_error", tlsProperties={})
    made = [tcp(), refused, handshake, tcp(upstreamCluster="", accessLogType="TcpPeriodic")]
    return (*map(tcp_bytes, made), *_recorded("tcp_logs"))


@cache
def message_seeds() -> tuple[bytes, ...]:
    """Access log messages: with and without identifier, of HTTP, TCP, both and neither."""
    made = []
    for http_count, tcp_count, has_identifier in (
        *((1, 0, True), (1, 0, False), (3, 0, False), (0, 1, True), (0, 3, False)),
        *((2, 2, True), (0, 0, True), (0, 0, False), (40, 0, False)),
    ):
        message = als_pb2.StreamAccessLogsMessage()
        if has_identifier:
            message.identifier.log_name = "in"
            message.identifier.node.id = "sidecar~10.0.0.7"
            message.identifier.node.cluster = "payments"
            message.identifier.node.metadata["NAME"] = "payments-1"
        for number in range(http_count):
            data = http_seeds()[number % len(http_seeds())]
            message.http_logs.log_entry.append(accesslog_pb2.HTTPAccessLogEntry.FromString(data))
        for number in range(tcp_count):
            data = tcp_seeds()[number % len(tcp_seeds())]
            message.tcp_logs.log_entry.append(accesslog_pb2.TCPAccessLogEntry.FromString(data))
        made.append(message.SerializeToString())
    return (*made, *_recorded_frames()[:20])


@cache
def _recorded_frames() -> tuple[bytes, ...]:
    """The first frames of a recording of real Envoys, where there is one."""
    from bench.harness.frames import FRAME_HEAD  # noqa: PLC0415 - numpy memory maps, only if needed

    if not RECORDING.exists():
        return ()
    with RECORDING.open("rb") as file:
        data = file.read(_RECORDING_BYTES)
    frames = []
    position = 0
    while position + FRAME_HEAD.size <= len(data):
        _, length = FRAME_HEAD.unpack_from(data, position)
        position += FRAME_HEAD.size + length
        if position <= len(data):
            frames.append(data[position - length : position])
    return tuple(frames)


def _recorded(kind: str) -> list[bytes]:
    found: list[bytes] = []
    for frame in _recorded_frames():
        message = als_pb2.StreamAccessLogsMessage.FromString(frame)
        found += [record.SerializeToString() for record in getattr(message, kind).log_entry]
    step = max(1, len(found) // _RECORDED_MAX)
    return found[::step]
