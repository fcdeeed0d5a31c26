from __future__ import annotations

from typing import Any

import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.json_columns import NOT_AN_OBJECT, NOT_JSON
from meshtrail.sources.lines.container_prefix import PART_OF_A_LINE
from meshtrail.sources.lines.istio_access import KEYS, NO_ACCESS_LOG, TRANSPORT_FAILURE
from tests.als_records import derive, derive_both, entry, opened
from tests.istio_lines import (
    CONNECTION,
    DENIED,
    INBOUND,
    REQUEST_ID,
    SERVICE,
    WAYPOINT,
    json_line,
)

RUNTIME = b"2026-11-21T01:31:25.000000001Z stdout "
OUTBOUND = INBOUND | {"upstream_cluster": f"outbound|8080||{SERVICE}"}
START_NS = 1_795_224_684_882_000_000
REFUSED = {"kind": "undecoded"}


def event(told: dict[str, Any] | bytes) -> dict[str, Any]:
    """The event of a line from a sender that was authenticated as a workload."""
    line = told if isinstance(told, bytes) else json_line(told)
    entries = opened(), entry(line, PayloadFormat.ISTIO_JSON)
    derive_both(*entries)
    return derive(*entries)[1]


def test_every_field_of_a_request_is_where_it_belongs() -> None:
    row = event(INBOUND)
    assert {name: row[name] for name in row if not name.startswith(("log", "rep", "rec"))} == {
        "kind": "request",
        "time": START_NS,
        "time_quality": "unknown",
        "end_time": START_NS + 3_000_000,
        "duration": 3_000_000,
        "source": "istio-json",
        "payload_format": "istio-json",
        "stream": row["stream"],
        "seq": 1,
        "mapper_version": row["mapper_version"],
        "is_duplicate": False,
        "side": "destination",
        "src_ip": "10.0.0.5",
        "src_port": 51_000,
        "dst_ip": "10.0.0.7",
        "dst_port": 8080,
        "dst_service": SERVICE,
        "dst_workload_trust": "asserted",
        "http_request_method": "POST",
        "url_path": "/charge",
        "url_query": "card=1",
        "server_address": "payments:8080",
        "user_agent_original": "curl/8.5",
        "http_response_status_code": 403,
        "http_request_body_size": 12,
        "http_response_body_size": 19,
        "network_protocol_version": "1.1",
        "envoy_response_code_details": DENIED,
        "envoy_upstream_cluster": "inbound|8080||",
        "envoy_route_name": "default",
        "envoy_upstream_local_ip": "127.0.0.6",
        "envoy_upstream_local_port": 40_001,
        "tls_server_name": f"outbound_.8080_._.{SERVICE}",
        "decision": "denied",
        "decision_trust": "reported",
        "decision_reason": "rbac",
        "policy_name": "deny-all",
        "policy_namespace": "shop",
        "policy_rule": "0",
        "request_id": bytes.fromhex(REQUEST_ID.replace("-", "")),
        "request_id_trust": "asserted",
    }


def test_nothing_is_said_by_whoever_sent_the_line() -> None:
    # On the stream of a shipper with a certificate, neither end is the shipper.
    row = event(OUTBOUND)
    assert not {"src_spiffe_id", "dst_spiffe_id", "reporter_conflict"} & row.keys()
    assert (row["side"], row["decision_trust"]) == ("source", "reported")


def test_numbers_may_be_texts_and_absence_has_four_spellings() -> None:
    texts = {key: str(value) if isinstance(value, int) else value for key, value in INBOUND.items()}
    absent = {key: value for key, value in texts.items() if value not in (None, "-")}
    rows = [event(one) for one in (texts, absent, {**texts, "x_forwarded_for": "-"})]
    assert rows == [event(INBOUND)] * 3
    assert event({**texts, "x_forwarded_for": ""}) == rows[0]


def test_a_connection_has_bytes_and_its_own_details() -> None:
    row = event(CONNECTION)
    assert (row["kind"], row["side"], row["decision"]) == ("connection", "source", "denied")
    assert (row["bytes_received"], row["bytes_sent"]) == (900, 4)
    assert (row["dst_service"], row["dst_workload_trust"]) == (SERVICE, "reported")
    assert (row["dst_ip"], row["dst_port"]) == ("10.0.0.7", 3306)
    assert not {"http_response_status_code", "http_request_body_size"} & row.keys()


def test_a_failed_handshake_shows_where_its_reason_was_added() -> None:
    reason = "TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
    silent = CONNECTION | {"bytes_received": 0, TRANSPORT_FAILURE: reason}
    row = event(silent)
    assert (row["kind"], row["tls_failure"]) == ("handshake", "verification_failed")
    assert event(CONNECTION | {"bytes_received": 0})["kind"] == "connection"


def test_a_waypoint_reports_for_the_service_behind_it() -> None:
    row = event(WAYPOINT)
    assert (row["side"], row["src_ip"]) == ("destination", "10.0.0.5")
    assert (row["dst_ip"], row["dst_port"], row["dst_service"]) == ("10.0.0.7", 8080, SERVICE)
    unreached = event(WAYPOINT | {"upstream_host": None})
    assert (unreached["dst_ip"], unreached["dst_port"]) == ("10.96.0.9", 8080)


def test_an_address_from_a_header_is_nobodys() -> None:
    row = event(INBOUND | {"downstream_remote_address": "203.0.113.9:0"})
    assert not {"src_ip", "src_port"} & row.keys()


def test_what_passes_through_is_unknown_not_allowed() -> None:
    told = INBOUND | {"response_code": 200, "response_code_details": "via_upstream"}
    row = event(told | {"upstream_cluster": "PassthroughCluster"})
    assert (row["side"], row["decision"]) == ("source", "unknown")
    assert not {"decision_trust", "dst_service"} & row.keys()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"2026-11-21T01:31:25.000001Z\tinfo\txdsproxy\tconnected", NOT_JSON),
        (b'{"level":"info","time":"2026-11-21T01:31:25Z","msg":"ready"}', NO_ACCESS_LOG),
        (b'["start_time"]', NOT_AN_OBJECT),
        (b"", NOT_JSON),
        (RUNTIME + b'P {"start_time":"2026', PART_OF_A_LINE),
    ],
)
def test_a_line_of_anything_else_says_why_it_is_none(line: bytes, reason: str) -> None:
    row = event(line)
    assert (row["kind"], row["decode_error"]) == ("undecoded", reason)
    assert "time" not in row


def test_a_value_that_cannot_be_read_is_missing_and_said_so() -> None:
    row = event(INBOUND | {"start_time": "today", "duration": "1.5", "bytes_sent": -1})
    assert row["decode_error"] == (
        "start_time is not a time; duration is not a number; bytes_sent is not a number"
    )
    assert not {"time", "duration", "end_time", "http_response_body_size"} & row.keys()
    assert "duration" not in event(INBOUND | {"duration": 2**63 // 10**6 + 1})


def test_runtime_prefixes_and_bytes_that_are_no_text_hide_nothing() -> None:
    line = json_line(INBOUND)
    assert event(RUNTIME + b"F " + line + b"\r") == event(line)
    row = event(line.replace(b"curl", b"cu\xff"))
    assert (row["kind"], row["user_agent_original"]) == ("request", "cu!/8.5")


def test_the_keys_are_those_of_istio() -> None:
    assert len(KEYS) == 24
