from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.wiring import CiliumPart, format_cilium
from meshtrail.wiring.cilium import LINES
from tests.unit.wiring.wirings import DOOR


def documents(part: CiliumPart | None = None) -> list[dict[str, Any]]:
    text = format_cilium(DOOR, namespace="shop", part=part)
    return [document for document in yaml.safe_load_all(text) if document is not None]


def test_exporter_leaves_nothing_out_and_writes_where_lines_are_read() -> None:
    static = yaml.safe_load(format_cilium(DOOR, namespace="a", part="values").split("---\n")[1])[
        "hubble"
    ]["export"]["static"]
    assert static["filePath"] == LINES.path
    for name in ("fieldMask", "fieldAggregate", "allowList", "denyList"):
        assert static[name] == []
    assert static["fileCompress"] is False


def test_ring_is_one_less_than_a_power_of_two() -> None:
    [values] = documents("values")
    capacity = int(values["hubble"]["eventBufferCapacity"])
    assert capacity & (capacity + 1) == 0


def test_policy_for_seeing_closes_nothing_and_lets_everything_through() -> None:
    [policy] = documents("resources")
    spec = policy["spec"]
    assert policy["metadata"] == {"name": "meshtrail-visibility", "namespace": "shop"}
    assert spec["enableDefaultDeny"] == {"ingress": False, "egress": False}
    assert spec["ingress"][0]["toPorts"][0]["rules"] == {"http": [{}]}
    assert spec["egress"][0]["toPorts"][0]["rules"] == {"dns": [{"matchPattern": "*"}]}


def test_audit_mode_of_policies_is_not_turned_on() -> None:
    assert "policyAuditMode" not in str(documents())


def test_namespace_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--namespace"):
        format_cilium(DOOR, namespace="Shop")
