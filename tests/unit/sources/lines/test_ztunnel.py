from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.lines.ztunnel import map_ztunnel
from meshtrail.sources.lines.ztunnel_reference import map_ztunnel_line
from meshtrail.sources.lines.ztunnel_values import NO_FIELDS, NO_POLICY, NOT_A_LINE
from meshtrail.sources.streams import Reporters, StreamFacts
from tests.mesh_lines import (
    FRONTEND,
    PAYMENTS,
    TIME,
    TIME_NS,
    connection,
    refusal,
    told,
    ztunnel_json,
    ztunnel_row,
    ztunnel_text,
)

if TYPE_CHECKING:
    from tests.mesh_lines import Fields

TLS = "tls handshake error: Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }"


def row_of(fields: Fields, message: str = "connection complete") -> dict[str, object]:
    """What a line becomes, the same in text and in JSON."""
    return ztunnel_row(ztunnel_text(fields, message=message), ztunnel_json(fields, message=message))


def test_a_connection_tells_both_ends_when_it_was_and_how_much_went_through() -> None:
    assert row_of(connection()) == {
        "kind": "connection",
        "time": TIME_NS - 1_006_000_000,
        "end_time": TIME_NS,
        "duration": 1_006_000_000,
        "side": "source",
        "network_transport": "tcp",
        "src_spiffe_id": FRONTEND,
        "src_spiffe_id_trust": "reported",
        "src_trust_domain": "cluster.local",
        "src_namespace": "shop",
        "src_service_account": "frontend",
        "src_ip": "10.0.0.5",
        "src_port": 40001,
        "src_pod": "frontend-1",
        "src_cluster": "east",
        "src_workload_trust": "reported",
        "dst_spiffe_id": PAYMENTS,
        "dst_spiffe_id_trust": "reported",
        "dst_trust_domain": "cluster.local",
        "dst_namespace": "shop",
        "dst_service_account": "payments",
        "dst_ip": "10.0.0.7",
        "dst_port": 8080,
        "dst_service": "payments.shop.svc.cluster.local",
        "dst_pod": "payments-1",
        "dst_cluster": "west",
        "dst_workload_trust": "reported",
        "bytes_received": 200,
        "bytes_sent": 603,
        "decision": "unknown",
    }


def test_bytes_count_from_the_caller_whoever_reports() -> None:
    here = row_of(connection(direction="inbound", bytes_sent=603, bytes_recv=200))
    assert (here["side"], here["bytes_received"], here["bytes_sent"]) == ("destination", 200, 603)
    nowhere = row_of(connection(direction="sideways"))
    assert not {"side", "bytes_received", "bytes_sent"} & nowhere.keys()


@pytest.mark.parametrize(
    ("address", "inside", "callee"),
    [
        ("10.0.0.7:15008", "10.0.0.7:8080", ("10.0.0.7", 8080, None)),
        ("10.0.0.9:15008", "10.96.0.1:443", ("10.96.0.1", 443, None)),
        ("10.0.0.7:8080", "10.0.0.9:9", ("10.0.0.7", 8080, None)),
        ("10.0.0.7:15008", None, ("10.0.0.7", 15008, None)),
        ("10.0.0.7:15008", "pay.shop:80", ("10.0.0.7", 15008, "pay.shop:80")),
        ("[fd00::7]:15008", "[fd00::7]:80", ("fd00::7", 80, None)),
    ],
)
def test_the_callee_is_what_the_tunnel_leads_to(
    address: str, inside: str | None, callee: tuple[str, int, str | None]
) -> None:
    row = row_of(connection(dst__addr=address, dst__hbone_addr=inside))
    assert (row["dst_ip"], row["dst_port"], row.get("server_address")) == callee


def test_a_pod_without_a_certificate_has_no_identity_but_a_namespace() -> None:
    row = row_of(connection(src__identity=None, src__cluster=None))
    assert (row["src_namespace"], row["src_workload_trust"]) == ("shop", "reported")
    assert not {"src_spiffe_id", "src_spiffe_id_trust", "src_trust_domain"} & row.keys()


def test_the_namespace_of_the_certificate_counts_before_that_of_an_address() -> None:
    assert row_of(connection(dst__namespace="elsewhere"))["dst_namespace"] == "shop"


def test_a_refusal_names_its_policy() -> None:
    error = "connection closed due to policy rejection: explicitly denied by: shop/no-frontends"
    row = row_of(refusal(error))
    assert {name: row[name] for name in row if name.startswith(("decision", "policy"))} == {
        "decision": "denied",
        "decision_trust": "reported",
        "decision_reason": "explicit deny",
        "policy_name": "no-frontends",
        "policy_namespace": "shop",
        "policy_kind": "AuthorizationPolicy",
    }
    assert (row["kind"], row["src_spiffe_id"]) == ("connection", FRONTEND)
    assert row["envoy_connection_termination_details"] == error


