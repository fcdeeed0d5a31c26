from __future__ import annotations

import json
from typing import Any

from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.infrastructure import read_infrastructure

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECOND = 1_000_000_000


def columns(said: dict[str, Any]) -> dict[str, Any]:
    row = read_infrastructure(Members(said))
    assert row.problems == []
    assert row.columns["kind"] == "infrastructure"
    detail = row.columns["detail"]
    return {**row.columns, "detail": detail and json.loads(detail)}


KILLED: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "checkout.17a", "namespace": "shop"},
    "involvedObject": {
        "kind": "Pod",
        "namespace": "shop",
        "name": "checkout-1",
        "uid": "u",
        "apiVersion": "v1",
        "fieldPath": "spec.containers{app}",
    },
    "reason": "OOMKilling",
    "message": "Memory cgroup out of memory",
    "type": "Warning",
    "source": {"component": "kubelet", "host": "node-7"},
    "firstTimestamp": "1970-01-01T00:00:01Z",
    "lastTimestamp": "1970-01-01T00:00:03Z",
    "count": 2,
    "eventTime": None,
    "reportingComponent": "",
}


def test_event_is_about_the_object_that_it_names() -> None:
    told = columns(KILLED)
    assert (told["object_kind"], told["object_name"], told["object_uid"]) == (
        "pods",
        "checkout-1",
        "u",
    )
    assert (told["object_namespace"], told["object_group"]) == ("shop", None)
    assert (told["actor"], told["actor_trust"], told["pod_node"]) == (
        "kubelet",
        "reported",
        "node-7",
    )
    assert told["time"] == 3 * SECOND
    assert told["detail"] == {
        "event": "checkout.17a",
        "reason": "OOMKilling",
        "type": "Warning",
        "message": "Memory cgroup out of memory",
        "field": "spec.containers{app}",
        "count": 2,
        "first_ns": SECOND,
    }


def test_event_of_the_newer_api_says_the_same() -> None:
    told = columns(
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "regarding": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "checkout"},
            "reason": "ScalingReplicaSet",
            "note": "Scaled up",
            "action": "Scale",
            "eventTime": "1970-01-01T00:00:01.000002Z",
            "series": {"count": 4, "lastObservedTime": "1970-01-01T00:00:02.000003Z"},
            "reportingController": "deployment-controller",
            "reportingInstance": "master-1",
        }
    )
    assert (told["object_kind"], told["object_group"]) == ("deployments", "apps")
    assert (told["time"], told["actor"]) == (2_000_003_000, "deployment-controller")
    assert told["detail"]["message"] == "Scaled up"
    assert told["detail"]["count"] == 4


def test_node_tells_its_addresses_and_conditions() -> None:
    told = columns(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node-7", "creationTimestamp": "1970-01-01T00:00:01Z"},
            "spec": {"unschedulable": True, "podCIDRs": ["10.1.0.0/24"]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
                "conditions": [{"type": "Ready", "status": "False"}],
                "nodeInfo": {"kubeletVersion": "v1.34.1", "bootID": "b"},
            },
        }
    )
    assert (told["object_kind"], told["object_name"], told["object_created_time"]) == (
        "nodes",
        "node-7",
        SECOND,
    )
    assert told["detail"] == {
        "addresses": ["192.0.2.7"],
        "pod_cidrs": ["10.1.0.0/24"],
        "conditions": {"Ready": "False"},
        "unschedulable": True,
        "kubelet": "v1.34.1",
        "boot_id": "b",
    }


def test_deployment_tells_its_scale_images_and_commit() -> None:
    template = {
        "metadata": {"labels": {"version": "v2"}},
        "spec": {
            "serviceAccountName": "checkout",
            "containers": [
                {"name": "app", "image": "checkout:2.14"},
                {"name": "istio-proxy", "image": "proxy"},
            ],
        },
    }
    told = columns(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "checkout",
                "generation": 4,
                "annotations": {
                    "deployment.kubernetes.io/revision": "3",
                    "meshtrail.io/commit": COMMIT,
                    "meshtrail.io/repository": "https://git.example/shop.git",
                },
            },
            "spec": {"replicas": 3, "template": template},
            "status": {"readyReplicas": 2, "observedGeneration": 4},
        }
    )
    assert (told["image"], told["pod_version"]) == ("checkout:2.14", "v2")
    assert (told["pod_service_account"], told["commit_id"]) == ("checkout", COMMIT)
    assert told["repository_url"] == "https://git.example/shop"
    assert told["detail"] == {
        "replicas": 3,
        "status": {"readyReplicas": 2},
        "generation": 4,
        "observed_generation": 4,
        "revision": "3",
    }


def test_autoscaler_tells_what_it_scales_and_how_far() -> None:
    told = columns(
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "checkout"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "checkout"},
                "minReplicas": 2,
                "maxReplicas": 9,
            },
            "status": {
                "currentReplicas": 2,
                "desiredReplicas": 5,
                "lastScaleTime": "1970-01-01T00:00:01Z",
            },
        }
    )
    assert told["detail"] == {
        "target": "checkout",
        "target_kind": "Deployment",
        "replicas_min": 2,
        "replicas_max": 9,
        "replicas": 2,
        "replicas_wanted": 5,
        "scaled_ns": SECOND,
    }


def test_service_tells_its_addresses_and_whom_it_selects() -> None:
    spec = {
        "type": "ClusterIP",
        "clusterIP": "10.9.0.1",
        "selector": {"app": "checkout"},
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": "http"}],
    }
    told = columns({"apiVersion": "v1", "kind": "Service", "metadata": {}, "spec": spec})
    assert told["detail"] == {
        "type": "ClusterIP",
        "addresses": ["10.9.0.1"],
        "selector": {"app": "checkout"},
        "ports": [{"port": 80, "protocol": "TCP"}],
    }


def test_any_other_object_is_told_by_its_name() -> None:
    told = columns({"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w"}})
    assert (told["object_kind"], told["object_group"], told["object_name"], told["detail"]) == (
        "widgets",
        "x.example",
        "w",
        None,
    )
