"""Istio's OTLP provider, as istiod would hand it to a real Envoy: who reports, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.resource.v1 import resource_pb2

from meshtrail.demo.authority import Authority
from meshtrail.model.entry import PayloadFormat
from tests.als_records import FRONTEND, PAYMENTS, derive, entry, opened
from tests.e2e import wired_proxy as wired
from tests.e2e.istiod import SIDECAR_INBOUND, SIDECAR_OUTBOUND, Istiod
from tests.e2e.wired_proxy import Caller
from tests.otlp_records import cut_export
from tests.rig.envoy import Envoy
from tests.rig.otlp_receiver import running_otlp_receiver
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]

ARRIVAL_S_MAX = 30.0
COLLECTOR = "outbound|4317||meshtrail.meshtrail.svc.cluster.local"
POD = "payments-7d9c5bf6b4-x2vkq"
RECORDS_COUNT = 2 + 2 + 1
"""A request and one that does not parse, the connections of both, and one to elsewhere."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[bytes, bytes]]]:
    """The resource and the payload of everything that a sidecar logs."""
    directory = tmp_path_factory.mktemp("istio-otlp")
    authority = Authority(directory / "certificates")
    payments = authority.issue("ns/shop/sa/payments")
    istiod = Istiod(wired.emit("istio", "--otlp"))
    tls = wired.downstream_tls(authority, payments)
    received: list[tuple[bytes, bytes]] = []
    with pytest.MonkeyPatch.context() as environment, wired.running_echo_upstream() as echo_port:
        environment.setenv("POD_NAME", POD)
        environment.setenv("POD_NAMESPACE", "shop")
        environment.setenv("SERVICE_ACCOUNT", "payments")
        with running_otlp_receiver(lambda body: received.extend(cut_export(body))) as port:
            inbound = {"access_log": istiod.access_log(SIDECAR_INBOUND)}
            manager = wired.http_manager(added=inbound, routes=[wired.answer("/", 200)])
            outbound = {"access_log": istiod.access_log(SIDECAR_OUTBOUND)}
            proxy = wired.tcp_proxy(added=outbound, cluster="outbound|9000||ledger")
            chain = {"filters": [manager], "transport_socket": tls}
            config = wired.bootstrap(
                listeners=[
                    istiod.listener("virtualInbound", SIDECAR_INBOUND, [chain]),
                    istiod.listener(
                        "outbound", SIDECAR_OUTBOUND, [{"filters": proxy}], inspector=False
                    ),
                ],
                clusters=[
                    wired.cluster(COLLECTOR, port, is_http2=True),
                    wired.cluster("outbound|9000||ledger", echo_port),
                ],
            )
            with Envoy("istio-otlp", config, directory=directory) as envoy:
                ports = envoy.ports()
                caller = Caller(authority.client_context(authority.issue("ns/shop/sa/frontend")))
                assert (
                    caller.get(ports["virtualInbound"], "/pay", {"user-agent": 'a" 500 "'}) == 200
                )
                garbage = caller.echo(ports["virtualInbound"], b"GARBAGE\r\n\r\n")
                assert garbage.startswith(b"HTTP/1.1 40")
                assert wired.echo_plain(ports["outbound"], b"settle") == b"settle"
                wait_until(
                    lambda: len(received) >= RECORDS_COUNT,
                    f"{RECORDS_COUNT} records have come",
                    seconds_max=ARRIVAL_S_MAX,
                )
        yield received


def test_everything_is_recorded_once_and_as_what_it_is(exported: list[tuple[bytes, bytes]]) -> None:
    rows = events(exported)
    assert sorted(row["kind"] for row in rows) == ["connection"] * 3 + ["request"] * 2
    [pay] = [row for row in rows if row.get("url_path") == "/pay"]
    assert (pay["http_response_status_code"], pay["user_agent_original"]) == (200, 'a" 500 "')
    assert (pay["src_spiffe_id"], pay["decision"]) == (FRONTEND, "allowed")
    [out] = [row for row in rows if row.get("side") == "source"]
    assert (out["envoy_access_log_type"], out["bytes_received"]) == ("TcpConnectionEnd", 6)


def test_resource_of_the_provider_is_mute_and_its_records_say_what_fills_no_column(
    exported: list[tuple[bytes, bytes]],
) -> None:
    mute = [payload for resource, payload in exported if not labels(resource)]
    speaking = [labels(resource) for resource, _ in exported if labels(resource)]
    assert len(mute) == 3
    assert {one["node_name"] for one in speaking} == {f"sidecar~{wired.NODE}"}
    assert all(POD.encode() in payload for payload in mute)
    nobody = opened(None, auth="none")
    for row in derive(nobody, *(entry(one, PayloadFormat.OTLP_LOG, seq=1) for one in mute))[1:]:
        # What the stream says, and nothing that the record does.
        assert row["reporter_id"] == "sidecar~10.0.0.7"
        assert "reporter_spiffe_id" not in row
        assert POD not in str(row)


def labels(resource: bytes) -> dict[str, str]:
    said = resource_pb2.Resource.FromString(resource)
    return {one.key: one.value.string_value for one in said.attributes}


def events(exported: list[tuple[bytes, bytes]]) -> list[Row]:
    entries = [
        entry(payload, PayloadFormat.OTLP_LOG, seq=seq)
        for seq, (_, payload) in enumerate(exported, 1)
    ]
    return derive(opened(PAYMENTS), *entries)[1:]
