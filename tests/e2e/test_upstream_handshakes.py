"""A real Envoy as the client: why its handshakes fail, and whom its upstreams are known as."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo.authority import Authority
from tests.e2e import wired_proxy as wired
from tests.e2e.failing_upstreams import PAYMENTS, make_upstreams
from tests.e2e.odd_certificates import Workshop
from tests.rig.envoy import Envoy
from tests.rig.recorder import running_recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.failing_upstreams import Upstream
    from tests.e2e.wired_proxy import Config

Row = dict[str, Any]

SEAL_S_MAX = 60.0
LOOPBACK = "127.0.0.1"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
LISTENER_LOG, HTTP_LOG = "listener_envoy_accesslog", "http_envoy_accesslog"
DISTRUSTING = ("TLSv1_2", "TLSv1_3")
"""Versions in which the proxy also refuses another Envoy, whose log has the alert."""


@dataclass(frozen=True, slots=True)
class World:
    """Upstreams by name, and all that was recorded of calls to them."""

    upstreams: dict[str, Upstream]
    rows: list[Row]

    def rows_of(self, name: str, log: str) -> list[Row]:
        """The rows of calls to an upstream, by one of the proxy's logs."""
        cluster = cluster_name(name)
        return [
            row
            for row in self.rows
            if row.get("envoy_upstream_cluster") == cluster and row["reporter_log_name"] == log
        ]


def cluster_name(name: str) -> str:
    return f"outbound|443||{name}"


def upstream_tls(certificate: Path, trusted: Path, *, newest: str = "TLSv1_3") -> Config:
    """TLS that shows a certificate and takes only ``PAYMENTS``."""
    pair = {
        "certificate_chain": {"filename": str(certificate)},
        "private_key": {"filename": str(certificate)},
    }
    name = {"san_type": "URI", "matcher": {"exact": PAYMENTS}}
    return wired.typed(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.UpstreamTlsContext",
        common_tls_context={
            "tls_params": {"tls_maximum_protocol_version": newest},
            "tls_certificates": [pair],
            "validation_context": {
                "trusted_ca": {"filename": str(trusted)},
                "match_typed_subject_alt_names": [name],
            },
        },
    )


