from __future__ import annotations

import pytest

from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.metadata import group_of, object_columns, plural_of, said_json


@pytest.mark.parametrize(
    ("kind", "plural"),
    [
        ("Pod", "pods"),
        ("NetworkPolicy", "networkpolicies"),
        ("AuthorizationPolicy", "authorizationpolicies"),
        ("Gateway", "gateways"),
        ("Ingress", "ingresses"),
        ("Endpoints", "endpoints"),
        ("CiliumNetworkPolicy", "ciliumnetworkpolicies"),
        ("Mesh", "meshes"),
        (None, None),
    ],
)
def test_plural_is_what_the_api_calls_the_resource(kind: str | None, plural: str | None) -> None:
    assert plural_of(kind) == plural


def test_group_of_the_core_is_none() -> None:
    told = [group_of(one) for one in ("v1", "apps/v1", "security.istio.io/v1", "/v1", None)]
    assert told == [None, "apps", "security.istio.io", None, None]


def test_object_says_who_it_is_and_how_long_it_lived() -> None:
    said = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "namespace": "shop",
            "name": "checkout",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "1970-01-01T00:00:01Z",
            "deletionTimestamp": "1970-01-01T00:00:02Z",
        },
    }
    assert object_columns(Members(said)) == {
        "object_kind": "deployments",
        "object_group": "apps",
        "object_namespace": "shop",
        "object_name": "checkout",
        "object_uid": "u",
        "object_version": "7",
        "object_created_time": 1_000_000_000,
        "object_deleted_time": 2_000_000_000,
    }


def test_detail_holds_what_was_said() -> None:
    assert said_json({"a": 0, "b": None, "c": [], "d": {}, "e": "", "f": False}) == (
        '{"a":0,"f":false}'
    )
    assert said_json({"a": None}) is None
