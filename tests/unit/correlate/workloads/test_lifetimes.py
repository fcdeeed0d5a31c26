from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshtrail.correlate.workloads import LIFETIME_SCHEMA, pod_lifetimes
from tests.workload_events import workload, workload_table

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]

WEB = {
    "object_uid": "u1",
    "object_namespace": "shop",
    "object_name": "web-1",
    "pod_ips": "10.0.0.1",
}
API = {
    "object_uid": "u2",
    "object_namespace": "shop",
    "object_name": "api-1",
    "pod_ips": "10.0.0.1",
}


def lifetimes(*rows: Row) -> list[Row]:
    found: list[Row] = pod_lifetimes(workload_table(rows)).to_pylist()
    return found


def spans(rows: Sequence[Row]) -> list[tuple[str, int, int | None, str | None]]:
    return [(row["uid"], row["from_ns"], row["to_ns"], row["ended_by"]) for row in rows]


def test_no_events_have_no_lifetimes_but_the_columns() -> None:
    assert pod_lifetimes(workload_table([])).schema.equals(LIFETIME_SCHEMA)


def test_a_pod_has_its_address_from_its_creation_until_somebody_ends_it() -> None:
    (row,) = lifetimes(workload(7, 50, **WEB, object_created_time=40, image_digest="sha256:1"))
    assert spans([row]) == [("u1", 40, None, None)]
    assert (row["log_index"], row["image_index"], row["image_digest"]) == (7, 7, "sha256:1")


def test_without_a_creation_a_lifetime_begins_with_the_first_sight() -> None:
    assert spans(lifetimes(workload(7, 50, **WEB))) == [("u1", 50, None, None)]


def test_a_time_is_on_the_collectors_clock() -> None:
    rows = lifetimes(workload(7, 50, **WEB, object_created_time=40, time_offset=15))
    assert spans(rows) == [("u1", 25, None, None)]


def test_an_event_without_a_time_is_of_its_arrival() -> None:
    assert spans(lifetimes(workload(7, None, **WEB) | {"received_time": 60}))[0][1] == 60


def test_a_pod_that_waits_without_an_address_has_none_before() -> None:
    waits = workload(1, 45, **WEB | {"pod_ips": None}, pod_phase="Pending", object_created_time=40)
    rows = lifetimes(waits, workload(2, 50, **WEB, pod_phase="Running"))
    # Between the two it got it, and may have used it at once.
    assert spans(rows) == [("u1", 45, None, None)]


def test_a_watch_says_exactly_when_a_pod_is_gone() -> None:
    seen = workload(1, 50, **WEB)
    gone = workload(2, 60, **WEB, operation="DELETED", object_deleted_time=90)
    assert spans(lifetimes(seen, gone)) == [("u1", 50, 60, "deletion")]


def test_a_pod_that_is_deleted_in_order_lives_until_its_planned_end() -> None:
    seen = workload(1, 50, **WEB)
    asked = workload(2, 60, **WEB, operation="delete", object_deleted_time=90)
    assert spans(lifetimes(seen, asked)) == [("u1", 50, 90, "deletion")]


def test_the_kubelets_deletion_is_the_end() -> None:
    seen = workload(1, 50, **WEB)
    asked = workload(2, 60, **WEB, operation="delete", object_deleted_time=90)
    stopped = workload(3, 65, **WEB, operation="delete", actor="system:node:n1")
    assert spans(lifetimes(seen, asked, stopped)) == [("u1", 50, 65, "deletion")]


def test_a_pod_that_succeeded_has_no_address_any_more() -> None:
    done = workload(2, 60, **WEB, pod_phase="Succeeded")
    assert spans(lifetimes(workload(1, 50, **WEB), done)) == [("u1", 50, 60, "phase")]


def test_a_pod_that_had_succeeded_when_it_was_first_seen_had_the_address_before() -> None:
    over = workload(1, 90, **WEB, pod_phase="Succeeded", object_created_time=40)
    ended = over | {"object_deleted_time": 60}
    runs = workload(2, 90, **API, object_created_time=50)
    assert spans(lifetimes(ended, runs)) == [("u1", 40, 60, "phase"), ("u2", 60, None, None)]
    detail = '{"finished_ns":55,"containers":[{"finished_ns":50}]}'
    assert spans(lifetimes(over | {"detail": detail}, runs))[0] == ("u1", 40, 55, "phase")
    # Without a word on when it ended, both may have had it.
    assert spans(lifetimes(over, runs)) == [("u1", 40, 90, "phase"), ("u2", 50, None, None)]


def test_a_later_pod_at_the_address_ends_one_that_nobody_ended() -> None:
    rows = lifetimes(workload(1, 50, **WEB), workload(2, 80, **API))
    assert spans(rows) == [("u1", 50, 80, "reuse"), ("u2", 80, None, None)]


