"""Audit events that a real API server wrote: each file is an event, and says what was done."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.sources.json_elements import slice_elements
from meshtrail.sources.kubernetes.audit_events import read_audit_record

if TYPE_CHECKING:
    from pathlib import Path

FILES: dict[str, tuple[str, str, str, str | None]] = {
    "anonymous_creates_namespace_foo": ("config_change", "create", "namespaces", None),
    "attach_pod": ("attach", "create", "pods", None),
    "create_cluster_role_wildcard_resources": (
        *("config_change", "create", "clusterroles"),
        "privilege_granted,policy_added",
    ),
    "create_cluster_role_write_privileges": (
        *("config_change", "create", "clusterroles"),
        "policy_added",
    ),
    "create_clusterrolebinding": (
        *("config_change", "create", "clusterrolebindings"),
        "privilege_granted,policy_added",
    ),
    "create_configmap_no_sensitive_values": ("api_call", "create", "configmaps", None),
    "create_deployment": ("infrastructure", "create", "deployments", None),
    "create_nginx_pod_hostnetwork": ("workload", "create", "pods", "privileged_workload"),
    "create_nginx_pod_nohostnetwork": ("workload", "create", "pods", None),
    "create_nginx_pod_privileged_2nd_container": (
        *("workload", "create", "pods"),
        "privileged_workload",
    ),
    "create_nginx_pod_sensitive_mount_2nd_container": (
        *("workload", "create", "pods"),
        "privileged_workload",
    ),
    # The file is named for what was made before; the event is a kubelet that looks.
    "create_nginx_pod_unsensitive_mount": ("api_call", "get", "pods", None),
    "create_nginx_service_nonodeport": ("config_change", "create", "services", None),
    "create_pod_kube_system_namespace": ("workload", "create", "pods", None),
    "create_service": ("config_change", "create", "services", None),
    "create_serviceaccount": ("config_change", "create", "serviceaccounts", None),
    "create_serviceaccount_kube_system_namespace": (
        *("config_change", "create", "serviceaccounts"),
        None,
    ),
    "delete_clusterrole": (
        *("config_change", "delete", "clusterroles"),
        "privilege_revoked,policy_removed",
    ),
    "delete_configmap": ("api_call", "delete", "configmaps", None),
    "delete_namespace_foo": ("config_change", "delete", "namespaces", None),
    "delete_service": ("config_change", "delete", "services", None),
    "exec_pod": ("exec", "create", "pods", None),
    "minikube_creates_namespace_foo": ("config_change", "create", "namespaces", None),
    "some-user_creates_namespace_foo": ("config_change", "create", "namespaces", None),
}
REPLICAS = "system:controller:replicaset-controller"


def told(samples: Path, name: str) -> dict[str, Any]:
    body = (samples / "kubernetes-audit" / f"{name}.json").read_bytes()
    (record,) = slice_elements(body, elements_count_max=1)
    row = read_audit_record(record)
    assert row.problems == []
    return row.columns


def test_no_sample_has_been_left_out(samples: Path) -> None:
    assert {path.stem for path in (samples / "kubernetes-audit").iterdir()} == FILES.keys()


@pytest.mark.parametrize("name", FILES)
def test_every_sample_is_an_event_of_its_kind(samples: Path, name: str) -> None:
    row = told(samples, name)
    kind, verb, resource, change = FILES[name]
    assert (row["kind"], row["operation"], row["object_kind"]) == (kind, verb, resource)
    assert row.get("security_change") == change
    assert row["decision"] == "allowed"
    assert row["actor"]
    assert row["actor_ip"] in {"192.168.99.1", "::1", "127.0.0.1"}
    assert row["time"] < 1_540_600_000_000_000_000
    assert ("spec_hash" in row) == (verb == "create" and kind in HASHED)


HASHED = {"config_change", "infrastructure", "workload"}


def test_binding_of_a_role_is_told_in_every_column(samples: Path) -> None:
    row = told(samples, "create_clusterrolebinding")
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    binding = {
        "roleRef": group | {"kind": "ClusterRole", "name": "system:basic-user"},
        "subjects": [group | {"kind": "User", "name": "minikube"}],
    }
    assert json.loads(row.pop("detail")) == {"object": binding}
    # What is sorted and has neither spaces nor numbers is canonical.
    canonical = json.dumps(binding, sort_keys=True, separators=(",", ":")).encode()
    assert row == {
        "kind": "config_change",
        "time": 1_540_560_318_279_128_000,
        "end_time": 1_540_560_318_286_399_000,
        "duration": 7_271_000,
        "audit_level": "RequestResponse",
        "audit_stage": "ResponseComplete",
        "actor": "minikube-user",
        "actor_trust": "reported",
        "actor_groups": "system:masters,system:authenticated",
        "actor_ip": "192.168.99.1",
        "request_id": bytes.fromhex("e040d0ab473c442c970788553173e962"),
        "request_id_trust": "asserted",
        "url_path": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        "operation": "create",
        "http_response_status_code": 201,
        "decision": "allowed",
        "decision_trust": "reported",
        "object_kind": "clusterrolebindings",
        "object_group": "rbac.authorization.k8s.io",
        "object_name": "some-reader-binding",
        "object_uid": "94c41db6-d922-11e8-a2e6-080027728ac4",
        "object_version": "266029",
        "object_created_time": 1_540_560_318_000_000_000,
        "spec_hash": hashlib.sha256(canonical).digest(),
        "security_change": "privilege_granted,policy_added",
    }


def test_session_in_a_pod_is_told_with_its_command_and_without_an_end(samples: Path) -> None:
    row = told(samples, "exec_pod")
    assert (row["audit_stage"], row["http_response_status_code"]) == ("ResponseStarted", 101)
    assert "end_time" not in row
    assert row["object_name"] == "nginx-deployment-7998647bdf-phvq7"
    assert json.loads(row["detail"]) == {
        "command": ["bash"],
        "container": ["nginx1", "nginx1"],
        "tty": ["true"],
        "stdin": ["true"],
    }


def test_pod_is_told_as_the_server_made_it_with_the_binding_that_allowed_it(samples: Path) -> None:
    row = told(samples, "create_nginx_pod_privileged_2nd_container")
    assert row["actor"] == "system:serviceaccount:kube-system:replicaset-controller"
    assert (row["policy_kind"], row["policy_name"]) == ("ClusterRoleBinding", REPLICAS)
    assert row["object_name"] == "nginx-deployment-544b59f8b8-ffkxm"
    assert row["image"] == "nginx,mysql:latest"
    assert (row["pod_service_account"], row["pod_phase"]) == ("default", "Pending")
    assert row["pod_labels"] == '{"app":"nginx","pod-template-hash":"1006159464"}'


def test_uid_of_a_new_object_is_the_servers_and_not_the_one_that_was_asked_for(
    samples: Path,
) -> None:
    row = told(samples, "create_configmap_no_sensitive_values")
    assert row["object_uid"] == "34ffc893-d905-11e8-a2e6-080027728ac4"


def test_two_who_did_the_same_are_told_apart_by_their_name_alone(samples: Path) -> None:
    one, other = (
        told(samples, name)
        for name in ("anonymous_creates_namespace_foo", "some-user_creates_namespace_foo")
    )
    assert (one.pop("actor"), other.pop("actor")) == ("system:anonymous", "some-user")
    assert one == other
