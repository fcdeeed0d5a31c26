from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.sources.kubernetes.audit_events import read_audit_record
from meshtrail.sources.kubernetes.canonical_json import hash_canonical
from meshtrail.sources.mappings import MAPPINGS
from meshtrail.sources.streams import Reporters, StreamFacts

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY: dict[str, Any] = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {
        "name": "default",
        "namespace": "shop",
        "annotations": {"meshtrail.io/commit": "ab" * 20},
    },
    "spec": {"mtls": {"mode": "PERMISSIVE"}},
}
KEPT = POLICY | {
    "metadata": POLICY["metadata"]
    | {"uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z"}
}
EVENT: dict[str, Any] = {
    "kind": "Event",
    "apiVersion": "audit.k8s.io/v1",
    "level": "RequestResponse",
    "auditID": "841d3e6d-90d2-43df-8da4-684738bee3d5",
    "stage": "ResponseComplete",
    "requestURI": "/apis/security.istio.io/v1/namespaces/shop/peerauthentications?fieldManager=k",
    "verb": "create",
    "user": {
        "username": "alice",
        "uid": "17",
        "groups": ["devs", "a,b\\"],
        "extra": {
            "authentication.kubernetes.io/pod-name": ["ci-0"],
            "authentication.kubernetes.io/node-name": ["n1"],
        },
    },
    "impersonatedUser": {"username": "system:admin", "groups": ["system:masters"]},
    "sourceIPs": ["203.0.113.9", "not an address", "10.0.0.7"],
    "userAgent": "kubectl/v1.36",
    "objectRef": {
        "resource": "peerauthentications",
        "namespace": "shop",
        "name": "default",
        "apiGroup": "security.istio.io",
        "apiVersion": "v1",
        "uid": "mine",
    },
    "responseStatus": {"code": 201},
    "requestObject": POLICY,
    "responseObject": KEPT,
    "requestReceivedTimestamp": "2026-01-02T03:04:05.000001Z",
    "stageTimestamp": "2026-01-02T03:04:05.000501Z",
    "annotations": {
        "authorization.k8s.io/decision": "allow",
        "authorization.k8s.io/reason": 'RBAC: allowed by RoleBinding "mesh-admins/shop" of '
        'ClusterRole "admin" to User "system:admin"',
        "mutation.webhook.admission.k8s.io/round_0_index_0": "{}",
    },
}


def read(**changes: Any) -> dict[str, Any]:
    """The columns of the event, with some members changed; None takes one away."""
    event = {name: value for name, value in (EVENT | changes).items() if value is not None}
    return read_audit_record(json.dumps(event).encode()).columns


def problems(**changes: Any) -> list[str]:
    return read_audit_record(json.dumps(EVENT | changes).encode()).problems


def test_every_column_of_a_change_says_what_the_event_does() -> None:
    row = read()
    detail = json.loads(row.pop("detail"))
    assert row == {
        "kind": "config_change",
        "time": 1767323045000001000,
        "end_time": 1767323045000501000,
        "duration": 500_000,
        "audit_level": "RequestResponse",
        "audit_stage": "ResponseComplete",
        "actor": "alice",
        "actor_trust": "reported",
        "actor_groups": "devs,a\\,b\\\\",
        "actor_impersonated": "system:admin",
        "actor_ip": "10.0.0.7",
        "actor_forwarded_for": "203.0.113.9,not an address",
        "src_pod": "ci-0",
        "src_node": "n1",
        "src_workload_trust": "reported",
        "user_agent_original": "kubectl/v1.36",
        "url_path": "/apis/security.istio.io/v1/namespaces/shop/peerauthentications",
        "url_query": "fieldManager=k",
        "operation": "create",
        "http_response_status_code": 201,
        "request_id": bytes.fromhex("841d3e6d90d243df8da4684738bee3d5"),
        "request_id_trust": "asserted",
        "decision": "allowed",
        "decision_trust": "reported",
        "decision_reason": EVENT["annotations"]["authorization.k8s.io/reason"],
        "policy_kind": "RoleBinding",
        "policy_name": "mesh-admins",
        "policy_namespace": "shop",
        "object_kind": "peerauthentications",
        "object_group": "security.istio.io",
        "object_namespace": "shop",
        "object_name": "default",
        "object_uid": "u-1",
        "object_version": "7",
        "object_created_time": 1767323045000000000,
        "spec_hash": hash_canonical({"spec": POLICY["spec"]}),
        "security_change": "mtls_downgrade,policy_added",
        "commit_id": "ab" * 20,
    }
    assert detail["object"] == {"spec": POLICY["spec"]}
    assert detail["origin"] == {"meshtrail.io/commit": "ab" * 20}
    assert detail["actor"]["uid"] == "17"
    assert detail["annotations"] == {"mutation.webhook.admission.k8s.io/round_0_index_0": "{}"}