def test_a_later_pod_ends_one_whose_end_was_only_planned() -> None:
    asked = workload(2, 60, **WEB, operation="delete", object_deleted_time=90)
    rows = lifetimes(workload(1, 50, **WEB), asked, workload(3, 70, **API))
    assert spans(rows) == [("u1", 50, 70, "reuse"), ("u2", 70, None, None)]


def test_a_pod_that_waited_long_yields_to_the_one_that_had_the_address_meanwhile() -> None:
    gone = workload(2, 60, **WEB, operation="DELETED")
    other = workload(3, 80, **API, object_created_time=10)
    rows = lifetimes(workload(1, 50, **WEB), gone, other)
    assert spans(rows) == [("u1", 50, 60, "deletion"), ("u2", 60, None, None)]


def test_pods_that_share_the_address_of_their_node_all_keep_it() -> None:
    host = {"detail": '{"host_network":true}'}
    rows = lifetimes(workload(1, 50, **WEB, **host), workload(2, 80, **API, **host))
    assert spans(rows) == [("u1", 50, None, None), ("u2", 80, None, None)]


def test_pods_that_were_seen_at_an_address_at_once_share_it() -> None:
    rows = lifetimes(workload(1, 50, **WEB), workload(2, 80, **API), workload(3, 90, **WEB))
    assert spans(rows) == [("u1", 50, None, None), ("u2", 80, None, None)]


def test_what_changes_of_a_pod_begins_another_interval() -> None:
    rows = lifetimes(
        workload(1, 50, **WEB, pod_version="v1"), workload(2, 60, **WEB, pod_version="v2")
    )
    assert spans(rows) == [("u1", 50, 60, "change"), ("u1", 60, None, None)]
    assert [(row["version"], row["log_index"]) for row in rows] == [("v1", 1), ("v2", 2)]


def test_what_is_said_again_begins_nothing() -> None:
    assert len(lifetimes(workload(1, 50, **WEB), workload(2, 60, **WEB))) == 1


def test_what_becomes_known_late_holds_from_the_beginning() -> None:
    rows = lifetimes(workload(1, 50, **WEB), workload(2, 60, **WEB, image_digest="sha256:1"))
    assert [(row["image_digest"], row["log_index"], row["image_index"]) for row in rows] == [
        ("sha256:1", 1, 2)
    ]


def test_an_address_that_a_pod_no_longer_has_ends_with_the_entry_that_says_so() -> None:
    rows = lifetimes(
        workload(1, 50, **WEB | {"pod_ips": "10.0.0.1, fd00::1"}),
        workload(2, 60, **WEB | {"pod_ips": "fd00:0::1"}),
    )
    assert [(row["ip"], row["from_ns"], row["to_ns"], row["ended_by"]) for row in rows] == [
        ("10.0.0.1", 50, 60, "address"),
        ("fd00::1", 50, 60, "change"),
        ("fd00::1", 60, None, None),
    ]


def test_an_event_without_a_uid_is_of_the_pod_that_had_the_name_then() -> None:
    named = {"object_uid": None, "object_namespace": "shop", "object_name": "web-1"}
    rows = lifetimes(
        workload(1, 50, **WEB),
        workload(2, 60, **named, operation="delete", actor="system:node:n1"),
        workload(3, 70, **WEB | {"object_uid": "u9"}),
    )
    assert spans(rows) == [("u1", 50, 60, "deletion"), ("u9", 70, None, None)]


def test_a_name_in_another_cluster_is_another_pod() -> None:
    named = {"object_uid": None, "object_namespace": "shop", "object_name": "web-1"}
    gone = workload(2, 60, **named, operation="delete", reporter_cluster="west")
    seen = workload(1, 50, **WEB, reporter_cluster="east")
    assert spans(lifetimes(seen, gone)) == [("u1", 50, None, None)]


def test_what_was_refused_or_not_yet_answered_says_nothing() -> None:
    refused = workload(2, 60, **WEB, operation="delete", http_response_status_code=403)
    asked = workload(3, 61, **WEB, operation="delete", audit_stage="RequestReceived")
    dry = workload(5, 63, **WEB, operation="delete", detail='{"dry_run":true}')
    evicted = workload(4, 62, **WEB, operation="delete", object_subresource="binding")
    rows = lifetimes(workload(1, 50, **WEB), refused, asked, evicted, dry)
    assert spans(rows) == [("u1", 50, None, None)]


def test_a_pod_without_an_address_has_no_lifetime() -> None:
    assert lifetimes(workload(1, 50, **WEB | {"pod_ips": None})) == []
