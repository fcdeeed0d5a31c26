"""A real Envoy logs the same through its access log service and through OTLP: equal events."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from envoy.service.accesslog.v3 import als_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from meshtrail.demo.authority import Authority, Identity
from meshtrail.model.entry import PayloadFormat
from meshtrail.model.event import BY_NAME
from meshtrail.model.otlp_attributes import ATTRIBUTES
from tests.als_records import derive, derive_both, entry, opened
from tests.e2e import wired_proxy as wired
from tests.e2e.wired_proxy import LOOPBACK, Caller, Config
from tests.otlp_records import cut_export, fields_of
from tests.rig.configuration import upstream_mtls
from tests.rig.envoy import Envoy
from tests.rig.otlp_receiver import running_otlp_receiver
from tests.rig.receiver import running_receiver
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]
Key = tuple[str, int, str | None]

IDENTIFIER = 1
ALS_FORMATS = {2: PayloadFormat.ALS_HTTP, 3: PayloadFormat.ALS_TCP}
"""Field numbers of a message of the access log service, and what is in them."""

ARRIVAL_S_MAX = 30.0
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
PLACES = ("listener", "http_connection_manager", "tcp_proxy")
LOG_NAMES = {f"{place}_envoy_accesslog" for place in ("http", "tcp", "listener")}
OF_THE_ENTRY = {"log_index", "seq", "source", "payload_format", "reporter_log_name"}
FROM_NEITHER = {
    "decode_error": "only a record that cannot be read has one",
    "parent_span_id": "of spans",
    "span_name": "of spans",
    "span_kind": "of spans",
    "span_status": "of spans",
    "about": "of counters, gaps and findings",
    "cause": "of counters, gaps and findings",
    "missing_min": "of counters, gaps and findings",
    "missing_max": "of counters, gaps and findings",
    "detail": "of counters, gaps and findings",
    "time_offset": "of reporters whose clock is known",
    "time_error": "of reporters whose clock is known",
    "reporter_ip": "the stream of this test has none",
    "reporter_token": "the stream of this test has none",
    "reporter_conflict": "the stream of this test has none",
}
REQUESTS_COUNT = 13 + 2
RECORDS_COUNT = 2 * REQUESTS_COUNT + 2 + 2 * 2 + 2
"""Requests, one of them at both ends, and as many connections for them; two TCP connections at
their ends and, in their own log, as the upstream was reached and at their ends again; two
handshakes."""
TO_PAYMENTS = "outbound|8080||payments.shop.svc.cluster.local"


@dataclass(slots=True)
class Received:
    """What both receivers took."""

    als: list[tuple[str, PayloadFormat, bytes]] = field(default_factory=list)
    otlp: list[tuple[bytes, bytes]] = field(default_factory=list)
    _log_names: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_als(self, stream: int, data: bytes) -> None:
        with self._lock:
            # By hand: a record that holds other bytes than UTF-8 makes its message no protobuf.
            for number, part in fields_of(data):
                if number == IDENTIFIER:
                    identifier = als_pb2.StreamAccessLogsMessage.Identifier.FromString(part)
                    self._log_names[stream] = identifier.log_name
                    continue
                name, payload_format = self._log_names[stream], ALS_FORMATS[number]
                self.als += [(name, payload_format, record) for _, record in fields_of(part)]

    def take_otlp(self, data: bytes) -> None:
        with self._lock:
            self.otlp += cut_export(data)


@dataclass(frozen=True, slots=True)
class World:
    """Certificates, upstreams and both receivers."""

    authority: Authority
    payments: Identity
    frontend: Identity
    rogue: Identity
    grpc_port: int
    echo_port: int
    als_port: int
    otlp_port: int
    received: Received
    directory: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("otlp")
    authority, received = Authority(directory / "certificates"), Received()
    with contextlib.ExitStack() as stack:
        yield World(
            authority=authority,
            payments=authority.issue("ns/shop/sa/payments", is_named_localhost=True),
            frontend=authority.issue("ns/shop/sa/frontend"),
            rogue=authority.issue("ns/dev/sa/rogue"),
            grpc_port=stack.enter_context(wired.running_grpc_upstream()),
            echo_port=stack.enter_context(wired.running_echo_upstream()),
            als_port=stack.enter_context(running_receiver(received.take_als)),
            otlp_port=stack.enter_context(running_otlp_receiver(received.take_otlp)),
            received=received,
            directory=directory,
        )


def pieces_of_both(world: World) -> Config:
    """What is printed for both kinds of log, at the places of one of them."""
    [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{world.als_port}")
    [of_otlp] = wired.emit("envoy", "--otlp", "--address", f"{LOOPBACK}:{world.otlp_port}")
    [otlp_cluster] = of_otlp["clusters"]
    otlp_cluster["name"] = otlp_cluster["load_assignment"]["cluster_name"] = "otlp"
    for place in PLACES:
        for log in of_otlp[place]["access_log"]:
            log["typed_config"]["grpc_service"] = {"envoy_grpc": {"cluster_name": "otlp"}}
            pieces[place]["access_log"].append(log)
    for log in pieces["tcp_proxy"]["access_log"]:
        # As printed but for the filter, which waits a minute for its first record.
        del log["filter"]
    pieces["clusters"].append(otlp_cluster)
    return pieces


def source(world: World, inbound: int) -> Config:
    """The configuration of a proxy that calls the other one through mTLS."""
    pieces = pieces_of_both(world)
    tls = upstream_mtls(world.authority, world.frontend, peer=PAYMENTS, sni=wired.SERVER_NAME)
    http = wired.http_manager(
        added=pieces["http_connection_manager"],
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": TO_PAYMENTS}}],
        policies=False,
    )
    return wired.bootstrap(
        listeners=[wired.listener("outbound", [http], added=pieces["listener"])],
        clusters=[*pieces["clusters"], wired.cluster(TO_PAYMENTS, inbound, tls=tls)],
    )


def sidecar(world: World) -> Config:
    """A whole configuration with the pieces of both kinds of log at their places."""
    pieces = pieces_of_both(world)
    http, tcp = pieces["http_connection_manager"], pieces["tcp_proxy"]
    added = pieces["listener"]
    of_tls = {**added, **pieces["tls_listener"]}
    tls = wired.downstream_tls(world.authority, world.payments)
    retry = {"retry_on": "connect-failure,reset", "num_retries": 2}
    to_application = {"cluster": "inbound|8080||"}
    routes: list[Config] = [
        {"name": "rpc", "match": {"prefix": "/shop.v1."}, "route": to_application},
        {
            "name": "broken",
            "match": {"prefix": "/broken"},
            "route": {"cluster": "broken-tls", "retry_policy": retry},
        },
        wired.answer("/", 200),
    ]
    guarded = wired.tcp_proxy(added=tcp, cluster="inbound|9000||", allowed=[FRONTEND])
    to_ledger = [{"match": {"prefix": "/"}, "route": {"cluster": "outbound|443||ledger"}}]
    renamed = wired.cluster("outbound|443||ledger", world.echo_port, tls=wired.upstream_tls())
    return wired.bootstrap(
        listeners=[
            wired.listener(
                "inbound", [wired.http_manager(added=http, routes=routes)], added=of_tls, tls=tls
            ),
            wired.listener("inbound-tcp", guarded, added=of_tls, tls=tls),
            wired.listener(
                "outbound",
                [wired.http_manager(added=http, routes=to_ledger, policies=False)],
                added=added,
            ),
        ],
        clusters=[
            *pieces["clusters"],
            wired.cluster("inbound|8080||", world.grpc_port, is_http2=True),
            wired.cluster("inbound|9000||", world.echo_port),
            wired.cluster("broken-tls", world.echo_port, tls=wired.upstream_tls()),
            # Statistics have another name for it, records do not.
            {**renamed, "alt_stat_name": "ledger"},
        ],
    )


def send_everything(world: World, ports: dict[str, int]) -> None:
    """Requests of every kind, RPCs, denials, retries, TCP, failed handshakes."""
    caller, inbound = Caller(world.authority.client_context(world.frontend)), ports["inbound"]
    usual = {"user-agent": 'a "b" 200 -', "x-forwarded-for": "192.0.2.7"}
    assert caller.get(inbound, "/pay?amount=42", {**usual, "traceparent": TRACEPARENT}) == 200
    assert caller.get(inbound, "/b3", {"b3": TRACEPARENT[3:52]}) == 200
    multi = {"x-b3-traceid": TRACEPARENT[3:35], "x-b3-spanid": TRACEPARENT[36:52]}
    assert caller.get(inbound, "/odd", {**multi, "x-request-id": "order-7"}) == 200
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert caller.get(inbound, "/form", form, method="POST") == 200
    assert caller.get(inbound, "/admin", {}) == 403
    assert caller.get(inbound, "/broken", {}) == 503
    assert caller.get(inbound, "/dash", {"user-agent": "-"}) == 200
    odd = {"user-agent": "x\xff\xfey", "x-request-id": "\xff-7", "x-forwarded-for": "\xff"}
    assert caller.get(inbound, "/bytes", odd) == 200
    assert caller.get(inbound, "/empty", {"content-type": ""}) == 200
    assert caller.get(inbound, "/method", {}, method="PROPFIND") == 200
    for method, outcome in ((wired.CHARGE, "OK"), (wired.UNKNOWN, "UNIMPLEMENTED")):
        assert wired.call_grpc(inbound, method, world.authority, world.frontend).name == outcome
    assert wired.get_plain(ports["outbound"], "/ledger") == 503
    assert caller.echo(ports["inbound-tcp"], b"settle") == b"settle"
    rogue = Caller(world.authority.client_context(world.rogue))
    assert rogue.echo(ports["inbound-tcp"], b"settle") == b""
    nobody = Caller(wired.stranger(world.authority, world.directory))
    assert nobody.echo(inbound, b"GET / HTTP/1.1\r\n\r\n") == b""
    without = Caller(world.authority.client_context(None))
    assert without.echo(inbound, b"GET / HTTP/1.1\r\n\r\n") == b""


@dataclass(frozen=True, slots=True)
class Both:
    """The events of both kinds of record, by what they are of."""

    als: dict[Key, Row]
    otlp: dict[Key, Row]
    resources: list[dict[str, str]]

    def pair(self, path: str) -> tuple[Row, Row]:
        """Both events of the only request with this path."""
        [key] = [key for key, row in self.otlp.items() if row.get("url_path") == path]
        return self.als[key], self.otlp[key]


def wait_for(received: Received, count: int) -> None:
    """Wait until so many records of each kind have come."""
    wait_until(
        lambda: min(len(received.als), len(received.otlp)) >= count,
        f"{count} records of both kinds have come",
        seconds_max=ARRIVAL_S_MAX,
    )


@pytest.fixture(scope="module")
def both(world: World) -> Both:
    received = world.received
    with Envoy("both", sidecar(world), directory=world.directory) as envoy:
        ports = envoy.ports()
        send_everything(world, ports)
        config = source(world, ports["inbound"])
        with Envoy("source", config, directory=world.directory) as calling:
            assert wired.get_plain(calling.ports()["outbound"], "/mesh") == 200
            # The connection between the two ends with the one that calls.
            wait_for(received, RECORDS_COUNT - 1)
        wait_for(received, RECORDS_COUNT)
        assert envoy.records_dropped() == 0
    resources = [resource_pb2.Resource.FromString(resource) for resource, _ in received.otlp]
    said = [
        {one.key: one.value.string_value for one in resource.attributes} for resource in resources
    ]
    otlp = [
        (one["log_name"], PayloadFormat.OTLP_LOG, payload)
        for one, (_, payload) in zip(said, received.otlp, strict=True)
    ]
    return Both(events(received.als), events(otlp), said)


def events(records: list[tuple[str, PayloadFormat, bytes]]) -> dict[Key, Row]:
    """The event of each record, on a stream that was authenticated as payments."""
    entries = [entry(payload, kind, seq=seq) for seq, (_, kind, payload) in enumerate(records, 1)]
    derive_both(opened(PAYMENTS), *entries)
    rows = derive(opened(PAYMENTS), *entries)[1:]
    found = {
        (name, row["time"], row.get("envoy_access_log_type")): row
        for (name, _, _), row in zip(records, rows, strict=True)
    }
    assert len(found) == len(records)
    return found


def different(als: Row, otlp: Row) -> set[str]:
    names = {*als, *otlp} - OF_THE_ENTRY
    return {name for name in names if als.get(name) != otlp.get(name)}


def test_every_record_is_there_once_of_each_kind(both: Both) -> None:
    assert both.als.keys() == both.otlp.keys()
    assert len(both.otlp) == RECORDS_COUNT


def test_all_columns_are_equal_but_for_what_only_one_of_them_can_say(both: Both) -> None:
    unequal = {
        key: different(both.als[key], row)
        for key, row in both.otlp.items()
        if row.get("url_path") not in {"/dash", "/empty", "/method"}
    }
    assert {key: names for key, names in unequal.items() if names} == {}


def test_every_column_that_records_of_a_proxy_have_is_filled(both: Both) -> None:
    filled = {name for row in both.otlp.values() for name in row}
    assert BY_NAME.keys() - filled == FROM_NEITHER.keys()
    # And so it was compared: what no record fills would be equal, too.
    promised = {name for attribute in ATTRIBUTES for name in attribute.fills}
    assert promised <= filled


def test_header_that_is_a_dash_counts_as_none(both: Both) -> None:
    als, otlp = both.pair("/dash")
    assert different(als, otlp) == {"user_agent_original"}
    assert als["user_agent_original"] == "-"


def test_logged_header_that_is_empty_counts_as_none(both: Both) -> None:
    als, otlp = both.pair("/empty")
    assert different(als, otlp) == {"http_request_content_type"}
    assert als["http_request_content_type"] == ""


def test_method_that_the_access_log_service_has_no_word_for_is_told(both: Both) -> None:
    als, otlp = both.pair("/method")
    assert different(als, otlp) == {"http_request_method"}
    assert otlp["http_request_method"] == "PROPFIND"


def test_bytes_that_are_no_utf8_are_mended_alike_and_hide_nothing(both: Both) -> None:
    _, otlp = both.pair("/bytes")
    assert (otlp["user_agent_original"], otlp["request_id_text"]) == ("x!!y", "!-7")
    assert otlp["src_spiffe_id"] == FRONTEND


def test_what_was_sent_is_what_is_told(both: Both) -> None:
    _, pay = both.pair("/pay")
    assert (pay["url_query"], pay["src_spiffe_id"], pay["dst_spiffe_id"]) == (
        "amount=42",
        FRONTEND,
        PAYMENTS,
    )
    assert pay["src_spiffe_id_trust"] == pay["decision_trust"] == "attested"
    assert pay["user_agent_original"] == 'a "b" 200 -'
    _, denied = both.pair("/admin")
    assert (denied["decision"], denied["policy_name"]) == ("denied", "no-admin")
    _, broken = both.pair("/broken")
    assert broken["envoy_attempt_count"] == 3
    assert broken["envoy_response_flags"] == "UF,URX"
    assert "SSL routines" in broken["envoy_upstream_transport_failure"]
    _, ledger = both.pair("/ledger")
    assert (ledger["side"], ledger["envoy_upstream_cluster"]) == ("source", "outbound|443||ledger")
    assert [
        both.pair(path)[1]["rpc_grpc_status_code"] for path in (wired.CHARGE, wired.UNKNOWN)
    ] == [0, 12]


def test_callee_is_told_at_the_source_by_its_certificate(both: Both) -> None:
    ends = {row["side"]: key for key, row in both.otlp.items() if row.get("url_path") == "/mesh"}
    assert ends.keys() == {"source", "destination"}
    for rows in (both.als, both.otlp):
        row = rows[ends["source"]]
        assert row["dst_spiffe_id"] == PAYMENTS
        assert row["envoy_upstream_cluster"] == TO_PAYMENTS


def test_failed_handshakes_and_connections_are_told_apart(both: Both) -> None:
    kinds = [row["kind"] for row in both.otlp.values()]
    assert kinds.count("handshake") == 2
    assert kinds.count("request") == REQUESTS_COUNT
    assert len(kinds) == kinds.count("connection") + REQUESTS_COUNT + 2


def test_resource_says_who_reports(both: Both) -> None:
    assert {one["node_name"] for one in both.resources} == {f"sidecar~{wired.NODE}"}
    assert {one["cluster_name"] for one in both.resources} == {"payments.shop"}
    assert {one["log_name"] for one in both.resources} == LOG_NAMES
    assert {one["service.name"] for one in both.resources} == {"envoy"}
