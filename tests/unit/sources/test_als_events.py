from __future__ import annotations

from typing import Any

import pytest

from meshtrail.model.entry import PayloadFormat
from tests.als_records import (
    FRONTEND,
    PAYMENTS,
    REQUEST_ID,
    certificate,
    derive,
    derive_both,
    entry,
    http_bytes,
    inbound,
    opened,
    outbound,
    tcp,
    tcp_bytes,
)

SECOND = 1_000_000_000
START_NS = 1_795_224_684_882_174_000


def event(record: dict[str, Any], *, sender: bytes | None = None) -> dict[str, Any]:
    """The event of an HTTP record on a stream that was authenticated as payments."""
    return derive(opened() if sender is None else sender, entry(http_bytes(record)))[1]


def tcp_event(record: dict[str, Any]) -> dict[str, Any]:
    return derive(opened(), entry(tcp_bytes(record), PayloadFormat.ALS_TCP))[1]


def silent(record: dict[str, Any]) -> dict[str, Any]:
    """A TCP record of a connection on which no byte went either way."""
    return {**record, "connectionProperties": {"receivedBytes": "0"}}


def test_an_inbound_request_becomes_its_columns() -> None:
    row = event(inbound())
    expected = {
        "kind": "request",
        "source": "envoy-als",
        "side": "destination",
        "time": START_NS,
        "end_time": START_NS + 446_694,
        "duration": 446_694,
        "request_duration": 85_245,
        "response_start_duration": 292_867,
        "src_spiffe_id": FRONTEND,
        "src_trust_domain": "cluster.local",
        "src_namespace": "shop",
        "src_service_account": "frontend",
        "dst_spiffe_id": PAYMENTS,
        "dst_service_account": "payments",
        "src_ip": "10.0.0.5",
        "src_port": 40001,
        "dst_ip": "10.0.0.7",
        "dst_port": 8080,
        "http_request_method": "GET",
        "url_path": "/api/pay",
        "url_query": "x=1&y=?",
        "server_address": "payments:8080",
        "http_response_status_code": 200,
        "http_request_body_size": 12,
        "network_protocol_version": "1.1",
        "tls_protocol_version": "1.3",
        "tls_cipher": "TLS_AES_128_GCM_SHA256",
        "tls_server_name": "payments.shop",
        "decision": "allowed",
        "policy_name": "payments-allow",
        "policy_namespace": "shop",
        "policy_rule": "0",
        "decision_reason": "rbac",
        "trace_id": bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736"),
        "span_id": bytes.fromhex("00f067aa0ba902b7"),
        "request_id": bytes.fromhex(REQUEST_ID.replace("-", "")),
        "envoy_access_log_type": "DownstreamEnd",
        "bytes_sent": 119,
        "bytes_received": 276,
    }
    assert {name: row.get(name) for name in expected} == expected
    assert "decode_error" not in row


def test_identities_are_attested_only_on_a_stream_authenticated_as_that_proxy() -> None:
    labels = ("src_spiffe_id_trust", "dst_spiffe_id_trust", "decision_trust")
    for sender, label in (
        (opened(PAYMENTS), "attested"),
        (opened(FRONTEND), "reported"),
        (opened(PAYMENTS, auth="none"), "reported"),
        (opened(None, auth="none"), "reported"),
    ):
        row = event(inbound(), sender=sender)
        assert [row[name] for name in labels] == [label] * 3


def test_ids_that_anyone_can_set_are_asserted() -> None:
    row = event(inbound())
    assert row["trace_id_trust"] == row["request_id_trust"] == "asserted"


def test_the_caller_at_the_source_is_derived_from_the_authenticated_stream() -> None:
    row = event(outbound(), sender=opened(FRONTEND))
    assert row["side"] == "source"
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "derived")
    assert "dst_spiffe_id" not in row
    assert (row["dst_ip"], row["dst_port"]) == ("10.0.0.7", 8080)
    assert (row["envoy_upstream_local_ip"], row["envoy_upstream_local_port"]) == ("10.0.0.5", 40001)
    unauthenticated = event(outbound(), sender=opened(None, auth="none"))
    assert "src_spiffe_id" not in unauthenticated
    assert "src_spiffe_id_trust" not in unauthenticated


def test_a_missing_decision_is_unknown_and_has_no_trust() -> None:
    row = event(outbound())
    assert row["decision"] == "unknown"
    assert "decision_trust" not in row


@pytest.mark.parametrize(
    ("details", "decision", "policy", "reason"),
    [
        ("rbac_access_denied_matched_policy[none]", "denied", None, "rbac"),
        ("rbac_access_denied_matched_policy[p 1]", "denied", "p 1", "rbac"),
        ("rbac_access_denied", "denied", None, "rbac"),
        ("ext_authz_denied", "denied", None, "ext_authz"),
        ("ext_authz_error", "error", None, "ext_authz"),
        ("jwt_authn_access_denied{Jwt_is_missing}", "denied", None, "jwt_authn: Jwt_is_missing"),
        ("via_upstream", "unknown", None, None),
        ("xrbac_access_denied", "unknown", None, None),
    ],
)
def test_refusals_are_read_from_the_details_string(
    details: str, decision: str, policy: str | None, reason: str | None
) -> None:
    record = inbound(metadata={})
    record["response"]["responseCodeDetails"] = details
    row = event(record)
    got = (row["decision"], row.get("policy_name"), row.get("decision_reason"))
    assert got == (decision, policy, reason)


