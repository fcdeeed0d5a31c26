from __future__ import annotations

import hashlib
import ipaddress
import json
from typing import Any

import pytest

from meshtrail.correlate.inventory import Inventory, parse_inventory
from meshtrail.errors import ConfigError

POD = {
    "pod": "web-1",
    "namespace": "shop",
    "service_account": "web",
    "addresses": ["10.0.0.7", "2001:db8::/64"],
    "image_digest": "sha256:aa",
    "from": "1970-01-01T00:00:10Z",
    "to": "1970-01-01T00:00:20Z",
}


def parse(*pods: dict[str, Any]) -> Inventory:
    return parse_inventory(json.dumps({"pods": pods}).encode(), name="inventory.json")


def is_at(inventory: Inventory, address: str, at_ns: int) -> bool:
    return bool(inventory.pods_at(address, at_ns, namespace="shop", service_account="web"))


def test_a_pod_is_at_its_addresses_for_its_lifetime() -> None:
    inventory, second = parse(POD), 1_000_000_000
    assert is_at(inventory, "10.0.0.7", 10 * second)
    assert is_at(inventory, "2001:db8::7", 20 * second - 1)
    assert not is_at(inventory, "10.0.0.8", 15 * second)
    assert not is_at(inventory, "::10.0.0.7", 15 * second)
    assert not is_at(inventory, "10.0.0.7", 10 * second - 1)
    assert not is_at(inventory, "10.0.0.7", 20 * second)
    assert not is_at(inventory, "no address", 15 * second)


def test_a_pod_without_a_lifetime_has_always_been_there() -> None:
    timeless = {name: value for name, value in POD.items() if name not in {"from", "to"}}
    assert is_at(parse(timeless), "10.0.0.7", 0)
    assert is_at(parse(timeless), "10.0.0.7", 2**62)


def test_all_pods_at_an_address_are_found_and_only_those_of_the_account() -> None:
    around = POD | {"pod": "web-2", "addresses": ["10.0.0.0/24"]}
    same = POD | {"pod": "web-3", "addresses": ["10.0.0.7/32"]}
    inventory = parse(POD, around, same, POD | {"service_account": "db"})
    found = inventory.pods_at("10.0.0.7", 15_000_000_000, namespace="shop", service_account="web")
    assert sorted(pod.name for pod in found) == ["web-1", "web-2", "web-3"]


def test_an_address_is_read_once_however_many_pods_an_account_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pods = [POD | {"pod": f"web-{at}", "addresses": [f"10.0.1.{at}"]} for at in range(200)]
    inventory = parse(*pods)
    read: list[str] = []
    parse_address = ipaddress.ip_address

    def count(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        read.append(address)
        return parse_address(address)

    monkeypatch.setattr(ipaddress, "ip_address", count)
    assert is_at(inventory, "10.0.1.7", 15_000_000_000)
    assert read == ["10.0.1.7"]


def test_pods_are_found_by_their_service_account() -> None:
    inventory = parse(POD, POD | {"pod": "web-2"}, POD | {"namespace": "other"})
    assert [pod.name for pod in inventory.pods_of("shop", "web")] == ["web-1", "web-2"]
    assert inventory.pods_of("shop", "db") == []
    assert inventory.pods_of(None, "web") == []


def test_the_inventory_is_named_by_its_bytes() -> None:
    data = json.dumps({"pods": []}).encode()
    assert parse_inventory(data, name="x").sha256 == hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "truncated"),
        (b"\xff", "utf-8|invalid|malformed"),
        (b"[]", "Expected `object`"),
        (b'{"pods": [], "more": 1}', "more"),
        (b'{"pods": [{"pod": "x"}]}', "missing required field"),
        (b"[" * 100_000, "inventory"),
        (json.dumps({"pods": [POD | {"addresses": ["10.0.0"]}]}).encode(), "shop/web-1.*10.0.0"),
        (json.dumps({"pods": [POD | {"addresses": ["10.0.0.7/24"]}]}).encode(), "host bits"),
        (json.dumps({"pods": [POD | {"from": "yesterday"}]}).encode(), "shop/web-1.*yesterday"),
        (json.dumps({"pods": [POD | {"adresses": []}]}).encode(), "adresses"),
    ],
)
def test_what_is_no_inventory_is_refused_with_its_reason(data: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=f"(?i)inventory.json.*({said})"):
        parse_inventory(data, name="inventory.json")
