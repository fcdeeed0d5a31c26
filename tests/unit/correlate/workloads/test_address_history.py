from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.correlate.workloads import AddressHistory, pod_lifetimes
from tests.rig.pod_churn import BEGIN_NS, DAY_NS, churn
from tests.workload_events import lifetime, lifetime_table

ANSWERS_COUNT = 200_000

Answer = tuple[int | None, int, bool]


def ask(
    rows: list[dict[str, Any]], ip: str | None, at: int, cluster: str | None = None, error: int = 0
) -> Answer:
    history = AddressHistory(lifetime_table(rows))
    found = history.find(
        pa.array([ip], pa.string()),
        pa.array([at]),
        None if cluster is None else pa.array([cluster]),
        error_ns=pa.array([error]),
    )
    return found.row[0].as_py(), found.candidates[0].as_py(), found.is_certain[0].as_py()


def test_an_address_is_its_holders_from_the_first_nanosecond_until_before_the_last() -> None:
    rows = [lifetime("10.0.0.1", 10, 20, uid="a"), lifetime("10.0.0.1", 20, None, uid="b")]
    answers = {at: ask(rows, "10.0.0.1", at) for at in (9, 10, 19, 20, 10**18)}
    nobody, first, second = (None, 0, False), (0, 1, True), (1, 1, True)
    assert answers == {9: nobody, 10: first, 19: first, 20: second, 10**18: second}


def test_a_gap_between_two_holders_is_nobodys() -> None:
    rows = [lifetime("10.0.0.1", 10, 20, uid="a"), lifetime("10.0.0.1", 25, None, uid="b")]
    assert ask(rows, "10.0.0.1", 22) == (None, 0, False)


def test_several_holders_at_once_are_counted_and_the_last_to_begin_is_named() -> None:
    rows = [
        lifetime("10.0.0.1", 0, None, uid="a"),
        lifetime("10.0.0.1", 5, 50, uid="b"),
        lifetime("10.0.0.1", 10, 20, uid="c"),
    ]
    assert ask(rows, "10.0.0.1", 15) == (2, 3, False)
    assert ask(rows, "10.0.0.1", 30) == (1, 2, False)
    assert ask(rows, "10.0.0.1", 50) == (0, 1, True)


def test_another_holder_within_the_error_of_the_clock_makes_an_answer_uncertain() -> None:
    rows = [lifetime("10.0.0.1", 10, 20, uid="a"), lifetime("10.0.0.1", 25, None, uid="b")]
    assert ask(rows, "10.0.0.1", 19, error=5) == (0, 1, True)
    assert ask(rows, "10.0.0.1", 19, error=6) == (0, 2, False)
    assert ask(rows, "10.0.0.1", 22, error=3) == (None, 2, False)


def test_nobody_at_the_moment_stays_nobody_though_one_pod_is_near() -> None:
    assert ask([lifetime("10.0.0.1", 10, 20, uid="a")], "10.0.0.1", 21, error=3) == (None, 1, False)


def test_intervals_of_one_pod_that_follow_each_other_are_one_candidate() -> None:
    rows = [
        lifetime("10.0.0.1", 10, 20, uid="a", version="v1"),
        lifetime("10.0.0.1", 20, 30, uid="a", version="v2"),
    ]
    assert ask(rows, "10.0.0.1", 20, error=5) == (1, 1, True)


def test_an_error_that_reaches_beyond_all_time_is_no_mistake() -> None:
    rows = [lifetime("10.0.0.1", 10, 20, uid="a"), lifetime("10.0.0.1", 30, None, uid="b")]
    assert ask(rows, "10.0.0.1", 15, error=2**63 - 1) == (0, 2, False)


def test_addresses_of_clusters_are_kept_apart() -> None:
    rows = [
        lifetime("10.0.0.1", 0, None, uid="a", cluster="east"),
        lifetime("10.0.0.1", 5, None, uid="b", cluster="west"),
    ]
    assert ask(rows, "10.0.0.1", 9, cluster="east") == (0, 1, True)
    assert ask(rows, "10.0.0.1", 9, cluster="west") == (1, 1, True)
    assert ask(rows, "10.0.0.1", 9, cluster="north") == (None, 0, False)
    assert ask(rows, "10.0.0.1", 9) == (1, 2, False)