def test_a_denial_from_either_source_wins_over_an_allowance() -> None:
    record = inbound()
    record["response"]["responseCodeDetails"] = "rbac_access_denied_matched_policy[none]"
    assert event(record)["decision"] == "denied"
    denied = {"filterMetadata": {"envoy.filters.http.rbac": {"enforced_engine_result": "denied"}}}
    assert event(inbound(metadata=denied))["decision"] == "denied"


def test_an_engine_result_of_another_word_or_another_filter_decides_nothing() -> None:
    for metadata in (
        {"filterMetadata": {"envoy.filters.http.rbac": {"enforced_engine_result": "maybe"}}},
        {"filterMetadata": {"my.rbac": {"enforced_engine_result": "allowed"}}},
    ):
        assert event(inbound(metadata=metadata))["decision"] == "unknown"


def test_shadow_results_are_dry_runs_and_never_the_decision() -> None:
    fields = {
        "istio_dry_run_allow_shadow_engine_result": "allowed",
        "istio_dry_run_deny_shadow_engine_result": "denied",
        "istio_dry_run_deny_shadow_effective_policy_id": "ns[a]-policy[b]-rule[1]",
    }
    row = event(inbound(metadata={"filterMetadata": {"envoy.filters.http.rbac": fields}}))
    assert row["decision"] == "unknown"
    assert row["dry_run_decision"] == "denied"
    assert row["dry_run_policy"] == "ns[a]-policy[b]-rule[1]"


def test_several_uri_sans_are_no_identity_and_say_so() -> None:
    tls = {
        "tlsVersion": "TLSv1_3",
        "peerCertificateProperties": certificate(FRONTEND, "spiffe://cluster.local/ns/x/sa/y"),
        "localCertificateProperties": certificate(PAYMENTS),
    }
    row = event(inbound(tlsProperties=tls))
    assert "src_spiffe_id" not in row
    assert row["dst_spiffe_id"] == PAYMENTS
    assert row["decode_error"] == "peer certificate with several URI SANs"


def test_a_uri_that_is_no_spiffe_id_is_shown_but_not_taken_apart() -> None:
    tls = {"tlsVersion": "TLSv1_3", "peerCertificateProperties": certificate("https://x/ns/a/sa/b")}
    row = event(inbound(tlsProperties=tls))
    assert row["src_spiffe_id"] == "https://x/ns/a/sa/b"
    assert "src_namespace" not in row


def test_a_path_without_a_query_has_none_and_an_empty_query_stays_empty() -> None:
    record = inbound()
    record["request"]["path"] = "/a"
    row = event(record)
    assert row["url_path"] == "/a"
    assert "url_query" not in row
    record["request"]["path"] = "/a?"
    assert event(record)["url_query"] == ""


def test_a_request_id_that_is_no_lower_case_uuid_stays_text() -> None:
    for value in ("abc", REQUEST_ID.upper(), REQUEST_ID.replace("-", "+"), "é" * 36):
        record = inbound()
        record["request"]["requestId"] = value
        row = event(record)
        assert row["request_id_text"] == value
        assert row["request_id_trust"] == "asserted"
        assert "request_id" not in row


@pytest.mark.parametrize(
    ("headers", "trace", "span"),
    [
        ({"traceparent": "00-" + "0" * 32 + "-00f067aa0ba902b7-01"}, None, None),
        ({"traceparent": "ff-" + "a" * 32 + "-00f067aa0ba902b7-01"}, None, None),
        ({"traceparent": "00-" + "A" * 32 + "-00f067aa0ba902b7-01"}, None, None),
        ({"b3": "b" * 32 + "-" + "c" * 16 + "-1"}, "b" * 32, "c" * 16),
        ({"b3": "b" * 16 + "-" + "c" * 16}, "0" * 16 + "b" * 16, "c" * 16),
        ({"b3": "b" * 16 + "-" + "c" * 17}, None, None),
        ({"b3": "b" * 32 + "-" + "c" * 16 + "\n"}, None, None),
        ({"x-b3-traceid": "D" * 32, "x-b3-spanid": "e" * 16}, "d" * 32, "e" * 16),
        ({"x-b3-traceid": "d" * 16}, "0" * 16 + "d" * 16, None),
        ({"traceparent": "junk", "x-b3-traceid": "d" * 32}, "d" * 32, None),
        ({}, None, None),
    ],
)
def test_trace_ids_come_from_the_first_valid_header(
    headers: dict[str, str], trace: str | None, span: str | None
) -> None:
    record = inbound()
    record["request"]["requestHeaders"] = headers
    row = event(record)
    assert row.get("trace_id", b"").hex() == (trace or "")
    assert row.get("span_id", b"").hex() == (span or "")
    assert row.get("trace_id_trust") == ("asserted" if trace else None)