@pytest.mark.parametrize(
    "changes",
    [
        {"responseStatus": {"code": 403}},
        {"responseStatus": {"code": 409}},
        {"responseStatus": None},
        {"annotations": {"authorization.k8s.io/decision": "forbid"}},
        {"requestURI": "/apis/x?dryRun=All"},
        {"stage": "RequestReceived", "responseStatus": None},
    ],
)
def test_call_without_effect_is_of_the_same_kind_and_changes_nothing(
    changes: dict[str, Any],
) -> None:
    row = read(**changes)
    assert row["kind"] == "config_change"
    assert "security_change" not in row
    assert "spec_hash" not in row


def test_refused_call_says_who_asked_for_what_and_why_not() -> None:
    row = read(
        responseStatus={"code": 403, "reason": "Forbidden", "message": "no"},
        responseObject={"kind": "Status", "metadata": {}},
        annotations={"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""},
    )
    assert (row["decision"], row["http_response_status_code"]) == ("denied", 403)
    detail = json.loads(row["detail"])
    assert detail["failure"] == {"reason": "Forbidden", "message": "no"}
    assert detail["object"]["spec"] == {"mtls": {"mode": "PERMISSIVE"}}


def test_decision_that_is_not_stated_is_unknown() -> None:
    row = read(annotations=None)
    assert row["decision"] == "unknown"
    assert "decision_trust" not in row


def test_end_is_known_only_of_what_has_ended() -> None:
    for stage in ("RequestReceived", "ResponseStarted"):
        row = read(stage=stage)
        assert "end_time" not in row
        assert "duration" not in row
    assert "end_time" in read(stage="Panic")


def test_patch_is_told_by_what_it_sets_and_hashed_by_what_became_of_it() -> None:
    patch = {"spec": {"mtls": {"mode": "DISABLE"}}}
    alone = read(verb="patch", requestObject=patch, responseObject=None)
    assert "spec_hash" not in alone
    assert alone["security_change"] == "mtls_downgrade"
    assert json.loads(alone["detail"])["patch"] == patch
    labelled = read(verb="patch", requestObject={"metadata": {"labels": {"a": "b"}}})
    assert labelled["spec_hash"] == hash_canonical({"spec": POLICY["spec"]})
    assert "security_change" not in labelled


def test_delete_has_no_specification_afterwards_and_tells_the_last() -> None:
    row = read(verb="delete", requestObject=None)
    assert "spec_hash" not in row
    assert row["security_change"] == "policy_removed,unclear"
    assert json.loads(row["detail"])["object_before"] == {"spec": POLICY["spec"]}
    options = {"kind": "DeleteOptions", "dryRun": ["All"]}
    assert "security_change" not in read(verb="delete", requestObject=options)


def test_secrets_are_told_by_the_names_of_what_they_hold_alone() -> None:
    secret = {
        "kind": "Secret",
        "metadata": {"name": "cacerts"},
        "data": {"ca-key.pem": "c2VjcmV0"},
        "stringData": {"x": "s3cret"},
        "type": "Opaque",
    }
    row = read(
        objectRef={"resource": "secrets", "namespace": "istio-system", "name": "cacerts"},
        requestObject=secret,
        responseObject=None,
    )
    assert row["security_change"] == "trust_root_changed"
    assert "spec_hash" not in row
    assert json.loads(row["detail"])["object"] == {"type": "Opaque", "keys": ["ca-key.pem", "x"]}
    assert "c2VjcmV0" not in str(row)
    assert "s3cret" not in str(row)


def test_request_for_a_token_tells_for_whom_and_never_the_token() -> None:
    row = read(
        objectRef={"resource": "serviceaccounts", "subresource": "token", "name": "sa"},
        requestObject={"metadata": {}, "spec": {"audiences": ["vault"], "expirationSeconds": 60}},
        responseObject={"metadata": {}, "spec": {}, "status": {"token": "eyJhbGciOi"}},
    )
    assert row["kind"] == "token_request"
    token = {"audiences": ["vault"], "expirationSeconds": 60}
    assert json.loads(row["detail"])["token"] == token
    assert "eyJhbGciOi" not in str(row)


def test_command_of_an_exec_is_in_its_detail() -> None:
    row = read(
        objectRef={"resource": "pods", "subresource": "exec", "namespace": "shop", "name": "p"},
        verb="get",
        requestURI="/api/v1/namespaces/shop/pods/p/exec?command=sh&command=-c&container=app",
        responseStatus={"code": 101},
        requestObject=None,
        responseObject=None,
    )
    assert row["kind"] == "exec"
    detail = json.loads(row["detail"])
    assert (detail["command"], detail["container"]) == (["sh", "-c"], ["app"])


def test_long_objects_are_told_by_their_length() -> None:
    large = POLICY | {"spec": {"a": "x" * 20_000}}
    row = read(requestObject=large, responseObject=None)
    detail = json.loads(row["detail"])
    assert "object" not in detail
    assert detail["object_bytes"] == 20_000 + len('{"spec":{"a":""}}')
    assert row["spec_hash"] == hash_canonical({"spec": large["spec"]})


POD = {
    "kind": "Pod",
    "metadata": {"name": "p-1", "namespace": "shop", "labels": {"version": "v2"}},
    "spec": {"nodeName": "n1", "serviceAccountName": "web", "containers": [{"image": "i:1"}]},
    "status": {"phase": "Running", "podIP": "10.1.2.3"},
}


@pytest.mark.parametrize(
    ("verb", "part", "kind"), [("patch", "status", "workload"), ("get", "", "api_call")]
)
def test_pod_is_told_wherever_it_is_shown(verb: str, part: str, kind: str) -> None:
    of = {"resource": "pods", "subresource": part, "name": "p-1"}
    row = read(verb=verb, objectRef=of, requestObject={}, responseObject=POD)
    assert row["kind"] == kind
    assert (row["pod_node"], row["pod_ips"], row["pod_version"]) == ("n1", "10.1.2.3", "v2")
    assert (row["pod_service_account"], row["image"]) == ("web", "i:1")


APPLICATION = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "shop", "namespace": "argocd"},
    "spec": {"source": {"repoURL": "https://git.example/shop", "targetRevision": "main"}},
    "status": {"sync": {"revision": "cd" * 20, "status": "Synced"}},
}


