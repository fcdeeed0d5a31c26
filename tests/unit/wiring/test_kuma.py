from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.model.otlp_attributes import Told
from meshtrail.wiring import KumaWiring, format_kuma
from meshtrail.wiring.mesh_formats import mesh_operators
from tests.unit.wiring.wirings import DOOR, KUMA


def documents(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(format_kuma(KUMA[name])) if one is not None]


def backends(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document["spec"]
    [rule] = spec.get("rules") or spec["to"]
    found: list[dict[str, Any]] = rule["default"]["backends"]
    return found


def test_what_comes_in_and_what_goes_out_is_logged_in_two_policies_with_all_keys() -> None:
    inbound, outbound, _ = documents("kuma")
    assert ("rules" in inbound["spec"], "to" in inbound["spec"]) == (True, False)
    assert ("rules" in outbound["spec"], "to" in outbound["spec"]) == (False, True)
    for document in (inbound, outbound):
        [backend] = backends(document)
        file = backend["file"]
        asked = {one["key"]: one["value"] for one in file["format"]["json"]}
        assert asked == mesh_operators(Told.BOTH)
        assert len(asked) == len(file["format"]["json"])
        assert (file["path"], file["format"]["omitEmptyValues"]) == ("/dev/stdout", True)


def test_listener_has_a_log_of_its_own_without_which_failed_handshakes_are_in_none() -> None:
    patch = documents("kuma")[-1]
    [modification] = patch["spec"]["default"]["appendModifications"]
    listener = modification["listener"]
    assert listener["match"] == {"origin": "inbound"}
    [log] = yaml.safe_load(listener["value"])["accessLog"]
    config = log["typedConfig"]
    assert config["logFormat"]["jsonFormat"] == mesh_operators(Told.CONNECTION)
    assert "filter" not in log


def test_otlp_goes_where_the_backend_says_logs_and_spans_alike() -> None:
    target, *logs, trace = documents("kuma-otlp")
    assert target["spec"]["endpoint"] == {"address": "127.0.0.1", "port": 4317}
    name = target["metadata"]["name"]
    found = [*(backends(log)[0] for log in logs), trace["spec"]["default"]["backends"][0]]
    for backend in found:
        assert backend["openTelemetry"]["backendRef"]["name"] == name
    for log in logs:
        attributes = backends(log)[0]["openTelemetry"]["attributes"]
        asked = {one["key"]: one["value"] for one in attributes}
        assert asked == mesh_operators(Told.BOTH, is_json=False)
    assert set(trace["spec"]["default"]["sampling"].values()) == {100}


def test_every_resource_is_of_the_mesh_and_where_policies_count_for_all_of_it() -> None:
    for document in documents("kuma-otlp"):
        assert document["metadata"]["namespace"] == "kuma"
        assert document["metadata"]["labels"] == {"kuma.io/mesh": "shop"}


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"mesh": "a b"}, "--mesh"),
        ({"namespace": ""}, "--root-namespace"),
        ({"access_log_file": "a"}, "--access-log-file"),
    ],
)
def test_value_that_cannot_stand_is_refused(changed: dict[str, str], option: str) -> None:
    with pytest.raises(ConfigError, match=option):
        KumaWiring(collector=DOOR, **changed)  # type: ignore[arg-type]  # each is a text
