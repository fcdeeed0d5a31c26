from __future__ import annotations

from typing import Any

import pytest

from meshtrail.correlate.workloads import ENRICH_COLUMNS, VIEW_COLUMNS, AddressHistory, enrich
from tests.workload_events import event_table, lifetime, lifetime_table

Row = dict[str, Any]

S = 1_000_000_000
NOW = 1_000 * S
PAY = lifetime(
    "10.0.0.1",
    NOW - 100 * S,
    NOW + 100 * S,
    cluster="east",
    namespace="shop",
    pod="pay-1",
    uid="u1",
    workload="pay",
    service_account="pay",
    node="n1",
    version="v7",
    image="pay:7",
    image_digest="sha256:7",
    commit_id="c7",
) | {"log_index": 41, "image_index": 40}


def view(row: Row, *lifetimes: Row) -> Row:
    event = {"src_ip": "10.0.0.1", "time": NOW, "time_offset": 0, "time_error": 0} | row
    history = AddressHistory(lifetime_table(lifetimes or [PAY]))
    (found,) = enrich(event_table([event]), history).to_pylist()
    told: Row = {name: value for name, value in found.items() if value is not None}
    return told


def test_an_end_is_told_with_its_workload_its_image_and_the_entry_that_says_so() -> None:
    found = view({})
    assert {name: found[name] for name in found if name.startswith("src_")} == {
        "src_ip": "10.0.0.1",
        "src_namespace": "shop",
        "src_service_account": "pay",
        "src_workload": "pay",
        "src_version": "v7",
        "src_pod": "pay-1",
        "src_node": "n1",
        "src_cluster": "east",
        "src_workload_trust": "derived",
        "src_pod_uid": "u1",
        "src_image": "pay:7",
        "src_image_digest": "sha256:7",
        "src_commit_id": "c7",
        "src_inventory_index": 41,
        "src_image_index": 40,
        "src_inventory_candidates": 1,
    }


def test_the_other_end_is_told_by_its_own_address() -> None:
    found = view({"src_ip": None, "dst_ip": "10.0.0.1"})
    assert (found["dst_pod"], found["dst_inventory_candidates"]) == ("pay-1", 1)
    assert "src_pod" not in found


def test_the_view_adds_its_columns_behind_those_of_the_event() -> None:
    table = enrich(event_table([]), AddressHistory(lifetime_table([PAY])))
    assert table.column_names == [*ENRICH_COLUMNS, *VIEW_COLUMNS]


def test_what_the_event_says_itself_stays() -> None:
    found = view({"src_version": "v6", "src_workload_trust": "reported"})
    assert (found["src_version"], found["src_workload_trust"]) == ("v6", "derived")


def test_trust_that_is_weaker_than_derived_stays_as_it_is() -> None:
    found = view({"src_version": "v6", "src_workload_trust": "asserted"})
    assert (found["src_pod"], found["src_workload_trust"]) == ("pay-1", "asserted")


def test_an_attested_identity_that_the_inventory_contradicts_keeps_the_pod_from_being_joined() -> (
    None
):
    said = {"src_namespace": "shop", "src_service_account": "cart"}
    found = view({**said, "src_spiffe_id_trust": "attested"})
    assert "src_pod" not in found
    assert "src_inventory_index" not in found
    assert found["src_inventory_conflict"] == (
        "service_account is cart by the event, pay by the inventory"
    )


def test_an_asserted_identity_does_not_hide_who_had_the_address() -> None:
    said = {"src_namespace": "x", "src_service_account": "cart"}
    found = view({**said, "src_spiffe_id_trust": "asserted"})
    assert (found["src_pod"], found["src_service_account"]) == ("pay-1", "cart")
    assert found["src_inventory_conflict"] == (
        "namespace is x by the event, shop by the inventory; "
        "service_account is cart by the event, pay by the inventory"
    )


def test_an_identity_that_agrees_is_no_conflict() -> None:
    said = {"src_namespace": "shop", "src_service_account": "pay"}
    found = view({**said, "src_spiffe_id_trust": "attested"})
    assert found["src_pod"] == "pay-1"
    assert "src_inventory_conflict" not in found


def test_a_pod_that_the_record_names_is_not_exchanged_for_another() -> None:
    found = view({"src_pod": "cart-1", "src_workload_trust": "reported"})
    assert (found["src_pod"], found.get("src_image_digest")) == ("cart-1", None)
    assert found["src_inventory_conflict"] == "pod is cart-1 by the event, pay-1 by the inventory"


def test_several_pods_at_an_address_are_counted_and_none_is_joined() -> None:
    found = view({}, PAY, PAY | {"uid": "u2", "pod": "dns-1"})
    assert found["src_inventory_candidates"] == 2
    assert "src_pod" not in found


@pytest.mark.parametrize(
    ("clock", "candidates"),
    [
        ({"time_offset": 0, "time_error": S // 2}, 1),
        ({"time_offset": 0, "time_error": 2 * S}, 2),
        ({"time_offset": None, "time_error": None}, 2),
        ({"time": None, "received_time": NOW + 10 * S}, 1),
        ({"time": None, "received_time": NOW}, 2),
        ({"time": NOW + 5 * S, "time_offset": 5 * S, "time_error": S}, 2),
        ({"time": NOW + 5 * S, "time_offset": 0, "time_error": S}, 1),
    ],
)
def test_how_sure_a_join_is_depends_on_the_clock(clock: Row, candidates: int) -> None:
    earlier = PAY | {"uid": "u0", "from_ns": 0, "to_ns": NOW - S + 1}
    found = view(clock, earlier, PAY | {"from_ns": NOW - S + 1})
    assert found["src_inventory_candidates"] == candidates
    assert ("src_pod" in found) == (candidates == 1)


def test_addresses_of_another_cluster_are_not_those_that_the_event_speaks_of() -> None:
    found = view({"src_cluster": "west"})
    assert (found["src_inventory_candidates"], "src_pod" in found) == (0, False)


def test_an_end_without_a_cluster_is_looked_for_in_the_reporters_if_that_has_pods() -> None:
    west = PAY | {"uid": "u2", "pod": "pay-2", "cluster": "west"}
    assert view({"reporter_cluster": "west"}, PAY, west)["src_pod"] == "pay-2"
    assert (
        view({"reporter_cluster": "west", "src_cluster": "east"}, PAY, west)["src_pod"] == "pay-1"
    )
    # A sidecar names its service there.
    assert view({"reporter_cluster": "pay.shop"}, PAY, west)["src_inventory_candidates"] == 2
