"""A mesh of two sidecars: frontend and payments, each its own Envoy process.

    client ──► frontend sidecar ──mTLS──► payments sidecar ──► answers by itself, or an echo server
                     └────────── access log service ─────────────┘──► the collector

``outbound`` speaks as frontend, ``outbound-rogue`` as an identity that no policy allows. The
payments sidecar also terminates TLS for ``ledger``, whose certificate is not the one that its own
access log stream is authenticated by. Its inbound listener logs connections, and with them failed
handshakes, as ``listener_envoy_accesslog``.
"""

from __future__ import annotations

import contextlib
import socketserver
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

from meshtrail.demo.authority import Authority, Identity
from tests.rig import configuration as envoy_config
from tests.rig.envoy import Envoy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.configuration import Config

HTTP_LOG = "http_envoy_accesslog"
TCP_LOG = "tcp_envoy_accesslog"
LISTENER_LOG = "listener_envoy_accesslog"

FRONTEND_IP = "10.0.0.5"
PAYMENTS_IP = "10.0.0.7"

TO_PAYMENTS = "outbound|8080||payments.shop.svc.cluster.local"
TO_PAYMENTS_TCP = "outbound|9000||payments.shop.svc.cluster.local"
TO_APPLICATION_TCP = "inbound|9000||"
"""Upstream clusters are named as in Istio, but for those of the rogue and of the ledger."""

ALLOW_POLICY = "ns[shop]-policy[payments-allow]-rule[0]"
TCP_ALLOW_POLICY = "ns[shop]-policy[payments-tcp-allow]-rule[0]"
DENY_POLICY = "ns[shop]-policy[payments-no-admin]-rule[1]"
DRY_RUN_POLICY = "ns[shop]-policy[payments-read-only]-rule[0]"
DRY_RUN_PREFIX = "istio_dry_run_allow_"

BUFFER_BYTES = 1 << 20
"""Room for all records of a load: with Envoy's 16 KiB, what is logged before the stream to
the collector stands, a TLS handshake later, would be dropped (and counted in ``logs_dropped``)."""
STATUS_BY_PREFIX = {
    "/api/created": 201,
    "/api/missing": 404,
    "/api/broken": 503,
    "/api/gone-quiet": 204,
}
"""What payments answers below these prefixes; anything else is a 200."""


@dataclass(frozen=True, slots=True)
class Identities:
    """Who is who in the mesh."""

    authority: Authority
    frontend: Identity
    payments: Identity
    ledger: Identity
    rogue: Identity
    collector: Identity


@dataclass(frozen=True, slots=True)
class Mesh:
    """The running mesh."""

    identities: Identities
    frontend: Envoy
    payments: Envoy
    frontend_ports: dict[str, int]
    payments_ports: dict[str, int]


def issue_identities(directory: Path) -> Identities:
    """Issue one SVID for each party."""
    authority = Authority(directory)
    return Identities(
        authority=authority,
        frontend=authority.issue("ns/shop/sa/frontend"),
        payments=authority.issue("ns/shop/sa/payments"),
        ledger=authority.issue("ns/shop/sa/ledger"),
        rogue=authority.issue("ns/dev/sa/rogue"),
        collector=authority.issue("ns/meshtrail/sa/collector", is_named_localhost=True),
    )


@contextlib.contextmanager
def running_mesh(
    identities: Identities, *, directory: Path, collector_port: int, is_collector_mtls: bool
) -> Iterator[Mesh]:
    """Run both sidecars, reporting to the collector with their own SVIDs or in the clear."""
    with contextlib.ExitStack() as stack:
        echo_port = stack.enter_context(running_echo_server())
        collectors = {
            identity.spiffe_id: _collector_cluster(
                identities, identity, port=collector_port, is_mtls=is_collector_mtls
            )
            for identity in (identities.frontend, identities.payments)
        }
        payments = stack.enter_context(
            Envoy(
                "payments",
                _payments_config(
                    identities,
                    echo_port=echo_port,
                    collector=collectors[identities.payments.spiffe_id],
                ),
                directory=directory,
            )
        )
        payments_ports = payments.ports()
        frontend = stack.enter_context(
            Envoy(
                "frontend",
                _frontend_config(
                    identities,
                    payments_ports=payments_ports,
                    collector=collectors[identities.frontend.spiffe_id],
                ),
                directory=directory,
            )
        )
        yield Mesh(
            identities=identities,
            frontend=frontend,
            payments=payments,
            frontend_ports=frontend.ports(),
            payments_ports=payments_ports,
        )


def _collector_cluster(
    identities: Identities, identity: Identity, *, port: int, is_mtls: bool
) -> Config:
    transport_socket = None
    if is_mtls:
        transport_socket = envoy_config.upstream_mtls(
            identities.authority, identity, peer=identities.collector.spiffe_id, alpn="h2"
        )
    return envoy_config.cluster(
        envoy_config.COLLECTOR_CLUSTER, port, transport_socket=transport_socket, is_http2=True
    )


