from __future__ import annotations

import json
from typing import Any

import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import ACCESS_LOG_TYPE
from meshtrail.sources.json_columns import NOT_JSON
from meshtrail.sources.lines.container_prefix import PART_OF_A_LINE
from meshtrail.sources.lines.envoy_json import NO_ACCESS_LOG
from tests.als_records import FRONTEND, PAYMENTS, derive, derive_both, entry, opened
from tests.otlp_records import connection, log_entry, request

TIME = "2026-11-21T01:31:24.882174000Z"
OF_THE_ENTRY = {"source", "payload_format"}
NOBODY = opened(None, auth="none")
TRACE = {"trace_id": "74" * 16, "span_id": "73" * 8}


def line(said: dict[str, Any]) -> bytes:
    """A line as Envoy writes it: numbers as such, and no key without a value."""
    written = {
        key: int(value) if isinstance(value, str) and value.isdigit() else value
        for key, value in {"time": TIME, **said}.items()
        if value not in ("-", None)
    }
    return json.dumps(written, separators=(",", ":")).encode()


def event(told: dict[str, Any] | bytes, *, sender: bytes = NOBODY) -> dict[str, Any]:
    payload = told if isinstance(told, bytes) else line(told)
    entries = sender, entry(payload, PayloadFormat.ENVOY_JSON)
    derive_both(*entries)
    return derive(*entries)[1]


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_THE_ENTRY}


@pytest.mark.parametrize("said", [request(), connection()])
def test_line_becomes_the_event_of_its_otlp_record(said: dict[str, Any]) -> None:
    otlp = derive(NOBODY, log_entry(said))[1]
    row = event(said)
    assert told(row) == told(otlp)
    assert (row["source"], row["payload_format"]) == ("envoy-json", "envoy-json")


def test_metadata_of_a_filter_may_be_an_object() -> None:
    said = request()
    inside = said | {"envoy.rbac.http": json.loads(said["envoy.rbac.http"])}
    assert event(inside) == event(said)
    assert event(inside)["decision"] == "allowed"
    denied = {"enforced_engine_result": "denied", "x": [1.0, None]}
    assert event(request() | {"envoy.rbac.http": denied})["decision"] == "denied"
    refused = event(request() | {"envoy.rbac.http": ["x"]})
    assert (refused["kind"], "decision" in refused) == ("undecoded", False)


@pytest.mark.parametrize("spiffe_id", [PAYMENTS, FRONTEND])
def test_nothing_is_said_by_whoever_sent_the_line(spiffe_id: str) -> None:
    row = event(request(), sender=opened(spiffe_id))
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "reported")
    assert (row["dst_spiffe_id_trust"], row["decision_trust"]) == ("reported", "reported")
    assert "reporter_conflict" not in row
    at_source = request(peer_uri_san="-", local_uri_san="-", tls_version="-")
    at_source["envoy.upstream_cluster"] = "outbound|80||x"
    assert "src_spiffe_id" not in event(at_source, sender=opened(spiffe_id))


def test_ids_of_envoys_own_count_where_no_header_has_any() -> None:
    untraced = request() | {"http.request.header.traceparent": "-"}
    row = event(untraced | TRACE)
    assert (row["trace_id"], row["span_id"], row["trace_id_trust"]) == (
        b"t" * 16,
        b"s" * 8,
        "asserted",
    )
    assert event(request() | TRACE)["trace_id"].hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    for wrong in ({"trace_id": "0" * 32}, {"trace_id": "74"}, {"trace_id": None}):
        assert not {"trace_id", "span_id"} & event(untraced | TRACE | wrong).keys()
    assert "span_id" not in event(untraced | TRACE | {"span_id": "0" * 16})


def test_connection_has_nothing_of_a_request() -> None:
    row = event(connection() | {"url.scheme": "http", "envoy.wire_bytes_received": 7})
    assert (row["kind"], row["bytes_received"]) == ("connection", 900)
    assert "url_scheme" not in row


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"[2026-11-21 01:31:24.882][1][warning] gone", NOT_JSON),
        (b'{"time":"2026-11-21T01:31:24Z","method":"GET"}', NO_ACCESS_LOG),
        (line({ACCESS_LOG_TYPE: "-"}), NO_ACCESS_LOG),
        (b"2026-11-21T01:31:24Z stdout P " + line(request()), PART_OF_A_LINE),
    ],
)
def test_a_line_of_anything_else_says_why_it_is_none(record: bytes, reason: str) -> None:
    row = event(record)
    assert (row["kind"], row["decode_error"]) == ("undecoded", reason)


def test_values_that_cannot_be_read_are_missing_and_said_so() -> None:
    row = event(request(duration="3") | {"time": "today", "network.peer.port": "x"})
    assert row["decode_error"] == (
        "time is not a time; envoy.duration is not a time; network.peer.port is not a number"
    )
    assert not {"time", "duration", "src_ip"} & row.keys()
    assert "time" not in event(request() | {"time": None})


def test_prefixes_of_runtimes_and_bytes_that_are_no_text_hide_nothing() -> None:
    plain = line(request())
    assert event(b"2026-11-21T01:31:24.9Z stderr F " + plain) == event(plain)
    row = event(plain.replace(b"curl/8", b"\xff"))
    assert (row["kind"], row["user_agent_original"]) == ("request", "!")
