"""Two proxies whose access logs go wherever they are told, and traffic of every kind through them.

What they log is the same whatever carries it, so that tests can hold one carrier against another.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from envoy.service.accesslog.v3 import als_pb2

from meshtrail.demo.authority import Authority, Identity
from meshtrail.model.columns import COLUMNS
from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive, derive_both, entry, opened
from tests.e2e import wired_proxy as wired
from tests.e2e.signed_tokens import TokenIssuer, bearer, jwt_filter, optional, provider
from tests.e2e.wired_proxy import Caller, Config
from tests.otlp_records import fields_of
from tests.rig.configuration import upstream_mtls
from tests.rig.receiver import running_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Row = dict[str, Any]
Key = tuple[str, int, str | None]
Record = tuple[str, PayloadFormat, bytes]
"""The name of its log, and what it is."""

IDENTIFIER = 1
ALS_FORMATS = {2: PayloadFormat.ALS_HTTP, 3: PayloadFormat.ALS_TCP}
"""Field numbers of a message of the access log service, and what is in them."""

ARRIVAL_S_MAX = 30.0
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
PLACES = ("listener", "http_connection_manager", "tcp_proxy")
OF_THE_ENTRY = {"log_index", "seq", "source", "payload_format", "reporter_log_name"}
_OF_A_POD = ("workload", "service", "version", "pod", "node", "cluster", "workload_trust")
_OTHER_GROUPS = 230
"""From this field id on columns are of control planes, pods and deliveries."""
OF_OTHER_SOURCES = {
    *(column.name for column in COLUMNS if column.field_id >= _OTHER_GROUPS),
    *(f"{end}_{name}" for end in ("src", "dst") for name in _OF_A_POD),
    *("policy_kind", "network_transport", "dns_question_name"),
}
"""Columns that an Envoy cannot fill."""

REQUESTS_COUNT = 15 + 2
RECORDS_COUNT = 2 * REQUESTS_COUNT + 2 + 2 * 2 + 2
"""Requests, one of them at both ends, and as many connections for them; two TCP connections at
their ends and, in their own log, as the upstream was reached and at their ends again; two
handshakes."""
TO_PAYMENTS = "outbound|8080||payments.shop.svc.cluster.local"


@dataclass(slots=True)
class Received:
    """What the access log service took."""

    als: list[Record] = field(default_factory=list)
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


@dataclass(frozen=True, slots=True)
class World:
    """Certificates, upstreams and an access log service."""

    authority: Authority
    payments: Identity
    frontend: Identity
    rogue: Identity
    grpc_port: int
    echo_port: int
    als_port: int
    received: Received
    directory: Path
    issuer: TokenIssuer = field(default_factory=lambda: TokenIssuer("https://login.example"))


@contextlib.contextmanager
def running_world(directory: Path) -> Iterator[World]:
    """All that the proxies need."""
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
            received=received,
            directory=directory,
        )


def with_logs_of(pieces: Config, others: Config) -> Config:
    """What is printed, with the access logs of something else beside its own."""
    for place in PLACES:
        pieces[place]["access_log"] += others[place]["access_log"]
    for log in pieces["tcp_proxy"]["access_log"]:
        # As printed but for the filter, which waits a minute for its first record.
        del log["filter"]
    return pieces


def source(world: World, pieces: Config, *, inbound: int) -> Config:
    """The configuration of a proxy that calls the other one through mTLS."""
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


def sidecar(world: World, pieces: Config) -> Config:
    """A whole configuration with what is printed at its places."""
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
                "inbound",
                [wired.http_manager(added=http, routes=routes, first=[_users(world)])],
                added=of_tls,
                tls=tls,
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


def _users(world: World) -> Config:
    """Verifies the token of whoever shows one, and lets everybody through."""
    rules = [{"match": {"prefix": "/"}, "requires": optional("login")}]
    return jwt_filter({"login": provider(world.issuer, key="payload")}, rules)


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
    shown = bearer(world.issuer.sign("alice", email="alice@shop.example", groups=["a", "b"]))
    assert caller.get(inbound, "/user", {**shown, "x-user-id": "mallory"}) == 200
    assert caller.get(inbound, "/named", {"x-forwarded-user": "bob", "x-user-id": ""}) == 200
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


def events(records: list[Record], sender: bytes | None = None) -> dict[Key, Row]:
    """The event of each record, on a stream that was authenticated as payments by default."""
    stream = sender or opened(PAYMENTS)
    entries = [entry(payload, kind, seq=seq) for seq, (_, kind, payload) in enumerate(records, 1)]
    derive_both(stream, *entries)
    rows = derive(stream, *entries)[1:]
    found = {
        (name, row["time"], row.get("envoy_access_log_type")): row
        for (name, _, _), row in zip(records, rows, strict=True)
    }
    assert len(found) == len(records)
    return found


def different(one: Row, other: Row) -> set[str]:
    """The columns in which two events differ, but for those of the entry."""
    names = {*one, *other} - OF_THE_ENTRY
    return {name for name in names if one.get(name) != other.get(name)}