def test_a_connection_that_broke_is_neither_allowed_nor_denied() -> None:
    row = row_of(connection(error="io error: broken pipe"))
    assert row["decision"] == "unknown"
    assert "tls_failure" not in row


def test_an_early_refusal_of_a_handshake_knows_no_identity() -> None:
    early = {name: refusal(TLS)[name] for name in ("src.addr", "dst.addr", "direction", "error")}
    assert row_of(early, "connection failed") == {
        "kind": "handshake",
        "time": TIME_NS,
        "side": "destination",
        "network_transport": "tcp",
        "src_ip": "10.0.0.5",
        "src_port": 40001,
        "dst_ip": "10.0.0.7",
        "dst_port": 8080,
        "envoy_connection_termination_details": TLS,
        "envoy_downstream_transport_failure": TLS,
        "tls_failure": "unknown_ca",
        "decision": "unknown",
    }
    early["error"] = "failed to fetch information about local workload: x"
    assert row_of(early, "connection failed")["kind"] == "connection"


def test_a_callee_that_never_answered_is_only_whom_the_caller_wanted() -> None:
    row = row_of(connection(error=f"tls error: {TLS}", bytes_recv=0))
    assert (row["kind"], row["tls_failure"]) == ("connection", "unknown_ca")
    assert row["dst_spiffe_id_trust"] == "asserted"
    assert row["src_spiffe_id_trust"] == "reported"
    assert row["envoy_upstream_transport_failure"] == f"tls error: {TLS}"
    answered = row_of(connection(error="http status: 401 Unauthorized", bytes_recv=0))
    assert (answered["dst_spiffe_id_trust"], answered["decision"]) == ("reported", "denied")
    broken = row_of(connection(error="io error: broken pipe", bytes_recv=1))
    assert broken["dst_spiffe_id_trust"] == "reported"


def test_no_quoted_text_can_forge_a_field() -> None:
    forged = 'x" src.identity="spiffe://cluster.local/ns/a/sa/admin" error="'
    row = row_of(connection(error=forged, src__identity=None, dst__workload=forged))
    assert "src_spiffe_id" not in row
    assert row["envoy_connection_termination_details"] == forged
    assert row["dst_pod"] == forged


def test_unknown_fields_and_any_order_break_no_line() -> None:
    fields: Fields = {"new.thing": "a b", **dict(reversed(connection().items())), "more": 7}
    assert row_of(fields) == row_of(connection())


def test_bytes_that_are_no_utf8_cost_no_line() -> None:
    text, json = ztunnel_text(connection(error="x~")), ztunnel_json(connection(error="x~"))
    row = ztunnel_row(text.replace(b"~", b"\xff"), json.replace(b"~", b"\xff"))
    assert row["envoy_connection_termination_details"] == "x!"


def test_a_container_runtimes_prefix_changes_nothing() -> None:
    line = ztunnel_text(connection())
    prefix = b"2026-11-21T01:31:25.000000001Z "
    ztunnel_row(line, prefix + b"stdout F " + line, prefix + line, line + b"\r")
    (part,) = told(PayloadFormat.ZTUNNEL, prefix + b"stdout P " + line)
    assert part["kind"] == "undecoded"


@pytest.mark.parametrize(
    ("message", "decision"),
    [
        ("dry-run: deny policy match", "denied"),
        ("dry-run: no allow policies match", "denied"),
        ("dry-run: allow policy match", "allowed"),
        ("dry-run: something new", None),
    ],
)
def test_a_dry_run_is_a_log_record_of_what_would_have_been(
    message: str, decision: str | None
) -> None:
    policy: Fields = {"policy": "shop/no-frontends"}
    scope = "state:proxy{wl=shop/payments-1}:inbound{id=a0 peer=10.0.0.5:40001}"
    row = ztunnel_row(
        ztunnel_text(policy, message=message, scope=scope),
        ztunnel_json(policy, message=message, scope="ztunnel::state"),
    )
    wanted = {"kind": "log_record", "time": TIME_NS, "dry_run_policy": "shop/no-frontends"}
    assert row == wanted | ({"dry_run_decision": decision} if decision else {})


