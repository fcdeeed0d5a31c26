from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.model.otlp_attributes import ATTRIBUTES, WHO_REPORTS, Told
from meshtrail.wiring.access_logs import BUFFER_BYTES, REQUEST_HEADERS
from meshtrail.wiring.otlp_logs import format_otlp_log, format_otlp_provider

SECRET = ("authorization", "cookie", "api-key", "PEER_CERT%")


def asked(told: Told) -> dict[str, str]:
    return {one.key: f"%{one.operator}%" for one in ATTRIBUTES if told in one.told}


def configured(**changed: Any) -> dict[str, Any]:
    text = format_otlp_log("a", cluster="b|c", told=changed.pop("told", Told.REQUEST), **changed)
    [log] = yaml.safe_load(text)
    found: dict[str, Any] = log
    return found


def provider(told: Told) -> dict[str, Any]:
    collector = "      service: trail\n      port: 4317"
    found: dict[str, Any] = yaml.safe_load(
        format_otlp_provider("a", collector=collector, told=told)
    )
    return found


@pytest.mark.parametrize("told", [Told.REQUEST, Told.CONNECTION])
def test_log_asks_for_every_attribute_of_its_records_and_no_other(told: Told) -> None:
    values = configured(told=told)["typed_config"]["attributes"]["values"]
    assert {one["key"]: one["value"]["string_value"] for one in values} == asked(told)
    assert provider(told)["envoyOtelAls"]["logFormat"]["labels"] == asked(told) | {
        key: f"%{operator}%" for key, operator in WHO_REPORTS.items()
    }


def test_log_says_where_to_how_much_it_may_hold_and_who_reports() -> None:
    config = configured()["typed_config"]
    assert config["log_name"] == "a"
    assert config["grpc_service"] == {"envoy_grpc": {"cluster_name": "b|c"}}
    assert config["buffer_flush_interval"] == "0.25s"
    assert config["buffer_size_bytes"] == BUFFER_BYTES
    assert config["disable_builtin_labels"] is False
    [label] = config["resource_attributes"]["values"]
    assert label == {"key": "service.name", "value": {"string_value": "envoy"}}


def test_log_keeps_what_chooses_among_its_records() -> None:
    assert configured(filtered="  filter: {x: 1}\n")["filter"] == {"x": 1}


def test_provider_of_istio_does_without_the_log_line_that_nothing_reads() -> None:
    found = provider(Told.CONNECTION)["envoyOtelAls"]
    assert (found["service"], found["port"], found["logName"]) == ("trail", 4317, "a")
    assert "%" not in found["logFormat"]["text"]


def test_no_secret_is_asked_for_and_the_headers_are_those_of_the_access_log_service() -> None:
    operators = asked(Told.REQUEST).values()
    assert not [one for one in operators if any(word in one.lower() for word in SECRET)]
    assert {f"%REQ({name.upper()})%" for name in REQUEST_HEADERS} <= set(operators)
