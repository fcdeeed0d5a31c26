from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.wiring import IstioWiring, format_istio, parse_endpoint
from meshtrail.wiring.istio import IS_CONNECTION, IS_REQUEST
from tests.unit.wiring.wirings import COLLECTOR, ELSEWHERE, ISTIO, SERVICE, TEXTS, common_config


def documents(name: str) -> dict[str, dict[str, Any]]:
    """Resources by kind; MeshConfig under its own key."""
    found = yaml.safe_load_all(TEXTS[name])
    return {document.get("kind", "MeshConfig"): document for document in found}


def test_collector_in_the_cluster_needs_no_service_entry_and_one_outside_does() -> None:
    assert list(documents("istio")) == ["MeshConfig", "Telemetry", "DestinationRule", "EnvoyFilter"]
    outside = documents("istio-outside")
    assert outside["ServiceEntry"]["spec"]["hosts"] == [ELSEWHERE.host]
    assert outside["ServiceEntry"]["spec"]["ports"][0]["protocol"] == "GRPC"


@pytest.mark.parametrize("name", ISTIO)
def test_every_provider_is_turned_on_once_with_its_own_filter(name: str) -> None:
    found = documents(name)
    providers = found["MeshConfig"]["meshConfig"]["extensionProviders"]
    entries = found["Telemetry"]["spec"]["accessLogging"]
    turned_on = [one["name"] for entry in entries for one in entry["providers"]]
    assert turned_on == [provider["name"] for provider in providers]
    assert not any("disabled" in entry for entry in entries)
    expressions = [entry["filter"]["expression"] for entry in entries]
    assert expressions == [" ".join(IS_REQUEST.split()), " ".join(IS_CONNECTION.split())]


@pytest.mark.parametrize("name", ISTIO)
def test_every_part_names_the_same_collector(name: str) -> None:
    found, collector = documents(name), ISTIO[name].collector
    for provider in found["MeshConfig"]["meshConfig"]["extensionProviders"]:
        config = next(value for key, value in provider.items() if key != "name")
        assert (config["service"], config["port"]) == (collector.host, collector.port)
    assert found["DestinationRule"]["spec"]["host"] == collector.host
    for patch in found["EnvoyFilter"]["spec"]["configPatches"]:
        [log] = patch["patch"]["value"]["access_log"]
        target = common_config(log)["grpc_service"]["envoy_grpc"]
        assert target["cluster_name"] == f"outbound|{collector.port}||{collector.host}"


def test_resources_for_the_whole_mesh_lie_in_the_root_namespace() -> None:
    found = list(
        yaml.safe_load_all(
            format_istio(IstioWiring(collector=SERVICE, root_namespace="mesh"), part="resources")
        )
    )
    namespaces = {one["kind"]: one["metadata"]["namespace"] for one in found}
    assert namespaces == {
        "Telemetry": "mesh",
        "DestinationRule": "meshtrail",
        "EnvoyFilter": "mesh",
    }


def test_mtls_is_mutual_and_names_the_collector() -> None:
    for name, peer in (
        ("istio", "spiffe://cluster.local/ns/meshtrail/sa/meshtrail"),
        ("istio-outside", COLLECTOR),
    ):
        tls = documents(name)["DestinationRule"]["spec"]["trafficPolicy"]["tls"]
        assert tls == {"mode": "ISTIO_MUTUAL", "subjectAltNames": [peer]}


def test_parts_are_the_whole() -> None:
    wiring = ISTIO["istio-outside"]

    def read(text: str) -> list[Any]:
        return list(yaml.safe_load_all(text))

    parts = [read(format_istio(wiring, part=part)) for part in ("mesh-config", "resources")]
    assert [*parts[0], *parts[1]] == read(format_istio(wiring))
    assert all("kind" in document for document in parts[1])


@pytest.mark.parametrize("address", ["10.0.0.7:4317", "[fd00::7]:4317", "meshtrail:4317"])
def test_collector_that_istio_could_not_find_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="by its name"):
        IstioWiring(collector=parse_endpoint(address), collector_spiffe_id=COLLECTOR)


def test_collector_outside_the_cluster_must_be_given_its_identity() -> None:
    with pytest.raises(ConfigError, match="give --collector-spiffe-id"):
        IstioWiring(collector=ELSEWHERE)
