from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.kubernetes.objects import BOOKMARK, REFUSED, UNCUT, UNKNOWN, read_inventory

if TYPE_CHECKING:
    from meshtrail.sources.record_rows import RecordRow

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "checkout-1",
        "namespace": "shop",
        "deletionTimestamp": "1970-01-01T00:00:30Z",
    },
    "spec": {"containers": [{"name": "app", "image": "checkout:2"}], "nodeName": "node-7"},
    "status": {"podIP": "10.1.2.3"},
}


def read(said: object) -> RecordRow:
    return read_inventory(json.dumps(said).encode())


def test_pod_of_a_list_is_a_workload() -> None:
    told = read(POD).columns
    assert (told["kind"], told["object_kind"], told["object_name"]) == (
        "workload",
        "pods",
        "checkout-1",
    )
    assert (told["pod_ips"], told["pod_node"], told["image"]) == (
        "10.1.2.3",
        "node-7",
        "checkout:2",
    )
    assert told["operation"] is None
    assert "time" not in told


@pytest.mark.parametrize("watched", ["ADDED", "MODIFIED", "DELETED"])
def test_watch_event_says_what_became_of_the_object(watched: str) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-7"}}
    for said in (POD, node):
        assert read({"type": watched, "object": said}).columns["operation"] == watched.lower()


def test_pod_that_is_gone_was_gone_when_its_last_container_ended() -> None:
    ended = {"name": "app", "state": {"terminated": {"finishedAt": "1970-01-01T00:00:05Z"}}}
    said = {**POD, "status": {"containerStatuses": [ended]}}
    told = [
        read({"type": watched, "object": said}).columns["object_deleted_time"]
        for watched in ("MODIFIED", "DELETED")
    ]
    assert told == [30_000_000_000, 5_000_000_000]
    assert read({"type": "DELETED", "object": POD}).columns["object_deleted_time"] == (
        30_000_000_000
    )


@pytest.mark.parametrize(
    ("said", "kind", "object_kind"),
    [
        ({"pod": "a", "namespace": "b", "addresses": []}, "workload", "pods"),
        ({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application"}, "deployment", None),
        ({"metadata": {"name": "a"}, "spec": {"containers": []}}, "workload", "pods"),
        ({"apiVersion": "apps/v1", "kind": "ReplicaSet"}, "infrastructure", "replicasets"),
        ({"apiVersion": "metrics.k8s.io/v1", "kind": "Pod"}, "infrastructure", "pods"),
        ({"Name": "a", "Digest": "sha256:x", "Layers": []}, "deployment", "images"),
    ],
)
def test_record_says_itself_what_it_is(
    said: dict[str, Any], kind: str, object_kind: str | None
) -> None:
    told = read(said).columns
    assert told["kind"] == kind
    assert object_kind in (told["object_kind"], None)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1"}}, BOOKMARK),
        ({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1"}}, REFUSED),
        ({"type": "OTHER", "object": POD}, UNKNOWN),
        ({"type": "ADDED", "object": {}}, UNKNOWN),
        ({"type": "ADDED", "object": 7}, UNKNOWN),
        ({"apiVersion": "v1", "kind": "List", "items": []}, UNCUT),
        ({"apiVersion": 7, "kind": 8}, UNKNOWN),
        ({"pods": []}, UNCUT),
        ({}, UNKNOWN),
        ([], "not a JSON object"),
    ],
)
def test_what_is_of_no_inventory_says_why(said: object, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read(said)
    assert caught.value.message == reason


def test_problems_name_members_and_quote_nothing() -> None:
    row = read({**POD, "spec": {"nodeName": {"secret": 1}}, "status": {"podIP": "secret"}})
    assert sorted(row.problems) == ["spec.nodeName is no text", "status.podIP is no address"]
