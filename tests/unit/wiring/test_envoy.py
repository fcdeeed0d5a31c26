from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.sources.custom_tags import CLIENT_HASH, CONNECTION_ID, UPSTREAM_NAMES
from meshtrail.wiring import EnvoyWiring, format_envoy, parse_endpoint
from tests.unit.wiring.wirings import (
    COLLECTOR,
    ELSEWHERE,
    ENVOY,
    FILES,
    LOOPBACK,
    common_config,
)

PLACES = [
    "clusters",
    "listener",
    "tls_listener",
    "http_connection_manager",
    "tcp_proxy",
    "bootstrap",
    "lean_bootstrap",
    "http_tracing",
]
LOGGING = ["listener", "http_connection_manager", "tcp_proxy"]


def pieces(wiring: EnvoyWiring) -> dict[str, Any]:
    found: dict[str, Any] = next(yaml.safe_load_all(format_envoy(wiring)))
    return found


@pytest.mark.parametrize("name", ENVOY)
def test_first_document_has_one_key_for_each_place(name: str) -> None:
    assert list(pieces(ENVOY[name])) == PLACES


@pytest.mark.parametrize("name", ENVOY)
def test_every_access_log_sends_to_the_cluster_that_is_printed(name: str) -> None:
    found = pieces(ENVOY[name])
    [cluster] = found["clusters"]
    for place in LOGGING:
        [log] = found[place]["access_log"]
        target = common_config(log).get("grpc_service")
        if ENVOY[name].access_log_file is not None:
            assert log["typed_config"]["path"] == ENVOY[name].access_log_file
            continue
        assert target == {"envoy_grpc": {"cluster_name": cluster["name"]}}
    assert cluster["load_assignment"]["cluster_name"] == cluster["name"]
    [sink] = found["bootstrap"]["stats_sinks"]
    target = sink["typed_config"]["grpc_service"]
    assert target == {"envoy_grpc": {"cluster_name": cluster["name"]}}


@pytest.mark.parametrize(
    ("address", "kind"),
    [("10.0.0.7:4317", "STATIC"), ("[fd00::7]:1", "STATIC"), ("trail.example.com:9", "STRICT_DNS")],
)
def test_cluster_looks_names_up_and_takes_addresses_as_they_are(address: str, kind: str) -> None:
    endpoint = parse_endpoint(address)
    [cluster] = pieces(EnvoyWiring(collector=endpoint, identity=FILES))["clusters"]
    assert cluster["type"] == kind
    [found] = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert found["endpoint"]["address"]["socket_address"] == {
        "address": endpoint.host,
        "port_value": endpoint.port,
    }


def test_records_never_go_out_in_the_clear_beyond_loopback() -> None:
    with pytest.raises(ConfigError, match=r"in the clear.*give --cert, --key and --ca"):
        EnvoyWiring(collector=ELSEWHERE)
    assert "transport_socket" not in pieces(EnvoyWiring(collector=LOOPBACK))["clusters"][0]


def test_name_of_the_collector_without_tls_is_refused_rather_than_ignored() -> None:
    with pytest.raises(ConfigError, match="held against a certificate"):
        EnvoyWiring(collector=LOOPBACK, collector_spiffe_id=COLLECTOR)


def test_end_of_a_connection_is_logged_by_the_listener_alone() -> None:
    found = pieces(EnvoyWiring(collector=LOOPBACK))
    [listener_log] = found["listener"]["access_log"]
    [http_log] = found["http_connection_manager"]["access_log"]
    assert "filter" not in listener_log
    assert "filter" not in http_log
    [tcp_log] = found["tcp_proxy"]["access_log"]
    moments = ["TcpUpstreamConnected", "TcpPeriodic"]
    assert tcp_log["filter"] == {"log_type_filter": {"types": moments}}
    assert found["tcp_proxy"]["access_log_options"]["flush_access_log_on_connected"] is True


SENT = {name: wiring for name, wiring in ENVOY.items() if wiring.access_log_file is None}


@pytest.mark.parametrize("name", [name for name, wiring in SENT.items() if not wiring.is_otlp])
def test_every_log_asks_for_the_tags_that_become_columns(name: str) -> None:
    found = pieces(ENVOY[name])
    for place in LOGGING:
        [log] = found[place]["access_log"]
        tags = log["typed_config"]["common_config"]["custom_tags"]
        assert {tag["tag"]: tag["value"] for tag in tags} == {
            CONNECTION_ID: "%CONNECTION_ID%",
            CLIENT_HASH: "%DOWNSTREAM_PEER_FINGERPRINT_256%",
            UPSTREAM_NAMES: "%UPSTREAM_PEER_URI_SAN%",
        }


def test_log_names_are_all_different() -> None:
    for wiring in SENT.values():
        found = pieces(wiring)
        names = [
            common_config(log)["log_name"]
            for place in LOGGING
            for log in found[place]["access_log"]
        ]
        assert len(set(names)) == len(names)
