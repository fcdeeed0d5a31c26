from __future__ import annotations

from typing import Any

import pytest
import yaml
from envoy.config.trace.v3 import opentelemetry_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as http,
)
from google.protobuf import json_format

from meshtrail.errors import ConfigError
from meshtrail.wiring import EnvoyWiring
from meshtrail.wiring.tracing import format_tracing
from tests.unit.wiring.wirings import LOOPBACK


def piece(service_name: str | None) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(format_tracing(service_name, cluster="meshtrail"))
    assert list(found) == ["http_tracing"]
    (tracing,) = found["http_tracing"].values()
    assert isinstance(tracing, dict)
    return tracing


@pytest.mark.parametrize("service_name", [None, "payments.shop"])
def test_what_is_printed_is_a_tracing_of_envoy(service_name: str | None) -> None:
    tracing = piece(service_name)
    config = tracing["provider"].pop("typed_config")
    assert (
        config.pop("@type")
        == f"type.googleapis.com/{opentelemetry_pb2.OpenTelemetryConfig.DESCRIPTOR.full_name}"
    )
    otlp = json_format.ParseDict(config, opentelemetry_pb2.OpenTelemetryConfig())
    assert otlp.service_name == (service_name or "")
    assert otlp.grpc_service.envoy_grpc.cluster_name == "meshtrail"
    parsed = json_format.ParseDict(tracing, http.HttpConnectionManager.Tracing())
    assert parsed.random_sampling.value == 100
    assert parsed.max_path_tag_length.value == 8_192


@pytest.mark.parametrize("name", ["", "-a", "a b", 'a"', "ü", "a" * 129, "a\n"])
def test_a_name_that_could_mean_something_to_yaml_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="--service-name"):
        EnvoyWiring(collector=LOOPBACK, service_name=name)