def _payments_config(identities: Identities, *, echo_port: int, collector: Config) -> Config:
    def mtls(identity: Identity) -> Config:
        return envoy_config.downstream_mtls(identities.authority, identity)

    routes = [envoy_config.direct_response(*item) for item in STATUS_BY_PREFIX.items()]
    routes.append(envoy_config.direct_response("/", 200))
    inbound = envoy_config.http_filter(
        "inbound",
        access_log=envoy_config.http_access_log(HTTP_LOG, buffer_bytes=BUFFER_BYTES),
        routes=routes,
        http_filters=_payments_policies(identities),
    )
    unguarded = envoy_config.http_filter(
        "unguarded",
        access_log=envoy_config.http_access_log(HTTP_LOG, buffer_bytes=BUFFER_BYTES),
        routes=routes,
    )
    tcp_policy = envoy_config.policy(spiffe_ids=[identities.frontend.spiffe_id])
    tcp_filters = [
        envoy_config.network_rbac("inbound_tcp", {TCP_ALLOW_POLICY: tcp_policy}),
        envoy_config.tcp_filter(
            "inbound_tcp",
            cluster=TO_APPLICATION_TCP,
            access_log=envoy_config.tcp_access_log(TCP_LOG, buffer_bytes=BUFFER_BYTES),
        ),
    ]
    return envoy_config.bootstrap(
        node=envoy_config.node(workload="payments", namespace="shop", ip=PAYMENTS_IP),
        listeners=[
            envoy_config.listener(
                "inbound",
                [inbound],
                access_log=envoy_config.tcp_access_log(LISTENER_LOG, buffer_bytes=BUFFER_BYTES),
                transport_socket=mtls(identities.payments),
            ),
            envoy_config.listener(
                "inbound-tcp", tcp_filters, transport_socket=mtls(identities.payments)
            ),
            envoy_config.listener(
                "inbound-ledger", [unguarded], transport_socket=mtls(identities.ledger)
            ),
        ],
        clusters=[collector, envoy_config.cluster(TO_APPLICATION_TCP, echo_port)],
    )


def _payments_policies(identities: Identities) -> list[Config]:
    """DENY before ALLOW, as Istio orders them; the dry run allows nothing but GET."""
    caller = [identities.frontend.spiffe_id]
    return [
        envoy_config.whole_requests(),
        envoy_config.http_rbac("DENY", {DENY_POLICY: envoy_config.policy(path_prefix="/admin")}),
        envoy_config.http_rbac(
            "ALLOW",
            {ALLOW_POLICY: envoy_config.policy(spiffe_ids=caller)},
            shadow_policies={DRY_RUN_POLICY: envoy_config.policy(spiffe_ids=caller, method="GET")},
            shadow_prefix=DRY_RUN_PREFIX,
        ),
    ]


def _frontend_config(
    identities: Identities, *, payments_ports: dict[str, int], collector: Config
) -> Config:
    def upstream(name: str, listener: str, identity: Identity, peer: Identity) -> Config:
        service = peer.spiffe_id.rpartition("/")[2]
        transport_socket = envoy_config.upstream_mtls(
            identities.authority,
            identity,
            peer=peer.spiffe_id,
            sni=f"outbound_.8080_._.{service}.shop.svc.cluster.local",
        )
        return envoy_config.cluster(
            name, payments_ports[listener], transport_socket=transport_socket
        )

    def outbound(name: str, routes: dict[str, str]) -> Config:
        http = envoy_config.http_filter(
            name,
            access_log=envoy_config.http_access_log(HTTP_LOG, buffer_bytes=BUFFER_BYTES),
            routes=[
                {"match": {"prefix": prefix}, "route": {"cluster": target}}
                for prefix, target in routes.items()
            ],
        )
        return envoy_config.listener(name, [http])

    def outbound_tcp(name: str, target: str) -> Config:
        log = envoy_config.tcp_access_log(TCP_LOG, buffer_bytes=BUFFER_BYTES)
        return envoy_config.listener(
            name, [envoy_config.tcp_filter(name, cluster=target, access_log=log)]
        )

    payments, ledger = identities.payments, identities.ledger
    return envoy_config.bootstrap(
        node=envoy_config.node(workload="frontend", namespace="shop", ip=FRONTEND_IP),
        listeners=[
            outbound("outbound", {"/ledger": "ledger", "/": TO_PAYMENTS}),
            outbound("outbound-rogue", {"/": "payments-as-rogue"}),
            outbound_tcp("outbound-tcp", TO_PAYMENTS_TCP),
            outbound_tcp("outbound-tcp-rogue", "payments-tcp-as-rogue"),
        ],
        clusters=[
            collector,
            upstream(TO_PAYMENTS, "inbound", identities.frontend, payments),
            upstream("payments-as-rogue", "inbound", identities.rogue, payments),
            upstream(TO_PAYMENTS_TCP, "inbound-tcp", identities.frontend, payments),
            upstream("payments-tcp-as-rogue", "inbound-tcp", identities.rogue, payments),
            upstream("ledger", "inbound-ledger", identities.frontend, ledger),
        ],
    )


class _Echo(socketserver.BaseRequestHandler):
    @override
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


class _EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextlib.contextmanager
def running_echo_server() -> Iterator[int]:
    """An echo server on a free loopback port, which is what is yielded."""
    with _EchoServer((envoy_config.LOOPBACK, 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
