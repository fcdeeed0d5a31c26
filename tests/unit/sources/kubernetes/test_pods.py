from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.kubernetes.pods import PodFacts, read_pod

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "ab" * 32
PROXY_DIGEST = "sha256:" + "cd" * 32


def ns(second: int) -> int:
    return (1_795_334_400 + second) * 1_000_000_000


POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "checkout-7d9c5b6f4d-x2x7p",
        "namespace": "shop",
        "uid": "6f2b8e6a-0f5e-4f6f-9d57-1b2c3d4e5f60",
        "resourceVersion": "123456",
        "creationTimestamp": "2026-11-22T08:00:00Z",
        "labels": {
            "app": "checkout",
            "pod-template-hash": "7d9c5b6f4d",
            "version": "v2",
            "app.kubernetes.io/version": "2.14.1",
        },
        "annotations": {"org.opencontainers.image.revision": COMMIT.upper()},
        "ownerReferences": [
            {"kind": "ReplicaSet", "name": "checkout-7d9c5b6f4d", "controller": True}
        ],
    },
    "spec": {
        "serviceAccountName": "checkout",
        "nodeName": "node-7",
        "containers": [
            {"name": "app", "image": "registry.example/shop/checkout:2.14"},
            {"name": "istio-proxy", "image": "istio/proxyv2:1.30"},
        ],
        "initContainers": [{"name": "migrate", "image": "registry.example/shop/migrate:1"}],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}, {"ip": "FD00:0::7"}],
        "hostIP": "192.0.2.7",
        "startTime": "2026-11-22T08:00:01Z",
        "containerStatuses": [
            {
                "name": "istio-proxy",
                "imageID": f"docker.io/istio/proxyv2@{PROXY_DIGEST}",
                "state": {"running": {"startedAt": "2026-11-22T08:00:03Z"}},
            },
            {
                "name": "app",
                "imageID": f"docker-pullable://registry.example/shop/checkout@{DIGEST}",
                "restartCount": 2,
                "state": {"running": {"startedAt": "2026-11-22T08:00:04Z"}},
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            },
        ],
    },
}


def changed(*path: str, to: object) -> PodFacts:
    pod = copy.deepcopy(POD)
    inner = pod
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return read_pod(pod)


def test_pod_says_who_runs_where_as_what() -> None:
    facts = read_pod(POD)
    assert (facts.namespace, facts.name) == ("shop", "checkout-7d9c5b6f4d-x2x7p")
    assert (facts.service_account, facts.node, facts.phase) == ("checkout", "node-7", "Running")
    assert (facts.workload, facts.workload_kind) == ("checkout", "Deployment")
    assert (facts.version, facts.commit_id) == ("2.14.1", COMMIT)
    assert facts.ips == ("10.1.2.3", "fd00::7")
    assert facts.node_ips == ("192.0.2.7",)
    assert (facts.created_ns, facts.started_ns, facts.deleted_ns) == (ns(0), ns(1), None)
    assert facts.problems == ()


def test_pod_runs_the_image_of_its_own_containers_alone() -> None:
    facts = read_pod(POD)
    assert facts.images == ("registry.example/shop/checkout:2.14",)
    assert facts.digests == (DIGEST,)
    roles = {one.name: (one.role, one.digest) for one in facts.containers}
    assert roles == {
        "app": ("workload", DIGEST),
        "istio-proxy": ("proxy", PROXY_DIGEST),
        "migrate": ("init", None),
    }


def test_pod_of_nothing_but_a_proxy_runs_the_proxy() -> None:
    facts = changed("spec", "containers", to=[{"name": "istio-proxy", "image": "proxy:1"}])
    assert (facts.images, facts.digests) == (("proxy:1",), (PROXY_DIGEST,))


def test_container_tells_why_its_run_before_ended() -> None:
    app = read_pod(POD).containers[0]
    assert (app.state, app.reason, app.exit_code, app.restarts) == ("running", "OOMKilled", 137, 2)
    assert app.started_ns == ns(4)


def test_pod_asks_for_a_digest_before_anything_runs() -> None:
    asked = [{"name": "app", "image": f"registry.example/app@{DIGEST}"}]
    pod = {"metadata": {"name": "a"}, "spec": {"containers": asked}}
    assert read_pod(pod).digests == (DIGEST,)