@pytest.mark.parametrize(
    ("common", "missing", "reason"),
    [
        ({"startTime": "1500-01-01T00:00:00Z"}, "time", "start_time is not a time"),
        ({"startTime": "2300-01-01T00:00:00Z"}, "time", "start_time is not a time"),
        ({"duration": "-1s"}, "duration", "duration is not a time"),
        ({"duration": "300000000000s"}, "duration", "duration is not a time"),
    ],
)
def test_an_impossible_time_is_null_with_its_reason(
    common: dict[str, Any], missing: str, reason: str
) -> None:
    row = event(inbound(**common))
    assert missing not in row
    assert "end_time" not in row
    assert row["decode_error"] == reason


def test_times_before_1970_and_far_in_the_future_are_kept_as_they_are() -> None:
    assert event(inbound(startTime="1969-12-31T23:59:59.5Z"))["time"] == -SECOND // 2
    assert event(inbound(startTime="2262-01-01T00:00:00Z"))["time"] == 9_214_646_400 * SECOND


def test_an_end_that_leaves_64_bits_is_null_with_its_reason() -> None:
    row = event(inbound(startTime="2262-01-01T00:00:00Z", duration="9000000000s"))
    assert "end_time" not in row
    assert row["decode_error"] == "end of the happening does not fit"


def test_grpc_calls_show_method_and_status() -> None:
    record = inbound()
    record["request"]["requestHeaders"] = {"content-type": "application/grpc+proto"}
    record["request"]["path"] = "/shop.Cart/Add"
    record["response"]["responseTrailers"] = {"grpc-status": "7"}
    row = event(record)
    assert (row["rpc_method"], row["rpc_grpc_status_code"]) == ("shop.Cart/Add", 7)
    record["response"]["responseTrailers"] = {"grpc-status": "seven"}
    assert "rpc_grpc_status_code" not in event(record)


def test_response_flags_show_envoys_short_codes() -> None:
    flags = {
        "upstreamConnectionFailure": True,
        "unauthorizedDetails": {"reason": "EXTERNAL_SERVICE"},
    }
    assert event(inbound(responseFlags=flags))["envoy_response_flags"] == "UF,UAEX"


def test_no_response_is_a_null_status_and_not_zero() -> None:
    record = inbound()
    record["response"]["responseCode"] = 0
    assert "http_response_status_code" not in event(record)


def test_the_address_that_a_header_claims_is_never_the_callers() -> None:
    assert event(inbound())["src_ip"] == "10.0.0.5"


def test_a_connection_shows_its_bytes_and_network_rbac() -> None:
    row = tcp_event(
        tcp(
            metadata={
                "filterMetadata": {
                    "envoy.filters.network.rbac": {"enforced_engine_result": "denied"}
                }
            },
            connectionTerminationDetails="rbac_access_denied_matched_policy[none]",
        )
    )
    assert row["kind"] == "connection"
    assert (row["bytes_received"], row["bytes_sent"]) == (900, 4)
    assert (row["decision"], row["decision_trust"]) == ("denied", "attested")
    assert row["src_spiffe_id"] == FRONTEND


def test_a_failed_handshake_is_its_own_kind_with_its_reason() -> None:
    reason = "TLS_error:|268435648:SSL routines:x:PEER_DID_NOT_RETURN_A_CERTIFICATE:TLS_error_end"
    tls = {"tlsVersion": "TLSv1_2", "tlsCipherSuite": 65535}
    row = tcp_event(silent(tcp(downstreamTransportFailureReason=reason, tlsProperties=tls)))
    assert row["kind"] == "handshake"
    assert row["envoy_downstream_transport_failure"] == reason
    assert row["tls_failure"] == "no_peer_certificate"
    assert "tls_cipher" not in row
    assert "tls_protocol_version" not in row
    assert "src_spiffe_id" not in row


def test_the_name_in_a_certificate_that_was_refused_is_only_asserted() -> None:
    row = tcp_event(silent(tcp(downstreamTransportFailureReason="CERTIFICATE_VERIFY_FAILED")))
    assert row["kind"] == "handshake"
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "asserted")
    assert row["dst_spiffe_id_trust"] == "attested"


def test_sides_follow_the_cluster_then_the_certificate_then_the_upstream() -> None:
    no_tls: dict[str, Any] = {"tlsProperties": {}}
    assert event(inbound(upstreamCluster="anything"))["side"] == "destination"
    assert event(inbound(upstreamCluster="anything", **no_tls))["side"] == "source"
    assert event(inbound(upstreamCluster="inbound|80||", **no_tls))["side"] == "destination"
    assert "side" not in event(inbound(upstreamCluster="", **no_tls))


def test_stream_id_of_any_bytes_hides_nothing_of_its_record() -> None:
    # Envoy copies x-request-id there as it came.
    payload = http_bytes({**inbound(streamId="@@"), "request": {"requestMethod": "GET"}})
    assert payload.count(b"@@") == 1
    row = derive_both(opened(), entry(payload.replace(b"@@", b"\xff7")))[1]
    assert (row["kind"], row["request_id_text"], row["src_spiffe_id"]) == (
        "request",
        "!7",
        FRONTEND,
    )