@pytest.mark.parametrize(
    ("asked", "kind"),
    [({"status": {"sync": {}}}, "deployment"), ({"spec": {"source": {}}}, "config_change")],
)
def test_what_argo_cd_delivered_is_told_by_its_own_reports(
    asked: dict[str, Any], kind: str
) -> None:
    of = {"resource": "applications", "apiGroup": "argoproj.io", "name": "shop"}
    row = read(verb="patch", objectRef=of, requestObject=asked, responseObject=APPLICATION)
    assert row["kind"] == kind
    assert (row["commit_id"], row["commit_ref"]) == ("cd" * 20, "main")
    assert "commit_id" not in read(verb="get", objectRef=of, responseObject=APPLICATION)


@pytest.mark.parametrize(
    ("changes", "problem", "column"),
    [
        ({"requestReceivedTimestamp": "soon"}, "requestReceivedTimestamp is no moment", "time"),
        ({"stageTimestamp": 5}, "stageTimestamp is no text", "end_time"),
        ({"level": "Everything"}, "level is none of those that there are", "audit_level"),
        ({"stage": "x"}, "stage is none of those that there are", "audit_stage"),
        ({"sourceIPs": ["10.0.0.1", "x"]}, "sourceIPs ends with no address", "actor_ip"),
        ({"sourceIPs": "10.0.0.1"}, "sourceIPs is no list", "actor_ip"),
        ({"user": []}, None, "actor"),
        ({"user": {"username": 7}}, "user.username is no text", "actor"),
        (
            {"responseStatus": {"code": 7}},
            "responseStatus.code is no status of HTTP",
            "http_response_status_code",
        ),
        (
            {"responseStatus": {"code": "200"}},
            "responseStatus.code is no whole number",
            "http_response_status_code",
        ),
        ({"requestURI": 7}, "requestURI is no text, or too long", "url_path"),
        ({"requestURI": "/" * 100_000}, "requestURI is no text, or too long", "url_path"),
        ({"auditID": "other"}, None, "request_id"),
        (
            {"annotations": {"authorization.k8s.io/decision": "perhaps"}},
            "annotations.authorization.k8s.io/decision is neither allow nor forbid",
            "decision_trust",
        ),
    ],
)
def test_value_that_cannot_be_read_is_absent_with_its_reason(
    changes: dict[str, Any], problem: str | None, column: str
) -> None:
    assert column not in read(**changes)
    assert problem is None or problem in problems(**changes)


