"""The resources for Istio, as istiod would hand them to a real Envoy, record everything once."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo.authority import Authority
from tests.e2e import wired_proxy as wired
from tests.e2e.istiod import GATEWAY, SIDECAR_INBOUND, SIDECAR_OUTBOUND, Istiod
from tests.e2e.wired_proxy import Caller, Config
from tests.rig.envoy import Envoy
from tests.rig.recorder import running_recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

SEAL_S_MAX = 60.0
HTTP, TCP, NOBODY = "http.shop", "tcp.shop", "nobody.shop"
"""The names that callers ask for choose the filter chain; for the last there is none."""
TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HTTP_LOG, TCP_LOG, LISTENER_LOG = (
    "http_envoy_accesslog",
    "tcp_envoy_accesslog",
    "listener_envoy_accesslog",
)
# Two requests, one of which does not parse; then whatever came in, once each: those two, TCP, a
# name without a route, and a caller without a certificate.
FROM_ELSEWHERE = {
    (HTTP_LOG, "request"): 2,
    (LISTENER_LOG, "connection"): 4,
    (LISTENER_LOG, "handshake"): 1,
}
EXPECTED = {
    "virtualInbound": FROM_ELSEWHERE,
    "gateway": FROM_ELSEWHERE,
    # Nobody asked for the connections of an application to its own sidecar.
    "outbound": {(HTTP_LOG, "request"): 1},
    "outbound-tcp": {(TCP_LOG, "connection"): 1},
}


def chains(istiod: Istiod, context: str, tls: Config | None) -> list[Config]:
    """One filter chain for HTTP, one for TCP."""
    access_log = {"access_log": istiod.access_log(context)}
    manager = wired.http_manager(added=access_log, routes=[wired.answer("/", 200)], policies=False)
    proxy = wired.tcp_proxy(added=access_log, cluster="inbound|9000||")
    socket = {"transport_socket": tls} if tls else {}
    return [
        {"filter_chain_match": {"server_names": [HTTP]}, "filters": [manager], **socket},
        {"filter_chain_match": {"server_names": [TCP]}, "filters": proxy, **socket},
    ]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Row]]]:
    """What is sealed, by the listener that it happened at."""
    directory = tmp_path_factory.mktemp("istio")
    authority = Authority(directory / "certificates")
    payments = authority.issue("ns/shop/sa/payments")
    collector = authority.issue("ns/meshtrail/sa/meshtrail")
    istiod = Istiod(wired.emit("istio"))
    tls = wired.downstream_tls(authority, payments)
    with contextlib.ExitStack() as stack:
        recorder = stack.enter_context(running_recorder(directory, tls=(authority, collector)))
        echo_port = stack.enter_context(wired.running_echo_upstream())
        inside = [chain["filters"] for chain in chains(istiod, SIDECAR_OUTBOUND, None)]
        listeners = {
            "sidecar": [
                istiod.listener(
                    "virtualInbound", SIDECAR_INBOUND, chains(istiod, SIDECAR_INBOUND, tls)
                ),
                *(
                    istiod.listener(name, SIDECAR_OUTBOUND, [{"filters": one}], inspector=False)
                    for name, one in zip(("outbound", "outbound-tcp"), inside, strict=True)
                ),
            ],
            "router": [istiod.listener("gateway", GATEWAY, chains(istiod, GATEWAY, tls))],
        }
        clusters = [
            istiod.cluster(recorder.port, authority, payments),
            wired.cluster("inbound|9000||", echo_port),
        ]
        ports: dict[str, int] = {}
        for kind, of_kind in listeners.items():
            config = wired.bootstrap(listeners=of_kind, clusters=clusters, kind=kind)
            ports |= stack.enter_context(Envoy(kind, config, directory=directory)).ports()
        frontend = Caller(authority.client_context(authority.issue("ns/shop/sa/frontend")))
        for name in ("virtualInbound", "gateway"):
            send_everything(ports[name], frontend, authority)
        assert wired.get_plain(ports["outbound"], "/") == 200
        assert wired.echo_plain(ports["outbound-tcp"], b"settle") == b"settle"
        expected_count = sum(sum(counts.values()) for counts in EXPECTED.values())
        wait_until(
            lambda: len(recorder.search("source:envoy-als")) >= expected_count,
            f"{expected_count} records are sealed",
            seconds_max=SEAL_S_MAX,
        )
        # Whatever is sent twice is sent at the same moment; a last request comes after all of it.
        assert wired.get_plain(ports["outbound"], "/last") == 200
        wait_until(
            lambda: bool(recorder.search("path:/last")), "the last one", seconds_max=SEAL_S_MAX
        )
        found = [
            row for row in recorder.search("source:envoy-als") if row.get("url_path") != "/last"
        ]
        yield {
            name: [row for row in found if row["dst_port"] == port] for name, port in ports.items()
        }


def send_everything(port: int, caller: Caller, authority: Authority) -> None:
    """A request, one that does not parse, TCP, a name that nobody has, and no certificate."""
    traced = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}
    assert caller.get(port, "/pay", traced, server_name=HTTP) == 200
    assert caller.echo(port, b"GARBAGE\r\n\r\n", server_name=HTTP).startswith(b"HTTP/1.1 40")
    assert caller.echo(port, b"settle", server_name=TCP) == b"settle"
    assert caller.echo(port, b"settle", server_name=NOBODY) == b""
    without = Caller(authority.client_context(None))
    assert without.echo(port, b"settle", server_name=TCP) == b""


@pytest.mark.parametrize("listener", EXPECTED)
def test_everything_is_recorded_once_and_as_what_it_is(
    rows: dict[str, list[Row]], listener: str
) -> None:
    counts = Counter((row["reporter_log_name"], row["kind"]) for row in rows[listener])
    assert counts == EXPECTED[listener]


def test_nothing_comes_from_any_other_listener(rows: dict[str, list[Row]]) -> None:
    assert rows.keys() == EXPECTED.keys()


@pytest.mark.parametrize("listener", ["virtualInbound", "gateway"])
def test_request_has_the_headers_that_were_asked_for(
    rows: dict[str, list[Row]], listener: str
) -> None:
    [row] = [row for row in rows[listener] if row.get("url_path") == "/pay"]
    assert (row["trace_id"], row["span_id"]) == (TRACE_ID, SPAN_ID)
    assert row["http_response_content_type"] == "text/plain"


@pytest.mark.parametrize("listener", ["virtualInbound", "gateway"])
def test_request_that_does_not_parse_is_no_less_recorded(
    rows: dict[str, list[Row]], listener: str
) -> None:
    [row] = [
        row
        for row in rows[listener]
        if row.get("envoy_response_code_details") == "http1.codec_error"
    ]
    assert row["http_response_status_code"] == 400
    assert "http_request_method" not in row or row["http_request_method"] is None


@pytest.mark.parametrize("listener", ["virtualInbound", "gateway"])
def test_failed_handshake_is_recorded_with_its_reason(
    rows: dict[str, list[Row]], listener: str
) -> None:
    [row] = [row for row in rows[listener] if row["kind"] == "handshake"]
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in row["envoy_downstream_transport_failure"]


def test_sidecar_is_authenticated_by_its_own_certificate(rows: dict[str, list[Row]]) -> None:
    found = [row for of_listener in rows.values() for row in of_listener]
    assert {row["reporter_auth"] for row in found} == {"mtls"}
    identities = {row["reporter_spiffe_id"] for row in found}
    assert identities == {"spiffe://cluster.local/ns/shop/sa/payments"}
