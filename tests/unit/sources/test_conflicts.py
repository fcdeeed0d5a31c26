from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.conflicts import find_conflict, format_other_identity

PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
NODE = "sidecar~10.0.0.7~pay-7d.shop~shop.svc.cluster.local"


def against_identity(
    node_id: object = None, metadata: object = None, *, spiffe_id: str = PAYMENTS
) -> str | None:
    claimed = {"node_id": node_id, "metadata": metadata}
    return find_conflict(claimed, spiffe_id=spiffe_id, token=None, reporters=None)


def against_token(*reporters: str, **claimed: object) -> str | None:
    return find_conflict(claimed, spiffe_id=None, token="t", reporters=reporters)


def test_claims_that_agree_with_the_certificate_are_no_conflict() -> None:
    metadata = {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "payments", "NAME": "x"}
    assert against_identity(NODE, metadata) is None


@pytest.mark.parametrize(
    ("metadata", "conflict"),
    [
        ({"NAMESPACE": "bank"}, 'claims namespace "bank", is of "shop"'),
        ({"SERVICE_ACCOUNT": "root"}, 'claims service account "root", is of "payments"'),
        ({"NAMESPACE": "Shop"}, 'claims namespace "Shop", is of "shop"'),
        ({"NAMESPACE": ""}, 'claims namespace "", is of "shop"'),
        ({"NAMESPACE": ["shop"]}, 'claims namespace no text, is of "shop"'),
        (
            {"NAMESPACE": "a", "SERVICE_ACCOUNT": "b"},
            'claims namespace "a", is of "shop"; claims service account "b", is of "payments"',
        ),
    ],
)
def test_claims_that_differ_from_the_certificate_are_a_conflict(
    metadata: dict[str, object], conflict: str
) -> None:
    assert against_identity(None, metadata) == conflict


@pytest.mark.parametrize(
    ("node_id", "namespace"),
    [
        ("sidecar~10.0.0.7~pay-7d.bank~bank.svc.cluster.local", "bank"),
        ("sidecar~10.0.0.7~pay-7d.bank~shop.svc.cluster.local", "bank"),
        ("sidecar~10.0.0.7~pay-7d.shop~bank.svc.cluster.local", "bank"),
        ("router~fd00::1~gw.a.b.bank~shop.svc", "bank"),
        ("sidecar~~x.bank~", "bank"),
    ],
)
def test_istio_node_id_of_another_namespace_is_a_conflict(node_id: str, namespace: str) -> None:
    assert against_identity(node_id) == f'node id names namespace "{namespace}", is of "shop"'


@pytest.mark.parametrize(
    "node_id",
    [NODE, "sidecar~10.0.0.7~a.b.shop~shop.svc", "sidecar~10.0.0.7~pod~shop.svc", "bank",
     "sidecar~10.0.0.7~pay.shop~bank", "sidecar~10.0.0.7~x.bank", f"{NODE}~bank", "", None, 7],
)  # fmt: skip
def test_node_id_that_names_no_other_namespace_is_no_conflict(node_id: object) -> None:
    assert against_identity(node_id) is None


@pytest.mark.parametrize("spiffe_id", ["spiffe://td/workload", "spiffe://td/ns/a", "nonsense"])
def test_identity_without_a_namespace_contradicts_nothing(spiffe_id: str) -> None:
    assert against_identity(NODE, {"NAMESPACE": "bank"}, spiffe_id=spiffe_id) is None


@pytest.mark.parametrize("metadata", [None, [], "x", {}])
def test_strange_metadata_contradicts_nothing(metadata: object) -> None:
    assert against_identity(NODE, metadata) is None


def test_sender_that_was_not_authenticated_is_in_conflict_with_nothing() -> None:
    claimed = {"node_id": NODE, "metadata": {"NAMESPACE": "bank"}}
    assert find_conflict(claimed, spiffe_id=None, token=None, reporters=None) is None


@pytest.mark.parametrize(
    "claimed",
    [
        {"node_id": "shop-1"},
        {"node_cluster": "shop-west"},
        {"node_id": "shop-1", "node_cluster": "pay.shop"},
        {"node_id": "shop-1", "node_cluster": None},
    ],
)
def test_names_that_a_token_is_for_are_no_conflict(claimed: dict[str, object]) -> None:
    assert against_token("shop-*", "*.shop", **claimed) is None


@pytest.mark.parametrize(
    ("claimed", "conflict"),
    [
        ({"node_id": "bank-1"}, 'node id "bank-1" is none of token "t"'),
        ({"node_id": "SHOP-1"}, 'node id "SHOP-1" is none of token "t"'),
        (
            {"node_id": "shop-1", "node_cluster": "bank"},
            'node cluster "bank" is none of token "t"',
        ),
        ({}, 'name "" is none of token "t"'),
        ({"node_id": None, "node_cluster": 7}, 'name "" is none of token "t"'),
    ],
)
def test_each_name_outside_of_a_tokens_patterns_is_a_conflict(
    claimed: dict[str, object], conflict: str
) -> None:
    assert against_token("shop-*", **claimed) == conflict


def test_token_for_anything_is_in_conflict_with_nothing() -> None:
    assert against_token("*", node_id="x") is None
    assert against_token("*") is None


def test_record_of_another_proxy_names_both_beside_the_conflict_of_its_stream() -> None:
    assert format_other_identity("b", "a", None) == 'record of "b", sent by "a"'
    assert format_other_identity("b", "a", "c") == 'c; record of "b", sent by "a"'


def test_long_claim_is_cut_since_it_stands_in_every_row() -> None:
    conflict = against_identity(None, {"NAMESPACE": "x" * 10_000, "SERVICE_ACCOUNT": "y" * 10_000})
    assert conflict is not None
    assert len(conflict) < 400


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=4)


@given(
    st.dictionaries(st.sampled_from(["node_id", "node_cluster"]), JSON),
    st.dictionaries(st.sampled_from(["NAMESPACE", "SERVICE_ACCOUNT"]), JSON | st.just("\ud800")),
    st.lists(st.text(), max_size=3),
)
def test_any_claim_is_judged_in_text_that_a_column_holds(
    claimed: dict[str, Any], metadata: dict[str, Any], reporters: list[str]
) -> None:
    conflict = find_conflict(
        {**claimed, "metadata": metadata}, spiffe_id=PAYMENTS, token="t", reporters=reporters
    )
    assert conflict is None or conflict.encode()
