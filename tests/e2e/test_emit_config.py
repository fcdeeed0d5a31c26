"""A real Envoy, wired as `meshtrail emit-config envoy` prints it, fills every column it can."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo.authority import Authority, Identity
from meshtrail.model.event import BY_NAME
from tests.e2e import wired_proxy as wired
from tests.e2e.logged_mesh import OF_OTHER_SOURCES
from tests.e2e.signed_tokens import TokenIssuer, bearer, jwt_filter, optional, provider
from tests.e2e.wired_proxy import LOOPBACK, Caller, Config
from tests.rig.envoy import Envoy
from tests.rig.recorder import running_recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.recorder import Recorder

Row = dict[str, Any]

SEAL_S_MAX = 60.0
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST_ID = "0e8a3c1c-7d1f-4b62-9a51-5f3f8f6c2b11"
USER_AGENT = "checkout/2.1"

OTHERS = "what OpenTelemetry, counters, gaps and findings are made of"
NOT_FROM_ACCESS_LOGS = {
    **dict.fromkeys(OF_OTHER_SOURCES, "of other sources"),
    "decode_error": "only a record that cannot be read has one",
    "reporter_conflict": "only a reporter that claims to be somebody else has one",
    "reporter_token": "the proxies here show certificates",
    **dict.fromkeys(("parent_span_id", "span_name", "span_kind", "span_status"), OTHERS),
    "detail": "only what meshtrail says itself, and a counter, has one",
    **dict.fromkeys(("about", "cause", "missing_min", "missing_max"), OTHERS),
}
"""The columns that no access log can fill, and why."""

ISSUER = TokenIssuer("https://login.example")
USER_TRACE_ID = "5bf92f3577b34da6a3ce929d0e0e4736"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"


@dataclass(frozen=True, slots=True)
class World:
    """Certificates, upstreams and a running recorder."""

    authority: Authority
    payments: Identity
    frontend: Identity
    rogue: Identity
    collector: Identity
    recorder: Recorder
    grpc_port: int
    echo_port: int
    silent_port: int
    directory: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("wired")
    authority = Authority(directory / "certificates")
    collector = authority.issue("ns/meshtrail/sa/meshtrail")
    with contextlib.ExitStack() as stack:
        yield World(
            authority=authority,
            payments=authority.issue("ns/shop/sa/payments", is_named_localhost=True),
            frontend=authority.issue("ns/shop/sa/frontend"),
            rogue=authority.issue("ns/dev/sa/rogue"),
            collector=collector,
            recorder=stack.enter_context(running_recorder(directory, tls=(authority, collector))),
            grpc_port=stack.enter_context(wired.running_grpc_upstream()),
            echo_port=stack.enter_context(wired.running_echo_upstream()),
            silent_port=stack.enter_context(wired.running_silent_upstream()),
            directory=directory,
        )


def emitted(world: World) -> Config:
    """The pieces for the payments sidecar, as printed."""
    payments = world.payments
    files = ["--cert", str(payments.chain), "--key", str(payments.key)]
    files += ["--ca", str(world.authority.bundle)]
    address = ["--address", f"{LOOPBACK}:{world.recorder.port}"]
    peer = ["--collector-spiffe-id", world.collector.spiffe_id]
    [pieces] = wired.emit("envoy", *address, *files, *peer)
    return pieces


def sidecar(world: World, pieces: Config) -> Config:
    """A whole configuration with the printed pieces at their places."""
    tls = wired.downstream_tls(world.authority, world.payments)
    http, tcp, added = pieces["http_connection_manager"], pieces["tcp_proxy"], pieces["listener"]
    of_tls = {**added, **pieces["tls_listener"]}
    to_application = {"cluster": "inbound|8080||"}
    routes: list[Config] = [
        {"name": "rpc", "match": {"prefix": "/shop.v1."}, "route": to_application},
        {"name": "broken", "match": {"prefix": "/broken"}, "route": {"cluster": "broken-tls"}},
        {"match": {"prefix": "/silent"}, "route": {"cluster": "silent"}},
        wired.answer("/", 200),
    ]
    users = jwt_filter(
        {"login": provider(ISSUER, key="payload")},
        [{"match": {"prefix": "/"}, "requires": optional("login")}],
    )
    inbound = wired.http_manager(added=http, routes=routes, first=[users])
    guarded = wired.tcp_proxy(added=tcp, cluster="inbound|9000||", allowed=[FRONTEND])
    plain = wired.http_manager(
        added=http,
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": "outbound|443||ledger"}}],
        policies=False,
    )
    return wired.bootstrap(
        listeners=[
            wired.listener("inbound", [inbound], added=of_tls, tls=tls),
            wired.listener("inbound-tcp", guarded, added=of_tls, tls=tls),
            wired.listener("outbound", [plain], added=added),
        ],
        clusters=[
            *pieces["clusters"],
            wired.cluster("inbound|8080||", world.grpc_port, is_http2=True),
            wired.cluster("inbound|9000||", world.echo_port),
            wired.cluster("silent", world.silent_port),
            # Upstreams that do not speak TLS, whom a proxy takes for some that do.
            wired.cluster("broken-tls", world.echo_port, tls=wired.upstream_tls()),
            wired.cluster("outbound|443||ledger", world.echo_port, tls=wired.upstream_tls()),
        ],
    )


@pytest.fixture(scope="module")
def rows(world: World) -> list[Row]:
    """Everything that is sealed after one round of all that a proxy can meet."""
    config = sidecar(world, emitted(world))
    with Envoy("wired", config, directory=world.directory) as envoy:
        ports = envoy.ports()
        send_everything(world, ports)
        wait_until(
            lambda: len(world.recorder.search("kind:request")) >= REQUESTS_COUNT,
            f"{REQUESTS_COUNT} requests are sealed",
            seconds_max=SEAL_S_MAX,
        )
        wait_until(
            lambda: len(connection_ends(world.recorder.search(""))) >= CONNECTIONS_COUNT,
            f"the ends of {CONNECTIONS_COUNT} connections are sealed",
            seconds_max=SEAL_S_MAX,
        )
        assert envoy.records_dropped() == 0
    return world.recorder.search("")


def of_log(name: str, found: list[Row]) -> list[Row]:
    return [
        row
        for row in found
        if row.get("reporter_log_name") == name and row["source"] == "envoy-als"
    ]


def connection_ends(found: list[Row]) -> list[Row]:
    return of_log("listener_envoy_accesslog", found)


REQUESTS_COUNT = 11
CONNECTIONS_COUNT = 11 + 2 + 2
"""One for each request, two for TCP, two that fail their handshakes."""


def send_everything(world: World, ports: dict[str, int]) -> None:
    """Requests with every kind of header, an RPC, denials, TCP, failed handshakes."""
    caller = Caller(world.authority.client_context(world.frontend))
    inbound, always = ports["inbound"], {"user-agent": USER_AGENT, "x-forwarded-for": "192.0.2.7"}
    traced = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01", "x-request-id": REQUEST_ID}
    status = caller.get(inbound, "/pay?amount=42", {**always, **traced})
    assert status == 200
    assert caller.get(inbound, "/b3", {**always, "b3": f"{TRACE_ID}-{SPAN_ID}-1"}) == 200
    multi = {"x-b3-traceid": TRACE_ID, "x-b3-spanid": SPAN_ID}
    assert caller.get(inbound, "/multi", {**always, **multi}) == 200
    assert caller.get(inbound, "/odd", {**always, "x-request-id": "order-7"}) == 200
    assert caller.get(inbound, "/admin", always) == 403
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert caller.get(inbound, "/form", {**always, **form}, method="POST") == 200
    assert caller.get(inbound, "/broken", always) == 503
    shown = {**bearer(ISSUER.sign("alice")), "traceparent": f"00-{USER_TRACE_ID}-{SPAN_ID}-01"}
    assert caller.get(inbound, "/user", {**always, **shown}) == 200
    for method, outcome in ((wired.CHARGE, "OK"), (wired.UNKNOWN, "UNIMPLEMENTED")):
        code = wired.call_grpc(inbound, method, world.authority, world.frontend)
        assert code.name == outcome
    assert wired.get_plain(ports["outbound"], "/ledger") == 503
    assert caller.echo(ports["inbound-tcp"], b"settle") == b"settle"
    rogue = Caller(world.authority.client_context(world.rogue))
    assert rogue.echo(ports["inbound-tcp"], b"settle") == b""
    nobody = Caller(wired.stranger(world.authority, world.directory))
    assert nobody.echo(inbound, b"GET / HTTP/1.1\r\n\r\n") == b""
    without = Caller(world.authority.client_context(None))
    assert without.echo(inbound, b"GET / HTTP/1.1\r\n\r\n") == b""


def request(rows: list[Row], path: str) -> Row:
    """The row of the only request with this path."""
    [found] = [row for row in rows if row.get("url_path") == path]
    return found


def test_every_column_that_access_logs_can_fill_is_filled(rows: list[Row]) -> None:
    # What meshtrail says itself, of its own streams and of what is missing, comes from no proxy.
    told = [row for row in rows if row["source"] != "meshtrail"]
    filled = {name for row in told for name, value in row.items() if value is not None}
    # The clock of a proxy is known after a while, or not yet.
    filled |= {"time_offset", "time_error"}
    assert BY_NAME.keys() - filled == NOT_FROM_ACCESS_LOGS.keys()


def test_user_of_a_verified_token_is_attested_and_found_and_shown_in_the_trace(
    world: World, rows: list[Row]
) -> None:
    row = request(rows, "/user")
    assert (row["user_id"], row["user_id_trust"]) == ("alice", "attested")
    assert row["user_issuer"] == ISSUER.name
    found = world.recorder.search('user:alice user.issuer:"https://login.example"')
    assert [one["url_path"] for one in found] == ["/user"]
    [call] = json.loads(world.recorder.run("trace", USER_TRACE_ID, "--json"))["calls"]
    assert (call["user"], call["user_trust"], call["user_from"]) == (
        "alice",
        "attested",
        row["log_index"],
    )


@pytest.mark.parametrize("path", ["/pay", "/b3", "/multi"])
def test_trace_is_read_from_every_header_that_carries_one(rows: list[Row], path: str) -> None:
    row = request(rows, path)
    assert (row["trace_id"], row["span_id"]) == (TRACE_ID, SPAN_ID)


def test_content_types_and_grpc_statuses_arrive_from_headers_and_trailers(rows: list[Row]) -> None:
    form = request(rows, "/form")
    assert form["http_request_content_type"] == "application/x-www-form-urlencoded"
    assert form["http_response_content_type"] == "text/plain"
    # An answer with a body has its status in the trailers, one without in the headers.
    assert request(rows, wired.CHARGE)["rpc_grpc_status_code"] == 0
    assert request(rows, wired.UNKNOWN)["rpc_grpc_status_code"] == 12
    assert request(rows, wired.CHARGE)["rpc_method"] == wired.CHARGE.removeprefix("/")


def test_stream_is_authenticated_and_identities_are_attested(rows: list[Row]) -> None:
    from_proxies = [row for row in rows if row["source"] == "envoy-als"]
    assert {row["reporter_auth"] for row in from_proxies} == {"mtls"}
    assert {row["reporter_spiffe_id"] for row in from_proxies} == {PAYMENTS}
    assert {row["reporter_id"] for row in from_proxies} == {f"sidecar~{wired.NODE}"}
    row = request(rows, "/pay")
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "attested")
    assert (row["dst_spiffe_id"], row["dst_spiffe_id_trust"]) == (PAYMENTS, "attested")


def test_denial_and_dry_run_name_their_policies(rows: list[Row]) -> None:
    denied = request(rows, "/admin")
    assert (denied["decision"], denied["decision_trust"]) == ("denied", "attested")
    policy = (denied["policy_namespace"], denied["policy_name"], denied["policy_rule"])
    assert policy == ("shop", "no-admin", "1")
    assert request(rows, "/pay")["dry_run_policy"] == wired.DRY_RUN_POLICY
    assert request(rows, "/form")["dry_run_decision"] == "denied"


def test_each_connection_is_recorded_once_at_its_end(rows: list[Row]) -> None:
    ends = connection_ends(rows)
    assert len(ends) == CONNECTIONS_COUNT
    ports = [(row["src_port"], row["dst_port"]) for row in ends]
    assert len(set(ports)) == len(ports)


def test_tcp_connection_is_recorded_with_both_ends_and_its_bytes(rows: list[Row]) -> None:
    [row] = [
        row
        for row in connection_ends(rows)
        if row.get("envoy_upstream_cluster") == "inbound|9000||" and row["decision"] != "denied"
    ]
    assert (row["src_spiffe_id"], row["dst_spiffe_id"]) == (FRONTEND, PAYMENTS)
    assert (row["bytes_received"], row["bytes_sent"]) == (len(b"settle"), len(b"settle"))
    # It was over before a minute was.
    [start] = [
        other
        for other in of_log("tcp_envoy_accesslog", rows)
        if other["envoy_connection_id"] == row["envoy_connection_id"]
    ]
    assert start["envoy_access_log_type"] == "TcpUpstreamConnected"


def test_denied_tcp_connection_is_found_by_its_caller(rows: list[Row]) -> None:
    [denied] = [row for row in connection_ends(rows) if row.get("decision") == "denied"]
    assert denied["src_service_account"] == "rogue"
    assert "rbac_access_denied" in denied["envoy_connection_termination_details"]


def test_failed_handshakes_are_recorded_with_what_the_caller_showed(rows: list[Row]) -> None:
    for reason, subject in (
        ("CERTIFICATE_VERIFY_FAILED", "CN=stranger"),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", None),
    ):
        [failed] = [
            row for row in rows if reason in (row.get("envoy_downstream_transport_failure") or "")
        ]
        assert (failed["kind"], failed.get("tls_client_subject")) == ("handshake", subject)
        assert failed["tls_client_ja3"]
        assert failed["tls_server_name"] == "payments.shop"


def test_upstream_that_fails_its_handshake_is_named(rows: list[Row]) -> None:
    for path in ("/broken", "/ledger"):
        row = request(rows, path)
        assert "TLS_error" in row["envoy_upstream_transport_failure"]
        assert row["tls_failure"] == "other"
        assert row["envoy_attempt_count"] == 1


def test_connections_and_requests_that_last_are_told_of_meanwhile(world: World) -> None:
    pieces = emitted(world)
    for place in ("tcp_proxy", "http_connection_manager"):
        # As printed but for the period: a test has no minute.
        options = pieces[place]["access_log_options"]
        assert options["access_log_flush_interval"] == "60s"
        options["access_log_flush_interval"] = "0.2s"
    caller = Caller(world.authority.client_context(world.frontend))
    with (
        Envoy("lasting", sidecar(world, pieces), directory=world.directory) as envoy,
        caller.connected(envoy.ports()["inbound-tcp"]) as tcp,
        caller.connected(envoy.ports()["inbound"]) as http,
    ):
        tcp.sendall(b"settle")
        http.sendall(b"GET /silent HTTP/1.1\r\nhost: payments\r\n\r\n")
        for log_type in ("TcpPeriodic", "DownstreamPeriodic"):
            query = f"envoy_access_log_type:{log_type} AND src.spiffe:{FRONTEND}"
            wait_until(
                partial(has_rows, world.recorder, query),
                f"a {log_type} record is sealed",
                seconds_max=SEAL_S_MAX,
            )


def has_rows(recorder: Recorder, query: str) -> bool:
    return bool(recorder.search(query))
