from __future__ import annotations

from typing import Any

from meshtrail.correlate.workloads.facts import read_facts
from meshtrail.correlate.workloads.tenures import EndedBy, find_runs, find_tenures
from tests.workload_events import workload, workload_table

Row = dict[str, Any]


def pod(uid: str, index: int, at: int, **columns: Any) -> Row:
    return workload(index, at, object_uid=uid, pod_ips="10.0.0.1", **columns)


def tenures(*rows: Row) -> list[tuple[int, int]]:
    facts = read_facts(workload_table(rows))
    found = find_tenures(facts, find_runs(facts))
    return sorted(zip(found.from_ns.tolist(), found.to_ns.tolist(), strict=True))


def test_a_tenure_goes_on_through_what_else_changes() -> None:
    rows = [pod("a", 1, 10, pod_version="v1"), pod("a", 2, 20, pod_version="v2")]
    assert tenures(*rows, pod("a", 3, 30, operation="DELETED")) == [(10, 30)]


def test_pods_that_begin_later_end_those_before_them_one_by_one() -> None:
    assert [end for _, end in tenures(pod("a", 1, 10), pod("b", 2, 20), pod("c", 3, 30))][:2] == [
        20,
        30,
    ]


def test_a_pod_that_began_earlier_ends_nobody() -> None:
    late = pod("b", 2, 20, object_created_time=5)
    (first, _), (second, _) = tenures(pod("a", 1, 10), late)
    assert (first, second) == (10, 20)
    assert tenures(pod("a", 1, 10), late)[0][1] > 20


def test_a_container_runtime_that_gives_an_address_away_early_makes_it_nobodys_share() -> None:
    # The kubelet stopped it at 28, and told so at 30.
    gone = pod("a", 2, 30, operation="DELETED", object_deleted_time=28)
    assert tenures(pod("a", 1, 10), gone, pod("b", 3, 29))[0] == (10, 29)


def test_the_reasons_are_a_closed_list() -> None:
    assert list(EndedBy) == ["change", "deletion", "phase", "address", "reuse"]
