"""Inventories, commits and webhooks: both derivations agree, whatever a record holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive_both, entry

if TYPE_CHECKING:
    from collections.abc import Callable

COMMIT = "ab" * 20
MOMENT = "2026-11-22T08:00:00Z"

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "a-7d-x",
        "labels": {"version": "v2", "pod-template-hash": "7d"},
        "annotations": {"meshtrail.io/commit": COMMIT},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "a-7d", "controller": True}],
        "creationTimestamp": MOMENT,
    },
    "spec": {"containers": [{"name": "a", "image": "a:1"}], "hostNetwork": True},
    "status": {
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
        "containerStatuses": [
            {"name": "a", "imageID": "a@sha256:" + "0a" * 32, "state": {"running": {}}}
        ],
    },
}
OBJECTS: list[dict[str, Any]] = [
    POD,
    {"type": "DELETED", "object": POD},
    {"pod": "a", "namespace": "b", "addresses": ["10.0.0.0/8"], "from": MOMENT, "to": "2026-11-22"},
    {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {"kind": "Pod", "name": "a"},
        "reason": "Killing",
        "lastTimestamp": MOMENT,
        "source": {"component": "kubelet", "host": "n"},
    },
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "n"},
        "status": {"addresses": [{"address": "a"}], "conditions": [{"type": "Ready"}]},
    },
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [{"image": "a"}]}}},
    },
    {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "spec": {"source": {"repoURL": "git@a:b.git", "targetRevision": "main"}},
        "status": {
            "sync": {"revision": COMMIT},
            "operationState": {"phase": "Succeeded", "syncResult": {"revision": COMMIT}},
        },
    },
    {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "spec": {"sourceRef": {"kind": "GitRepository"}},
        "status": {"lastAppliedRevision": f"main@sha1:{COMMIT}", "conditions": [{"type": "Ready"}]},
    },
    {"schemaVersion": 2, "config": {"digest": "sha256:" + "0b" * 32}, "annotations": {"a": "b"}},
]
GITHUB: list[dict[str, Any]] = [
    {
        "ref": "refs/heads/main",
        "before": "0" * 40,
        "after": COMMIT,
        "created": True,
        "repository": {"clone_url": "https://a/b.git", "pushed_at": 1_795_334_400},
        "pusher": {"name": "a"},
        "commits": [{"id": COMMIT, "message": "m", "timestamp": MOMENT, "added": ["p"]}],
    },
    {"release": {"tag_name": "v1", "published_at": MOMENT}, "action": "published"},
    {"deployment": {"sha": COMMIT, "ref": "main"}, "deployment_status": {"state": "success"}},
]
GITLAB: list[dict[str, Any]] = [
    {
        "object_kind": "push",
        "after": COMMIT,
        "ref": "refs/heads/main",
        "user_username": "a",
        "project": {"git_http_url": "https://a/b.git"},
        "commits": [{"id": COMMIT, "modified": ["p"]}],
        "total_commits_count": 1,
    },
    {"object_kind": "deployment", "commit_url": f"https://a/-/commit/{COMMIT}", "status": "x"},
]
OF_JSON = {
    PayloadFormat.INVENTORY: OBJECTS,
    PayloadFormat.GITHUB: GITHUB,
    PayloadFormat.GITLAB: GITLAB,
}
GIT = (
    b"commit " + COMMIT.encode() + b"\trefs/heads/main\ntree " + COMMIT.encode() + b"\n"
    b"author A <a@b> 1700000000 +0000\ncommitter C <c@d> 1700000060 +0100\n"
    b"gpgsig -----BEGIN SSH SIGNATURE-----\n abc\n\n    subject\n    \n    body\n\n"
    b"M\0path\0R090\0old\0new"
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=6)
    | st.sampled_from([MOMENT, COMMIT, "main@sha1:" + COMMIT, "10.0.0.1", "x" * 5000]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def replaced(said: Any, value: object, choose: Callable[[int], int]) -> Any:  # noqa: ANN401 - any JSON
    """The same with one member, anywhere in it, something else."""
    if not isinstance(said, dict | list) or not said or choose(6) == 0:
        return value
    keys = list(said) if isinstance(said, dict) else list(range(len(said)))
    key = keys[choose(len(keys))]
    changed = said.copy()
    changed[key] = replaced(said[key], value, choose)
    return changed


@st.composite
def json_records(draw: st.DrawFn) -> tuple[PayloadFormat, bytes]:
    """Records in JSON of which some members are anything."""
    payload_format = draw(st.sampled_from(list(OF_JSON)))
    said = draw(st.sampled_from(OF_JSON[payload_format]))
    for value in draw(st.lists(values, max_size=3)):
        said = replaced(said, value, draw(st.randoms(use_true_random=False)).randrange)
    return payload_format, json.dumps(said).encode()


@settings(deadline=None)
@given(st.lists(json_records(), min_size=1, max_size=8))
def test_both_derivations_of_json_agree(records: list[tuple[PayloadFormat, bytes]]) -> None:
    rows = derive_both(*(entry(record, payload_format) for payload_format, record in records))
    for row in rows:
        assert row["kind"] in {"workload", "infrastructure", "deployment", "commit", "undecoded"}
        assert (row["kind"] == "undecoded") <= bool(row["decode_error"])


@settings(deadline=None)
@given(
    st.sampled_from([*OF_JSON, PayloadFormat.GIT_LOG]),
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=4),
)
def test_both_derivations_of_changed_bytes_agree(
    payload_format: PayloadFormat, chosen: int, changes: list[tuple[int, int]]
) -> None:
    of_json = OF_JSON.get(payload_format)
    whole = json.dumps(of_json[chosen % len(of_json)]).encode() if of_json else GIT
    record = bytearray(whole)
    for place, value in changes:
        record[place % len(record)] = value
    derive_both(entry(bytes(record), payload_format))


@pytest.mark.parametrize("payload_format", [*OF_JSON, PayloadFormat.GIT_LOG])
def test_every_beginning_of_a_record_is_an_event_or_says_why_not(
    payload_format: PayloadFormat,
) -> None:
    of_json = OF_JSON.get(payload_format)
    whole = json.dumps(of_json[0]).encode() if of_json else GIT
    rows = derive_both(*(entry(whole[:end], payload_format) for end in range(len(whole) + 1)))
    undecoded = [row for row in rows if row["kind"] == "undecoded"]
    assert all(row["decode_error"] for row in undecoded)
    assert rows[-1]["kind"] != "undecoded"
    assert rows[-1]["source"] == payload_format.name.lower().replace("_", "-")


def test_many_different_problems_cost_no_more_than_their_records() -> None:
    records = [
        entry(
            json.dumps({"type": "ADDED", "object": {f"x{n}": n}}).encode(), PayloadFormat.INVENTORY
        )
        for n in range(2000)
    ]
    assert {row["decode_error"] for row in derive_both(*records)} == {
        "neither an object of the Kubernetes API nor anything else of an inventory"
    }
