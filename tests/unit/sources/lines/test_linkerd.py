from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.lines.linkerd import map_linkerd
from meshtrail.sources.lines.linkerd_reference import map_linkerd_line
from meshtrail.sources.lines.linkerd_values import NO_FIELDS, NO_TIME, NOT_A_LINE
from meshtrail.sources.streams import Reporters, StreamFacts
from tests.mesh_lines import (
    WEB,
    established,
    linkerd_access,
    linkerd_apache,
    linkerd_policy,
    linkerd_policy_json,
    linkerd_row,
    told,
)

ARRIVED_NS = 1_795_224_684_882_174_001
TAKEN = b"2026-11-21T01:31:25.5Z stderr F "
TAKEN_NS = 1_795_224_685_500_000_000
REQUEST = {
    "kind": "request",
    "time": ARRIVED_NS,
    "side": "destination",
    "network_transport": "tcp",
    "src_trust_domain": "cluster.local",
    "src_namespace": "shop",
    "src_service_account": "web",
    "src_ip": "10.0.0.5",
    "src_port": 40001,
    "http_request_method": "GET",
    "network_protocol_version": "2",
    "url_scheme": "http",
    "url_path": "/api/pay",
    "url_query": "x=1",
    "server_address": "payments:8080",
    "http_response_status_code": 200,
    "decision": "unknown",
}
CLIENT = {
    "src_trust_domain": "cluster.local",
    "src_namespace": "shop",
    "src_service_account": "web",
    "src_ip": "10.0.0.5",
}


def test_a_line_of_the_access_log_tells_of_one_request() -> None:
    assert linkerd_row(linkerd_access()) == REQUEST | {
        "src_workload_trust": "reported",
        "user_agent_original": "curl/8",
        "http_request_body_size": 12,
        "http_response_body_size": 19627,
        "response_start_duration": 14441135,
    }


def test_apaches_form_says_less_and_is_trusted_less() -> None:
    assert linkerd_row(linkerd_apache()) == REQUEST | {"src_workload_trust": "asserted"}
    row = linkerd_row(linkerd_apache(client="-", uri="/ping", status=""))
    assert (row["url_path"], row["src_ip"]) == ("/ping", "10.0.0.5")
    assert not {"src_namespace", "src_workload_trust", "http_response_status_code"} & row.keys()


def test_linkerds_name_is_no_spiffe_id_and_a_spiffe_id_is_one() -> None:
    assert "src_spiffe_id" not in linkerd_row(linkerd_access())
    row = linkerd_row(linkerd_access(**{"client.id": "spiffe://td/ns/shop/sa/web"}))
    assert row["src_spiffe_id"] == "spiffe://td/ns/shop/sa/web"
    assert (row["src_spiffe_id_trust"], row["src_namespace"]) == ("reported", "shop")
    assert "src_workload_trust" not in row
    row = linkerd_row(linkerd_access(**{"client.id": "example.com"}))
    assert row["decode_error"] == "name of the client is no identity"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("4bf92f3577b34da6a3ce929d0e0e4736", {"trace_id", "trace_id_trust"}),
        ("A3CE929D0E0E4736", {"trace_id", "trace_id_trust"}),
        ("3b827cf3-0783-459b-9a73-25381ac6f687", {"request_id", "request_id_trust"}),
        ("Root=1-5759e988-bd862e3fe1be46a994272793", {"request_id_text", "request_id_trust"}),
        ("0" * 32, set()),
        ("", set()),
    ],
)
def test_the_id_of_a_request_is_what_its_shape_says(text: str, ids: set[str]) -> None:
    row = linkerd_row(linkerd_access(trace_id=text))
    assert {name for name in row if name.startswith(("trace_id", "request_id"))} == ids


@pytest.mark.parametrize(
    ("uri", "host", "told_of_it"),
    [
        ("/x?y?z", "", ("/x", "y?z", None, None)),
        ("http://shop", "", (None, None, "http", "shop")),
        ("https://a:1/b", "c", ("/b", None, "https", "c")),
        ("bank:443", "", (None, None, None, "bank:443")),
        ("*", "", ("*", None, None, None)),
    ],
)
def test_a_uri_is_taken_apart(uri: str, host: str, told_of_it: tuple[str | None, ...]) -> None:
    row = linkerd_row(linkerd_access(uri=uri, host=host))
    names = ("url_path", "url_query", "url_scheme", "server_address")
    assert tuple(row.get(name) for name in names) == told_of_it


def test_no_path_can_keep_its_request_from_being_read() -> None:
    path = '/"{x}HTTP/1.1"'
    for line in (linkerd_apache(uri=path), linkerd_access(uri=path)):
        row = linkerd_row(line)
        assert (row["url_path"], row["http_response_status_code"]) == (path, 200)
    for line in (linkerd_apache(uri="/~"), linkerd_access(uri="/~")):
        assert linkerd_row(line.replace(b"~", b"\xff"))["url_path"] == "/!"


