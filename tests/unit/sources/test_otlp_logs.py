from __future__ import annotations

from typing import Any

import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import ACCESS_LOG_TYPE, ATTRIBUTES, Told
from tests.als_records import (
    FRONTEND,
    PAYMENTS,
    derive,
    derive_both,
    entry,
    http_bytes,
    inbound,
    opened,
    outbound,
)
from tests.otlp_records import connection, export, log_entry, log_record, request

OF_THE_ENTRY = {"source", "payload_format"}
REASON = (
    "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end"
)


def event(
    attributes: dict[str, Any], *, sender: bytes | None = None, **fields: Any
) -> dict[str, Any]:
    """The event of a log record on a stream that was authenticated as payments."""
    entries = opened() if sender is None else sender, log_entry(attributes, **fields)
    derive_both(*entries)
    return derive(*entries)[1]


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_THE_ENTRY}


@pytest.mark.parametrize("sender", [opened(), opened(FRONTEND), opened(None, auth="none")])
def test_request_becomes_the_event_of_its_record_of_the_access_log_service(sender: bytes) -> None:
    als = derive(sender, entry(http_bytes(inbound())))[1]
    otlp = event(request(), sender=sender)
    assert told(otlp) == told(als)
    assert (otlp["source"], otlp["payload_format"]) == ("otlp", "otlp-log")


@pytest.mark.parametrize("sender", [opened(FRONTEND), opened(None, auth="none")])
def test_request_at_its_source_becomes_the_same_event_too(sender: bytes) -> None:
    attributes = request(
        upstream_cluster="outbound|8080||payments.shop",
        upstream_host="10.0.0.7:8080",
        upstream_local_address="10.0.0.5",
        upstream_local_port="40001",
        attempt_count="1",
        **{f"tls_{name}": "-" for name in ("version", "cipher", "server_name")},
        **{"peer_uri_san": "-", "local_uri_san": "-", "rbac.http": "-"},
    )
    attributes |= {"network.peer.port": "51000", "network.local.port": "80"}
    als = derive(sender, entry(http_bytes(outbound())))[1]
    assert told(event(attributes, sender=sender)) == told(als)


def test_connection_has_its_bytes_and_nothing_of_a_request() -> None:
    row = event({**connection(), "url.scheme": "http", "envoy.wire_bytes_received": "7"})
    assert (row["kind"], row["bytes_received"], row["bytes_sent"]) == ("connection", 900, 4)
    of_requests = {name for one in ATTRIBUTES if one.told is Told.REQUEST for name in one.fills} - {
        name for one in ATTRIBUTES if Told.CONNECTION in one.told for name in one.fills
    }
    assert not of_requests & row.keys()
    assert "http_request_body_size" not in row


def test_handshake_that_failed_is_one_and_its_caller_only_asserted() -> None:
    silent = {"bytes_received": "0", "bytes_sent": "0"}
    row = event(connection(downstream_transport_failure=REASON, access_log_type="NotSet", **silent))
    assert row["kind"] == "handshake"
    assert row["envoy_downstream_transport_failure"] == REASON
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "asserted")
    assert "envoy_access_log_type" not in row


def test_log_record_of_an_application_tells_its_time_and_trace_and_nothing_else() -> None:
    said = {key: value for key, value in request().items() if key != ACCESS_LOG_TYPE}
    trace = {"trace_id": b"t" * 16, "span_id": b"s" * 8}
    row = event(said, severity_text="ERROR", **trace)
    bare = derive(opened(), entry(b"", PayloadFormat.OTLP_LOG))[1]
    assert {name: row[name] for name in row.keys() - bare.keys()} == {
        "time": 1_795_224_684_882_174_000,
        "time_quality": "unknown",
        "trace_id_trust": "asserted",
        **trace,
    }
    assert row["kind"] == "log_record"


def test_log_line_of_istio_is_not_read() -> None:
    line = '[2026-11-21T01:31:24.882Z] "GET /" 200 - via_upstream - "-" 0 3 1 - "-" "a" "b" "c"'
    body = {"string_value": line}
    row = event({}, body=body)
    assert row["kind"] == "log_record"
    assert not {"url_path", "http_response_status_code", "decision"} & row.keys()


def test_trace_of_headers_counts_before_that_of_the_log_record() -> None:
    trace = {"trace_id": b"t" * 16, "span_id": b"s" * 8}
    assert event(request(), **trace)["trace_id"].hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    untraced = {**request(), "http.request.header.traceparent": "-"}
    row = event(untraced, **trace)
    assert (row["trace_id"], row["span_id"], row["trace_id_trust"]) == (
        b"t" * 16,
        b"s" * 8,
        "asserted",
    )
    assert "span_id" not in event(untraced, trace_id=b"t" * 16)
    # A span is of the trace that it stands beside, and of no other.
    row = event(untraced | {"http.request.header.x-b3-traceid": "a" * 16}, **trace)
    assert row["trace_id"].hex() == "0" * 16 + "a" * 16
    assert "span_id" not in row
    assert "trace_id" not in event(untraced, trace_id=bytes(16), span_id=b"s" * 8)