def test_a_pod_of_no_named_cluster_may_be_of_any() -> None:
    rows = [
        lifetime("10.0.0.1", 0, None, uid="a"),
        lifetime("10.0.0.2", 0, None, uid="b"),
        lifetime("10.0.0.2", 5, None, uid="c", cluster="west"),
    ]
    assert ask(rows, "10.0.0.1", 9, cluster="west") == (0, 1, True)
    assert ask(rows, "10.0.0.2", 9, cluster="west") == (2, 2, False)
    assert ask(rows, "10.0.0.2", 9, cluster="north") == (1, 1, True)


@pytest.mark.parametrize("spelled", ["FD00:0::0:1", "fd00::1"])
def test_one_address_is_found_in_every_spelling(spelled: str) -> None:
    assert ask([lifetime("fd00:0:0::1", 0, None, uid="a")], spelled, 9) == (0, 1, True)


def test_an_ipv4_address_inside_an_ipv6_one_is_that_address() -> None:
    rows = [lifetime("10.0.0.1", 0, None, uid="a")]
    assert ask(rows, "::ffff:10.0.0.1", 9) == (0, 1, True)


def test_an_address_that_nobody_has_alone_is_looked_for_in_networks() -> None:
    rows = [
        lifetime("10.0.0.0/8", 0, None, uid="a"),
        lifetime("10.0.0.0/24", 0, None, uid="b"),
        lifetime("10.0.0.1", 0, 5, uid="c"),
    ]
    places = {ip: ask(rows, ip, 9)[0] for ip in ("10.0.0.1", "10.0.0.2", "10.0.1.2", "11.0.0.1")}
    assert places == {"10.0.0.1": None, "10.0.0.2": 1, "10.0.1.2": 0, "11.0.0.1": None}


def test_what_is_no_address_is_nobodys() -> None:
    rows = [lifetime("10.0.0.1", 0, None, uid="a")]
    assert [ask(rows, ip, 9) for ip in (None, "", "::::")] == [(None, 0, False)] * 3


def test_a_history_without_pods_answers_nobody() -> None:
    assert ask([], "10.0.0.1", 9, cluster="east", error=4) == (None, 0, False)


def test_a_hundred_thousand_pods_on_reused_addresses_are_told_apart_as_by_a_replay() -> None:
    mesh = churn(pods_count=100_000, addresses_count=9_000, seed=3)
    lifetimes = pod_lifetimes(mesh.events(seed=4))
    history = AddressHistory(lifetimes)
    random = np.random.default_rng(5)
    # Random moments, and those at which something happens, and the nanosecond before.
    edges = random.choice(np.concatenate([mesh.from_ns, mesh.to_ns]), ANSWERS_COUNT // 2)
    at = np.concatenate(
        [BEGIN_NS + random.integers(0, DAY_NS, ANSWERS_COUNT - len(edges)), edges]
    ) - random.integers(0, 2, ANSWERS_COUNT)
    address = random.integers(0, 9_000, ANSWERS_COUNT)
    found = history.find(mesh.addresses.take(pa.array(address)), pa.array(at))
    names = lifetimes.column("uid").combine_chunks().take(found.row).to_pylist()
    happenings = [(when, 1, pod) for pod, when in enumerate(mesh.from_ns.tolist())]
    happenings += [
        (when, 0, pod)
        for pod, (when, is_told) in enumerate(zip(mesh.to_ns.tolist(), mesh.is_told, strict=True))
        if is_told
    ]
    happenings.sort(reverse=True)
    places, holder = mesh.address.tolist(), dict[int, int]()
    for question in np.argsort(at, kind="stable").tolist():
        while happenings and happenings[-1][0] <= at[question]:
            _, is_new, pod = happenings.pop()
            if is_new:
                holder[places[pod]] = pod
            elif holder.get(places[pod]) == pod:
                del holder[places[pod]]
        pod_now = holder.get(int(address[question]))
        assert names[question] == (None if pod_now is None else f"uid-{pod_now}")
    assert found.is_certain.true_count == ANSWERS_COUNT - found.row.null_count
