"""The columnar mapper against the row-wise reference, on records that both must read alike."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.users import JWT_FILTER, USER_HEADERS
from meshtrail.sources.derive import derive_events
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex
from tests.als_records import (
    closed,
    derive_both,
    entry,
    http_bytes,
    inbound,
    no_blob,
    opened,
    outbound,
    tcp,
    tcp_bytes,
)


def test_reference_agrees_on_the_records_of_a_mesh() -> None:
    derive_both(
        opened(),
        entry(http_bytes(inbound())),
        entry(http_bytes(outbound()), seq=2),
        entry(tcp_bytes(tcp()), PayloadFormat.ALS_TCP, seq=3),
        entry(b"", seq=4),
        entry(b"", PayloadFormat.ALS_TCP, seq=5),
        entry(b"\xff", seq=6),
        entry(b"\x00", PayloadFormat.ALS_FRAME, seq=7),
        closed(seq=8),
    )


_WORDS = st.sampled_from(
    ["", "allowed", "denied", "none", "inbound|80||", "outbound|80||x", "application/grpc", "7"]
)
_TEXT = _WORDS | st.text(max_size=12)
_URI = st.sampled_from(
    [
        "",
        "spiffe://cluster.local/ns/shop/sa/payments",
        "spiffe://a/b",
        "spiffe://a/../b",
        "http://x",
    ]
)
_PERIOD = st.tuples(
    st.integers(-(2**63), 2**63 - 1) | st.integers(-10, 2_000_000_000),
    st.integers(-(2**31), 2**31 - 1) | st.integers(0, 999_999_999),
)
_HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "traceparent",
            "b3",
            "x-b3-traceid",
            "x-b3-spanid",
            "content-type",
            "grpc-status",
            *USER_HEADERS,
            "authorization",
        ]
    ),
    _TEXT
    | st.from_regex(r"(00|ff)-[0-9a-fA0]{32}-[0-9a-f0]{16}-01", fullmatch=True)
    | st.from_regex(r"[0-9a-f0]{16}([0-9a-f0]{16})?(-[0-9a-f0]{16}(-1)?)?", fullmatch=True),
)
_RBAC = st.dictionaries(
    st.sampled_from(["envoy.filters.http.rbac", "envoy.filters.network.rbac", "other"]),
    st.dictionaries(
        st.sampled_from(
            [
                "enforced_engine_result",
                "p_enforced_engine_result",
                "enforced_effective_policy_id",
                "shadow_engine_result",
                "a_shadow_engine_result",
                "shadow_effective_policy_id",
            ]
        ),
        _TEXT,
    ),
)
_CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "iss", "aud"]),
    _TEXT | st.sampled_from([7, None, "alice", "bob"]) | st.lists(_TEXT, max_size=2),
)
_PAYLOADS = st.dictionaries(_TEXT, _CLAIMS | _TEXT, max_size=3)
_REASONS = st.sampled_from(
    [
        "",
        "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED",
        "TLS_error|error:1000009c:SSL routines:OPENSSL_internal:HTTP_REQUEST:TLS_error_end",
        "delayed connect error: Connection refused",
    ]
)
_TAGS = st.dictionaries(
    st.sampled_from(["connection_id", "peer_certificate_sha256", "upstream_peer_uri_san", "x"]),
    st.sampled_from(["0", "7", "9" * 18, "9" * 19, "ab" * 32, "AB" * 32, "spiffe://a/b,c"])
    | _URI
    | _TEXT,
)


def _fill_common(draw: st.DrawFn, common: accesslog_pb2.AccessLogCommon) -> None:
    """What requests and connections have in common."""
    for name in ("start_time", "duration", "time_to_last_rx_byte"):
        if draw(st.booleans()):
            period = getattr(common, name)
            period.seconds, period.nanos = draw(_PERIOD)
    for certificate in ("peer_certificate_properties", "local_certificate_properties"):
        for uri in draw(st.lists(_URI, max_size=3)):
            getattr(common.tls_properties, certificate).subject_alt_name.add(uri=uri)
    common.tls_properties.tls_version = draw(st.sampled_from([0, 3, 4]))
    if draw(st.booleans()):
        suite = draw(st.sampled_from([0, 0x1301, 0xC02B, 0xFFFF]))
        common.tls_properties.tls_cipher_suite.value = suite
    common.upstream_cluster = draw(_TEXT)
    common.stream_id = draw(_TEXT)
    common.connection_termination_details = draw(_TEXT)
    for name in ("downstream_direct_remote_address", "upstream_remote_address"):
        if draw(st.booleans()):
            socket = getattr(common, name).socket_address
            socket.address, socket.port_value = draw(_TEXT), draw(st.integers(0, 2**32 - 1))
    for key, fields in draw(_RBAC).items():
        common.metadata.filter_metadata[key].update(fields)
    if draw(st.booleans()):
        common.metadata.filter_metadata[JWT_FILTER].update(draw(_PAYLOADS))
    common.response_flags.no_route_found = draw(st.booleans())
    common.upstream_request_attempt_count = draw(st.integers(0, 2**32 - 1))
    common.downstream_transport_failure_reason = draw(_REASONS | _TEXT)
    common.upstream_transport_failure_reason = draw(_REASONS | _TEXT)
    common.access_log_type = draw(st.sampled_from([0, 1, 2, 3, 14]))
    common.custom_tags.update(draw(_TAGS))


@st.composite
def connections(draw: st.DrawFn) -> bytes:
    """Any TCP record, likewise."""
    record = accesslog_pb2.TCPAccessLogEntry()
    if draw(st.booleans()):
        _fill_common(draw, record.common_properties)
    if draw(st.booleans()):
        amounts = st.sampled_from([0, 1, 2**63, 2**64 - 1])
        record.connection_properties.received_bytes = draw(amounts)
        record.connection_properties.sent_bytes = draw(amounts)
    data: bytes = record.SerializeToString()
    return data


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Any HTTP record that Envoy's type can express in the fields that become columns."""
    record = accesslog_pb2.HTTPAccessLogEntry()
    _fill_common(draw, record.common_properties)
    request = record.request
    request.path = draw(st.sampled_from(["", "/", "/a?", "/a?b?c", "?", "/s/m"]) | _TEXT)
    request.request_id = draw(
        _TEXT | st.from_regex(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", fullmatch=True)
    )
    request.request_method = draw(st.sampled_from([0, 1, 9]))
    request.request_body_bytes = draw(st.integers(0, 2**64 - 1))
    request.request_headers.update(draw(_HEADERS))
    record.response.response_headers.update(draw(_HEADERS))
    record.response.response_code.value = draw(st.integers(0, 2**32 - 1))
    record.response.response_code_details = draw(
        st.sampled_from(["rbac_access_denied_matched_policy[none]", "ext_authz_error"]) | _TEXT
    )
    data: bytes = record.SerializeToString()
    return data


@settings(max_examples=50, deadline=None)
@given(payloads=st.lists(records(), min_size=1, max_size=6), is_opened=st.booleans())
def test_reference_agrees_on_any_record(*, payloads: list[bytes], is_opened: bool) -> None:
    entries = [entry(payload, seq=seq) for seq, payload in enumerate(payloads, 1)]
    derive_both(*([opened()] if is_opened else []), *entries)


@settings(max_examples=50, deadline=None)
@given(payloads=st.lists(connections(), min_size=1, max_size=6), is_opened=st.booleans())
def test_reference_agrees_on_any_connection(*, payloads: list[bytes], is_opened: bool) -> None:
    entries = [
        entry(payload, PayloadFormat.ALS_TCP, seq=seq) for seq, payload in enumerate(payloads, 1)
    ]
    derive_both(*([opened()] if is_opened else []), *entries)


@pytest.mark.parametrize("field", ["request_headers", "filter_metadata"])
def test_of_equal_map_keys_the_last_counts_in_both(field: str) -> None:
    record = accesslog_pb2.HTTPAccessLogEntry()
    first: dict[str, Any] = {"enforced_engine_result": "denied"}
    second: dict[str, Any] = {"enforced_engine_result": "allowed"}
    parts = []
    for value, fields in (("1" * 16, first), ("2" * 16, second)):
        part = accesslog_pb2.HTTPAccessLogEntry()
        if field == "request_headers":
            part.request.request_headers["x-b3-traceid"] = value
        else:
            part.common_properties.metadata.filter_metadata["envoy.filters.http.rbac"].update(
                fields
            )
        parts.append(part.SerializeToString())
    record.protocol_version = 2
    payload = b"".join(parts) + record.SerializeToString()
    derive_both(entry(payload))
    rows = derive_events(
        pa.array([entry(payload)], pa.binary()),
        log="o",
        start=LeafIndex(0),
        streams=Streams(),
        read_blob=no_blob,
    ).to_pylist()
    if field == "request_headers":
        assert rows[0]["trace_id"].hex() == "0" * 16 + "2" * 16
    else:
        assert rows[0]["decision"] == "allowed"


def test_json_of_a_stream_opening_is_read_alike_when_it_is_strange() -> None:
    for payload in (b"[]", b"{}", json.dumps({"claimed": [], "authenticated": 1}).encode()):
        strange = opened()[:32] + payload
        derive_both(strange, entry(http_bytes(inbound())))