def test_header_of_any_bytes_costs_nothing_but_itself() -> None:
    row = event({**request(), "user_agent.original": b"x\xff", "http.request.header.b3": b"\xff"})
    assert told(row) == told(event(request())) | {"user_agent_original": "x!"}


@pytest.mark.parametrize("rbac", ["{", "[]", "null", '{"a":"\\ud800"}', "[" * 2_000])
def test_decision_that_cannot_be_read_leaves_nothing_of_the_row(rbac: str) -> None:
    row = event(request(**{"rbac.http": rbac}))
    assert row["kind"] == "undecoded"
    assert row["decode_error"] == "metadata of an RBAC filter: not a JSON object"
    assert "src_spiffe_id" not in row


def test_denial_by_details_needs_no_metadata() -> None:
    details = "rbac_access_denied_matched_policy[none]"
    for attributes in (
        request(response_code_details=details, **{"rbac.http": "-"}),
        connection(connection_termination_details=details),
    ):
        row = event(attributes)
        assert (row["decision"], row["decision_reason"]) == ("denied", "rbac")
    network = event(connection(**{"rbac.network": '{"enforced_engine_result":"denied"}'}))
    assert network["decision"] == "denied"


def test_several_uri_sans_are_no_identity() -> None:
    row = event(request(peer_uri_san=f"{FRONTEND},{PAYMENTS}"))
    assert "src_spiffe_id" not in row
    assert row["decode_error"] == "peer certificate with several URI SANs"


def test_numbers_and_times_that_are_none_are_told() -> None:
    row = event(
        {**request(duration="soon", connection_id="x"), "http.response.status_code": "OK"},
        time_ns=2**63,
    )
    assert row["decode_error"].split("; ") == [
        "time_unix_nano is not a time",
        "envoy.duration is not a time",
        "http.response.status_code is not a number",
        "envoy.connection_id is not a number",
    ]
    assert not {"time", "duration", "http_response_status_code"} & row.keys()
    assert "time" not in event(request(), time_ns=0)


@pytest.mark.parametrize(
    ("version", "cipher", "wanted"),
    [
        ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "1.2"),
        ("TLSv1.2", "TLS_AES_128_GCM_SHA256", "1.3"),
        ("TLSv1.2", "-", None),
        ("-", "-", None),
    ],
)
def test_tls_version_is_the_one_that_was_agreed_on(
    version: str, cipher: str, wanted: str | None
) -> None:
    row = event(request(tls_version=version, tls_cipher=cipher))
    assert row.get("tls_protocol_version") == wanted


def test_request_without_a_byte_on_the_wire_has_still_a_caller() -> None:
    row = event(request(wire_bytes_received="0", bytes_received="0"))
    assert (row["kind"], row["src_spiffe_id_trust"]) == ("request", "attested")
    silent = event(connection(bytes_received="0"))
    assert (silent["kind"], silent["src_spiffe_id_trust"]) == ("connection", "asserted")


def test_failure_of_a_request_is_that_of_its_upstream() -> None:
    failures = {"upstream_transport_failure": REASON, "downstream_transport_failure": "TLS_error:"}
    assert event(request(**failures))["tls_failure"] == "verification_failed"
    assert "tls_failure" not in event(request(downstream_transport_failure=REASON))
    assert event(connection(**failures))["tls_failure"] == "other"


def test_certificate_and_connection_are_told() -> None:
    row = event(request(peer_certificate_sha256="ab" * 32, connection_id="7"))
    assert (row["tls_client_hash_sha256"], row["envoy_connection_id"]) == (b"\xab" * 32, 7)
    assert "tls_client_hash_sha256" not in event(request(peer_certificate_sha256="AB" * 32))


def test_address_of_a_pipe_is_none() -> None:
    row = event({**request(), "network.peer.address": "/run/a.sock", "network.peer.port": "-"})
    assert not {"src_ip", "src_port"} & row.keys()


def test_bytes_that_are_no_export_are_undecoded() -> None:
    for payload, reason in (
        (b"\xff", "not a protobuf message"),
        (export(), "not one log record"),
        (export(log_record({}), log_record({})), "not one log record"),
    ):
        entries = (entry(payload, PayloadFormat.OTLP_LOG), log_entry(request(), seq=2))
        derive_both(*entries)
        bad, good = derive(*entries)
        assert (bad["kind"], bad["decode_error"]) == ("undecoded", reason)
        assert good["kind"] == "request"