def test_id_that_is_no_uuid_stands_as_a_text() -> None:
    assert read(auditID="other")["request_id_text"] == "other"


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def paths_of(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from paths_of(inner, (*path, key))


@given(
    path=st.sampled_from(sorted(paths_of(EVENT))),
    other=JSON,
    verb=st.sampled_from(["create", "update", "patch", "delete", "get"]),
    of=st.sampled_from(["pods", "secrets", "namespaces", "peerauthentications", ""]),
)
def test_member_of_any_type_leaves_an_event_that_fits_the_schema(
    path: tuple[str, ...], other: object, verb: str, of: str
) -> None:
    event = json.loads(json.dumps(EVENT | {"verb": verb}))
    event["objectRef"]["resource"] = of
    if of != "peerauthentications":
        del event["objectRef"]["apiGroup"]
    place = event
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = other
    records = pa.array([json.dumps(event).encode()], pa.binary())
    senders = Reporters([StreamFacts()], np.zeros(1, dtype=np.int64))
    out = MAPPINGS[PayloadFormat.KUBERNETES_AUDIT_JSON](records, senders)
    for name, column in out.columns.items():
        assert column.type == EVENT_SCHEMA.field(name).type
    if path[0] not in {"kind", "apiVersion", "auditID"}:
        assert out.columns["kind"].to_pylist() != ["undecoded"]


@pytest.mark.parametrize(
    "body",
    [
        '{"metadata":{},"spec":' + "[" * 90 + "]" * 90 + "}",
        '{"metadata":{},"spec":[' + "0," * 400_000 + "0]}",
        '{"metadata":{},"spec":{' + ",".join(f'"k{n}":{{}}' for n in range(50_000)) + "}}",
        '{"metadata":{"labels":{' + ",".join(f'"k{n}":"v"' for n in range(50_000)) + "}}}",
        "[" + ",".join('{"path":"/a/b/c/d/e","value":1}' for _ in range(20_000)) + "]",
    ],
)
def test_body_made_to_take_long_does_not(body: str) -> None:
    record = json.dumps(EVENT | {"requestObject": None, "responseObject": None, "verb": "patch"})
    record = record.replace('"requestObject": null', f'"requestObject": {body}')
    begin = time.perf_counter()
    assert read_audit_record(record.encode()).columns["kind"] == "config_change"
    assert time.perf_counter() - begin < 3