def outbound(pieces: Config, name: str) -> list[Config]:
    """Two listeners for calls to an upstream: requests, and connections."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster_name(name)}}
    manager = wired.http_manager(
        added=pieces["http_connection_manager"], routes=[route], policies=False
    )
    proxy = wired.tcp_proxy(added=pieces["tcp_proxy"], cluster=cluster_name(name))
    return [
        wired.listener(f"{name}-http", [manager], added=pieces["listener"]),
        wired.listener(f"{name}-tcp", proxy, added=pieces["listener"]),
    ]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("upstreams")
    authority = Authority(directory / "authority")
    collector = authority.issue("ns/meshtrail/sa/meshtrail")
    frontend, payments = (
        authority.issue(f"ns/shop/sa/{name}") for name in ("frontend", "payments")
    )
    mesh = Workshop(directory / "mesh", name="mesh CA")
    elsewhere = Workshop(directory / "elsewhere", name="another CA")
    upstreams = make_upstreams(mesh, elsewhere)
    with contextlib.ExitStack() as stack:
        recorder = stack.enter_context(running_recorder(directory, tls=(authority, collector)))
        files = ["--cert", str(frontend.chain), "--key", str(frontend.key)]
        files += ["--ca", str(authority.bundle), "--collector-spiffe-id", collector.spiffe_id]
        [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{recorder.port}", *files)
        certificate = mesh.issue(FRONTEND)
        tls = upstream_tls(certificate, mesh.bundle)
        listeners, clusters = [], []
        for name, upstream in upstreams.items():
            port = stack.enter_context(upstream.running())
            clusters.append(wired.cluster(cluster_name(name), port, tls=tls))
            listeners += outbound(pieces, name)
        echo_port = stack.enter_context(wired.running_echo_upstream())
        server = wired.listener(
            "server",
            wired.tcp_proxy(added=pieces["tcp_proxy"], cluster="inbound|9000||"),
            added=pieces["listener"],
            tls=wired.downstream_tls(authority, payments),
        )
        config = wired.bootstrap(
            listeners=[*listeners, server],
            clusters=[
                *pieces["clusters"],
                *clusters,
                wired.cluster("inbound|9000||", echo_port),
            ],
        )
        envoy = stack.enter_context(Envoy("calling", config, directory=directory))
        ports = envoy.ports()
        for name in upstreams:
            wired.get_plain(ports[f"{name}-http"], "/")
            with contextlib.suppress(OSError):
                wired.echo_plain(ports[f"{name}-tcp"], b"settle")
        distrusting = distrusting_config(ports["server"], pieces, mesh, certificate)
        other = stack.enter_context(Envoy("distrusting", distrusting, directory=directory))
        for version in DISTRUSTING:
            assert wired.get_plain(other.ports()[f"distrusted-{version}-http"], "/") == 503
        # The server has one for each request of the other Envoy, too.
        count = 3 * len(upstreams) + 3 * len(DISTRUSTING)
        query = f"reporter_log_name:({LISTENER_LOG}, {HTTP_LOG}) AND source:envoy-als"
        wait_until(
            lambda: len(recorder.search(query)) >= count,
            f"{count} requests and connections are sealed",
            seconds_max=SEAL_S_MAX,
        )
        yield World(upstreams, recorder.search(query))


def distrusting_config(port: int, pieces: Config, mesh: Workshop, certificate: Path) -> Config:
    """An Envoy that calls another, and does not know who signed its certificate."""
    names = {f"distrusted-{version}": version for version in DISTRUSTING}
    return wired.bootstrap(
        listeners=[one for name in names for one in outbound(pieces, name)],
        clusters=[
            *pieces["clusters"],
            *(
                wired.cluster(
                    cluster_name(name),
                    port,
                    tls=upstream_tls(certificate, mesh.bundle, newest=version),
                )
                for name, version in names.items()
            ),
        ],
    )


def test_request_has_the_class_of_its_upstreams_handshake(world: World) -> None:
    seen, wanted = {}, {}
    for name, upstream in world.upstreams.items():
        [row] = world.rows_of(name, HTTP_LOG)
        seen[name] = (row["kind"], row.get("tls_failure"))
        wanted[name] = ("request", upstream.failure)
    assert seen == wanted


def test_connection_has_the_class_of_its_upstreams_handshake(world: World) -> None:
    seen, wanted = {}, {}
    for name, upstream in world.upstreams.items():
        # The listener's record of an HTTP connection knows no upstream.
        [row] = world.rows_of(name, LISTENER_LOG)
        seen[name] = (row["kind"], row.get("tls_failure"))
        wanted[name] = ("connection", upstream.failure)
    assert seen == wanted


@pytest.mark.parametrize("log", [HTTP_LOG, LISTENER_LOG])
def test_callee_is_whom_the_upstreams_certificate_named(world: World, log: str) -> None:
    seen, wanted = {}, {}
    for name, upstream in world.upstreams.items():
        [row] = world.rows_of(name, log)
        assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "derived")
        seen[name] = (row.get("dst_spiffe_id"), row.get("dst_spiffe_id_trust"))
        wanted[name] = upstream.callee
    assert seen == wanted


def test_several_names_of_an_upstream_are_told_of(world: World) -> None:
    told = {
        row["envoy_upstream_cluster"] for row in world.rows if row.get("decode_error") is not None
    }
    assert told == {cluster_name("of-several-names")}


def test_proxy_that_refuses_a_server_tells_why_and_so_does_the_server(world: World) -> None:
    for version in DISTRUSTING:
        [row] = world.rows_of(f"distrusted-{version}", HTTP_LOG)
        assert row["tls_failure"] == "unknown_ca"
        assert "CERTIFICATE_VERIFY_FAILED" in row["envoy_upstream_transport_failure"]
    alerted = [
        row
        for row in world.rows
        if "ALERT_UNKNOWN_CA" in row.get("envoy_downstream_transport_failure", "")
    ]
    # BoringSSL encrypts its alerts in TLS 1.3, so that Envoy can read them.
    assert {row["tls_protocol_version"] for row in alerted} == {"1.2", "1.3"}
    assert {(row["kind"], row["tls_failure"]) for row in alerted} == {("handshake", "unknown_ca")}
    assert not [row for row in alerted if "src_spiffe_id" in row]
