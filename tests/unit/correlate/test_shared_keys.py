from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from meshtrail.correlate import shared_keys
from meshtrail.correlate.inventory import parse_inventory
from meshtrail.correlate.shared_keys import AT_ONCE_NS, KEY_USE_COLUMNS, SharedKeys
from meshtrail.model.event import EVENT_SCHEMA

HOUR = AT_ONCE_NS
SCHEMA = pa.schema([EVENT_SCHEMA.field(name) for name in KEY_USE_COLUMNS])


def pod(name: str, account: str, *addresses: str, **lifetime: str) -> dict[str, Any]:
    return {
        "pod": name,
        "namespace": "shop",
        "service_account": account,
        "addresses": addresses,
        **lifetime,
    }


def make(*pods: dict[str, Any]) -> SharedKeys:
    return SharedKeys(parse_inventory(json.dumps({"pods": pods}).encode(), name="x"))


def use(address: str, *, account: str = "web", at: int = 0, **columns: Any) -> dict[str, Any]:
    return {
        "log_index": at,
        "received_time": at,
        "side": "destination",
        "src_spiffe_id": f"spiffe://td/ns/shop/sa/{account}",
        "src_spiffe_id_trust": "attested",
        "src_namespace": "shop",
        "src_service_account": account,
        "src_ip": address,
        **columns,
    }


def look(keys: SharedKeys, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA)
    return [one.payload for one in keys.take(table)]


def test_a_key_at_home_is_no_finding() -> None:
    keys = make(pod("web-1", "web", "10.0.0.1"), pod("web-2", "web", "10.0.0.2"))
    assert look(keys, use("10.0.0.1"), use("10.0.0.2")) == []


def test_a_key_used_from_where_its_account_does_not_run_is_a_finding_with_its_entry() -> None:
    keys = make(pod("web-1", "web", "10.0.0.1"), pod("db-1", "db", "10.0.0.9"))
    (found,) = look(keys, use("10.0.0.1"), use("10.0.0.9", at=7))
    assert (found["about"], found["cause"]) == ("spiffe://td/ns/shop/sa/web", "key_shared")
    assert (found["address"], found["entry"], found["pods"]) == ("10.0.0.9", 7, ["web-1"])


def test_a_pod_that_is_gone_has_no_address_any_more() -> None:
    keys = make(pod("web-1", "web", "10.0.0.1", to="1970-01-01T00:00:10Z"))
    assert look(keys, use("10.0.0.1", at=9_999_999_999)) == []
    assert len(look(keys, use("10.0.0.1", at=10_000_000_000))) == 1


def test_an_account_that_is_not_listed_is_not_judged() -> None:
    assert look(make(pod("web-1", "web", "10.0.0.1")), use("10.0.0.9", account="batch")) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"src_spiffe_id_trust": "asserted"},
        {"src_spiffe_id_trust": "derived"},
        {"side": "source"},
        {"side": None},
        {"src_ip": None},
    ],
)
def test_only_what_the_called_proxy_vouches_for_counts(columns: dict[str, Any]) -> None:
    assert look(make(pod("web-1", "web", "10.0.0.1")), use("10.0.0.9") | columns) == []


def test_a_certificate_of_two_pods_at_once_is_a_finding() -> None:
    keys = make(pod("web-1", "web", "10.0.0.1"), pod("web-2", "web", "10.0.0.2", "10.0.0.3"))
    one: dict[str, Any] = {"tls_client_hash_sha256": b"\x01" * 32}
    assert look(keys, use("10.0.0.1", **one)) == []
    (found,) = look(keys, use("10.0.0.2", at=5, **one))
    assert (found["certificate_sha256"], found["pods"]) == ("01" * 32, ["web-1"])
    # Each pod with a certificate of its own, and one pod with two addresses.
    other: dict[str, Any] = {"tls_client_hash_sha256": b"\x02" * 32}
    assert look(keys, use("10.0.0.2", **other), use("10.0.0.3", **other)) == []


def test_a_certificate_that_moved_on_with_its_pod_is_no_finding() -> None:
    keys = make(pod("web-1", "web", "10.0.0.1"), pod("web-2", "web", "10.0.0.2"))
    one: dict[str, Any] = {"tls_client_hash_sha256": b"\x01" * 32}
    assert look(keys, use("10.0.0.1", **one), use("10.0.0.2", at=HOUR, **one)) == []


def test_the_same_is_told_once_an_hour() -> None:
    keys = make(pod("web-1", "web", "10.0.0.1"))
    assert len(look(keys, use("10.0.0.9"), use("10.0.0.9", at=1))) == 1
    assert look(keys, use("10.0.0.9", at=HOUR - 1)) == []
    assert len(look(keys, use("10.0.0.9", at=HOUR))) == 1
    assert len(look(keys, use("10.0.0.8", at=HOUR))) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_keys, "KNOWN_MAX", 2)
    keys = make(pod("web-1", "web", "10.0.0.1"))
    assert len(look(keys, *(use(f"10.0.1.{at}") for at in range(3)))) == 3
    assert len(look(keys, use("10.0.1.0"), use("10.0.1.2"))) == 1