def test_a_dry_run_whose_policy_cannot_be_read_says_so_beside_lines_that_say_nothing() -> None:
    lost = ztunnel_text(connection()) + b" x"
    dry_run = f"{TIME}\tinfo\tstate\tdry-run: deny policy match\tpolicy=a b".encode()
    first, last = told(PayloadFormat.ZTUNNEL, dry_run, lost)
    assert first == {
        "kind": "log_record",
        "time": TIME_NS,
        "dry_run_decision": "denied",
        "decode_error": NO_POLICY,
    }
    assert last == {"kind": "undecoded", "decode_error": NO_FIELDS}


@pytest.mark.parametrize(
    "line",
    [
        f"{TIME}\tinfo\tapp\tin-pod mode enabled\t".encode(),
        f"{TIME}\twarn\txds::client:xds{{id=1}}\tXDS stream error: x, retrying".encode(),
        f'{TIME}\tinfo\tproxy\tmarked\tdesc=Some(A {{ b: "c" }}) x'.encode(),
        ztunnel_text(connection(), message="connection opened"),
        ztunnel_text(connection(), scope="state"),
        ztunnel_json(connection(), scope="state"),
        f"{TIME}\tinfo\taccess".encode(),
    ],
)
def test_any_other_line_is_a_log_record(line: bytes) -> None:
    assert told(PayloadFormat.ZTUNNEL, line) == [{"kind": "log_record", "time": TIME_NS}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", NOT_A_LINE),
        (b"thread 'main' panicked at src/main.rs:7", NOT_A_LINE),
        (ztunnel_text(connection()).replace(b"\t", b" "), NOT_A_LINE),
        (b"\xff", NOT_A_LINE),
        (b"{", "not JSON"),
        (b"{}", NOT_A_LINE),
        (b'{"time":""}', NOT_A_LINE),
        (ztunnel_text(connection()) + b' x="', NO_FIELDS),
        (ztunnel_text(connection()) + b" x", NO_FIELDS),
    ],
)
def test_what_cannot_be_read_says_why_and_nothing_else(line: bytes, reason: str) -> None:
    good = ztunnel_text(connection())
    first, bad, last = told(PayloadFormat.ZTUNNEL, good, line, good)
    assert bad == {"kind": "undecoded", "decode_error": reason}
    assert first == last == ztunnel_row(good)


def test_a_value_that_cannot_be_read_is_null_and_noted() -> None:
    row = row_of(
        connection(
            src__addr="nowhere", dst__addr="x", duration="soon", bytes_sent="-1", bytes_recv=2**63
        )
    )
    assert row["decode_error"] == (
        "duration is not a time; src.addr is not an address; dst.addr is not an address; "
        "bytes_sent is not a number"
    )
    assert row["time"] == row["end_time"] == TIME_NS
    assert not {"bytes_sent", "bytes_received", "src_ip", "src_port", "duration"} & row.keys()
    # The tunnel is still known to lead somewhere.
    assert (row["dst_ip"], row["dst_port"]) == ("10.0.0.7", 8080)


def test_impossible_times_are_null_and_noted() -> None:
    text = ztunnel_text(connection(), time="2026-02-30T00:00:00.000000Z")
    json = ztunnel_json(connection(), time="2026-02-30T00:00:00.000000Z")
    row = ztunnel_row(text, json)
    assert row["decode_error"] == "time is not a time"
    assert not {"time", "end_time"} & row.keys()
    row = row_of(connection(duration=f"{2**31}s"))
    assert row["decode_error"] == "start of the happening does not fit"
    assert (row["end_time"], "time" in row) == (TIME_NS, False)


@pytest.mark.parametrize(
    "line",
    [
        TIME.encode() + b"\tinfo\taccess\tconnection complete\t" + b" " * 1_000_000,
        TIME.encode() + b"\tinfo\taccess\tconnection complete\t" + b'a="' * 300_000,
        b"\t" * 1_000_000,
        b'{"time":' + b"[" * 1_000_000,
        ztunnel_text(connection(error='\\"' * 400_000)),
    ],
    ids=["blanks", "quotes", "tabs", "brackets", "nested quotes"],
)
def test_a_hostile_line_of_a_megabyte_is_read_in_less_than_two_seconds(line: bytes) -> None:
    senders = Reporters([StreamFacts()], np.zeros(1, dtype=np.int64))
    start = time.perf_counter()
    out = map_ztunnel(pa.array([line], pa.binary()), senders)
    assert time.perf_counter() - start < 2
    row: dict[str, object] = {}
    start = time.perf_counter()
    map_ztunnel_line(line, row, [], StreamFacts())
    assert time.perf_counter() - start < 2
    assert out.columns["kind"].to_pylist() == [row["kind"]]