def test_a_denied_request_names_server_and_route_and_whom_it_was_of() -> None:
    denied = {
        "kind": "request",
        "time": TAKEN_NS,
        "side": "destination",
        "network_transport": "tcp",
        "decision": "denied",
        "decision_reason": "no authorization matched",
        "policy_name": "payments-http",
        "policy_kind": "server",
        "policy_rule": "default/probe",
    }
    text = linkerd_row(TAKEN + linkerd_policy(tls=established(WEB)))
    weak = {"decision_trust": "asserted", "src_workload_trust": "asserted", "dst_port": 8080}
    assert text == denied | CLIENT | weak
    json = linkerd_row(TAKEN + linkerd_policy_json())
    assert json == denied | CLIENT | dict.fromkeys(
        ("decision_trust", "src_workload_trust"), "reported"
    )


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Connection denied", "no authorization matched"),
        ("Connection terminated due to policy change", "policy change"),
    ],
)
def test_a_refused_connection_is_one(message: str, reason: str) -> None:
    row = linkerd_row(TAKEN + linkerd_policy(message, client="[fd00::7]:40001"))
    assert (row["kind"], row["decision"]) == ("connection", "denied")
    assert row["decision_reason"] == reason
    assert (row["src_ip"], row["src_port"]) == ("fd00::7", 40001)
    assert not {"src_namespace", "src_workload_trust", "policy_rule"} & row.keys()


def test_what_an_audit_policy_allows_would_have_been_denied() -> None:
    behind = " authz.group= authz.kind=default authz.name=audit new.field=x"
    row = linkerd_row(TAKEN + linkerd_policy("Request allowed", behind=behind))
    assert (row["decision"], row["decision_reason"]) == ("allowed", "audit policy")
    assert (row["policy_name"], row["policy_kind"]) == ("audit", "default")
    assert (row["dry_run_decision"], row["dry_run_policy"]) == ("denied", "payments-http")


def test_without_a_container_runtimes_time_there_is_none() -> None:
    for line in (linkerd_policy(), linkerd_policy_json(), b"[     1.000000s]  INFO x: y"):
        row = linkerd_row(line)
        assert (row["decode_error"], "time" in row) == (NO_TIME, False)


@pytest.mark.parametrize(
    "line",
    [
        linkerd_policy(spans="outbound"),
        linkerd_policy(spans="x: inbound"),
        linkerd_policy().replace(b"Request denied", b"Request authorized"),
        linkerd_policy().replace(b"policy::http", b"errors::respond"),
        (
            b"[     7.000000s]  WARN ThreadId(01) x: y inbound: linkerd_app_inbound::policy::http: "
            b"Request denied server.group="
        ),
        b'{"level":"INFO","target":"linkerd2_proxy","fields":{"message":"Request denied"}}',
    ],
)
def test_any_other_line_is_a_log_record(line: bytes) -> None:
    assert linkerd_row(TAKEN + line) == {"kind": "log_record", "time": TAKEN_NS}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", NOT_A_LINE),
        (b"thread 'main' panicked", NOT_A_LINE),
        (b"{}", NOT_A_LINE),
        (b"{", "not JSON"),
        (b"\xff", NOT_A_LINE),
        (linkerd_policy(tls="Some(x)"), NO_FIELDS),
        (linkerd_policy(tls=established('x") client.ip="1.2.3.4')), NO_FIELDS),
        (linkerd_policy(behind=" x"), NO_FIELDS),
        (linkerd_apache(uri='/" 200 x'), NOT_A_LINE),
    ],
)
def test_what_cannot_be_read_says_why_and_nothing_else(line: bytes, reason: str) -> None:
    first, bad, last = told(PayloadFormat.LINKERD, linkerd_access(), line, linkerd_apache())
    assert bad == {"kind": "undecoded", "decode_error": reason}
    assert first["decision"] == last["decision"] == "unknown"


def test_a_value_that_cannot_be_read_is_null_and_noted() -> None:
    said: dict[str, str] = {"client.addr": "x", "timestamp": "now", "total_ns": "-1"}
    row = linkerd_row(linkerd_access(**said, status="ok", request_bytes="many"))
    assert row["decode_error"] == (
        "timestamp is not a time; total_ns is not a number; address of the client cannot be read; "
        "status is not a number; request_bytes is not a number"
    )
    row = linkerd_row(TAKEN + linkerd_policy_json(**{"client.tls": "x", "client.ip": "y"}))
    assert row["decode_error"] == (
        "address of the client cannot be read; TLS of the client cannot be read"
    )
    assert row["decision"] == "denied"


@pytest.mark.parametrize(
    "line",
    [
        b"[ " + b" " * 1_000_000,
        linkerd_policy(tls="Some(" + "(" * 1_000_000),
        linkerd_policy(spans="inbound" + ":x" * 300_000),
        linkerd_policy(behind=" a=b" * 250_000 + " "),
        linkerd_apache(uri="/" + '"' * 1_000_000),
        linkerd_access(uri="http://" * 150_000),
    ],
    ids=["blanks", "brackets", "spans", "fields", "quotes", "schemes"],
)
def test_a_hostile_line_of_a_megabyte_is_read_in_less_than_two_seconds(line: bytes) -> None:
    senders = Reporters([StreamFacts()], np.zeros(1, dtype=np.int64))
    start = time.perf_counter()
    out = map_linkerd(pa.array([line], pa.binary()), senders)
    assert time.perf_counter() - start < 2
    row: dict[str, object] = {}
    start = time.perf_counter()
    map_linkerd_line(line, row, [], StreamFacts())
    assert time.perf_counter() - start < 2
    assert out.columns["kind"].to_pylist() == [row["kind"]]
