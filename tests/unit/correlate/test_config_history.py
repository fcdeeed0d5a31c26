from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.correlate.config_history import COLUMNS, ConfigHistory, ObjectKey, has_effect

Row = dict[str, Any]
KEY = ObjectKey("east", "security.istio.io", "authorizationpolicies", "shop", "deny-admin")


def change(at: int, operation: str = "update", spec: bytes | None = None, **more: Any) -> Row:
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"log_index": at, "kind": "config_change", "time": at, "received_time": at + 5}
    row |= {"operation": operation, "spec_hash": spec, "is_duplicate": False}
    row |= {f"object_{name}": value for name, value in KEY._asdict().items() if name != "cluster"}
    return row | {"reporter_cluster": "east", "audit_stage": "ResponseComplete"} | more


def test_each_change_has_what_stood_before_it_whatever_the_order_of_arrival() -> None:
    rows = [change(30, "delete"), change(10, "create", b"1"), change(20, "update", b"2")]
    created, updated, deleted = ConfigHistory(rows).of(KEY)
    assert (created.before, created.before_hash) == (None, None)
    assert (updated.before_hash, deleted.before_hash) == (b"1", b"2")
    assert [one.is_removal for one in (created, updated, deleted)] == [False, False, True]


def test_what_comes_after_a_removal_had_nothing_before_it() -> None:
    rows = [change(10, "create", b"1"), change(20, "delete"), change(30, "create", b"1")]
    last = ConfigHistory(rows).of(KEY)[-1]
    assert (last.before_hash, last.is_effectless) == (None, False)


def test_a_change_to_what_stood_there_already_has_no_effect() -> None:
    rows = [change(10, "create", b"1"), change(20, "update", b"1"), change(30, "update")]
    assert [one.is_effectless for one in ConfigHistory(rows)] == [False, True, False]


@pytest.mark.parametrize(
    "more",
    [
        {"http_response_status_code": 403},
        {"audit_stage": "RequestReceived"},
        {"is_duplicate": True},
        {"detail": '{"dry_run":true}'},
        {"operation": "get"},
        {"operation": None},
    ],
)
def test_what_changed_nothing_is_no_change(more: Row) -> None:
    assert not has_effect(change(10) | more)
    assert list(ConfigHistory([change(10) | more])) == []


def test_the_last_change_is_the_one_in_force() -> None:
    history = ConfigHistory([change(10, "create", b"1"), change(20), change(30, "delete")])
    last = [history.last(KEY, at) for at in (9, 10, 19, 20, 99)]
    assert [one and one.at_ns for one in last] == [None, 10, 10, 20, 30]
    assert history.last(KEY._replace(name="other"), 99) is None


def test_objects_are_found_by_name_in_every_cluster_and_of_every_kind() -> None:
    rows = [
        change(1),
        change(2, reporter_cluster="west"),
        change(3, object_kind="virtualservices"),
        change(4, object_namespace="bank"),
        change(5, reporter_cluster=None, object_namespace=None),
    ]
    history = ConfigHistory(rows)
    assert [key.cluster for key in history.named("shop", "deny-admin")] == ["east", "east", "west"]
    assert history.named("", "deny-admin") == [KEY._replace(cluster="", namespace="")]
    assert history.named("shop", "other") == []


def test_a_change_without_a_time_counts_from_its_arrival() -> None:
    assert [one.at_ns for one in ConfigHistory([change(1, time=None)])] == [6]


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["create", "update", "delete"]))))
def test_what_is_in_force_is_what_a_replay_finds(moments: list[tuple[int, str]]) -> None:
    rows = [
        change(at, operation, bytes([number % 4]), log_index=number)
        for number, (at, operation) in enumerate(moments)
    ]
    history = ConfigHistory(reversed(rows))
    for at_ns in range(10):
        replayed = None
        for row in sorted(rows, key=lambda row: (row["time"], row["log_index"])):
            replayed = row if row["time"] <= at_ns else replayed
        last = history.last(KEY, at_ns)
        assert (last and last.row) == replayed