@pytest.mark.parametrize(
    ("owner", "labels", "workload"),
    [
        (("StatefulSet", "db"), {}, ("db", "StatefulSet")),
        (("DaemonSet", "ztunnel"), {}, ("ztunnel", "DaemonSet")),
        (("ReplicaSet", "bare"), {}, ("bare", "ReplicaSet")),
        (("ReplicaSet", "other-6c"), {"pod-template-hash": "77"}, ("other-6c", "ReplicaSet")),
        (("ReplicaSet", "-77"), {"pod-template-hash": "77"}, ("-77", "ReplicaSet")),
        (("ReplicaSet", "r-77"), {"rollouts-pod-template-hash": "77"}, ("r", "Rollout")),
        (("Job", "nightly-29012345"), {}, ("nightly", "CronJob")),
        (("Job", "once"), {}, ("once", "Job")),
        (("Node", "node-7"), {}, (None, None)),
    ],
)
def test_workload_is_what_the_pod_is_a_replica_of(
    owner: tuple[str, str], labels: dict[str, str], workload: tuple[str | None, str | None]
) -> None:
    kind, name = owner
    references = [{"kind": kind, "name": name, "controller": True}]
    facts = read_pod({"metadata": {"labels": labels, "ownerReferences": references}})
    assert (facts.workload, facts.workload_kind) == workload


def test_workload_is_named_by_the_controller_among_owners() -> None:
    owners = [{"kind": "Zoo", "name": "other"}, {"kind": "Job", "name": "j", "controller": True}]
    facts = changed("metadata", "ownerReferences", to=owners)
    assert (facts.workload, facts.workload_kind) == ("j", "Job")


def test_pod_on_the_hosts_network_says_so() -> None:
    facts = changed("spec", "hostNetwork", to=True)
    assert facts.is_on_host_network
    assert facts.detail()["host_network"] is True


def test_pod_has_finished_when_all_its_containers_have() -> None:
    def ended(name: str, at: str) -> dict[str, Any]:
        return {"name": name, "state": {"terminated": {"finishedAt": at, "reason": "Completed"}}}

    one = ended("app", "2026-11-22T08:00:09Z")
    assert changed("status", "containerStatuses", to=[one]).finished_ns is None
    both = [one, ended("istio-proxy", "2026-11-22T08:00:10Z")]
    assert changed("status", "containerStatuses", to=both).finished_ns == ns(10)


@pytest.mark.parametrize("claimed", ["main", "v1.2", COMMIT[:12], "0" * 40, COMMIT + "0", 7])
def test_commit_is_a_whole_commit_id_or_none(claimed: object) -> None:
    facts = changed("metadata", "annotations", to={"meshtrail.io/commit": claimed})
    assert facts.commit_id is None


def test_members_of_other_types_are_absent_and_noted() -> None:
    facts = changed("status", "podIPs", to="10.1.2.3")
    assert (facts.ips, facts.problems) == (("10.1.2.3",), ("status.podIPs is no list",))
    facts = changed("status", "podIP", to="not an address")
    assert facts.ips == ("10.1.2.3", "fd00::7")
    assert facts.problems == ("status.podIP is no address",)
    facts = changed("metadata", "creationTimestamp", to="yesterday")
    assert facts.problems == ("metadata.creationTimestamp is no moment",)


def test_labels_are_no_more_than_a_column_should_hold() -> None:
    facts = changed("metadata", "labels", to={f"key-{n:05}": "v" * 60 for n in range(5000)})
    assert 100 < len(facts.labels) < 1000
    assert len(facts.columns()["pod_labels"]) < 20_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: dict[str, Any] | list[Any], at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = [
        place
        for key, one in items
        if isinstance(one, dict | list)
        for place in places(one, (*at, key))
    ]
    return [(*at, key) for key in (value if isinstance(value, dict) else range(len(value)))] + inner


@given(st.sampled_from(places(POD)), json_values)
def test_any_member_can_be_anything(place: tuple[Any, ...], value: object) -> None:
    pod: Any = copy.deepcopy(POD)
    inner = pod
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    facts = read_pod(pod)
    assert isinstance(facts.columns(), dict)
    assert isinstance(facts.detail(), dict)


@pytest.mark.parametrize("said", [None, [], "pod", 7, {}])
def test_what_is_no_pod_says_nothing(said: object) -> None:
    facts = read_pod(said)
    assert not any(value for name, value in facts.columns().items() if name != "object_kind")
    assert facts.detail() == {}
