from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.explanation import explain
from meshtrail.errors import NotFoundError
from meshtrail.model.event import Trust
from meshtrail.search.limits import SearchLimits
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.correlate.explanation import Explanation

SECOND = 1_000_000_000
DIGEST, COMMIT = "sha256:" + "ab" * 32, "c0" * 20
POLICY_COMMIT = "d1" * 20
TOOL = "system:serviceaccount:argocd:controller"
DENIED = {
    "kind": "request",
    "time": FIRST_NS + 60 * SECOND,
    "decision": "denied",
    "policy_namespace": "shop",
    "policy_name": "deny-admin",
    "src_ip": "10.0.0.5",
    "src_spiffe_id": "spiffe://td/ns/shop/sa/web",
    "src_spiffe_id_trust": "attested",
    "src_namespace": "shop",
    "src_service_account": "web",
    "dst_ip": "10.0.0.6",
    "dst_namespace": "shop",
}
POD = {
    "kind": "workload",
    "time": FIRST_NS,
    "object_kind": "pods",
    "object_namespace": "shop",
    "object_name": "web-1",
    "object_uid": "u1",
    "object_created_time": FIRST_NS,
    "pod_service_account": "web",
    "pod_workload": "web",
    "pod_ips": "10.0.0.5",
    "pod_phase": "Running",
    "image_digest": DIGEST,
    "operation": "added",
}
IMAGE = {"kind": "deployment", "object_kind": "images", "image_digest": f"sha256:00,{DIGEST}"}


def policy(
    at_s: int, operation: str, rules: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    body = {"spec": {"action": "ALLOW", "rules": rules}} if rules is not None else None
    detail = {"object": body, **more.pop("said", {})} if body is not None else more.pop("said", {})
    return {
        "kind": "config_change",
        "time": FIRST_NS + at_s * SECOND,
        "operation": operation,
        "actor": "ann",
        "object_kind": "authorizationpolicies",
        "object_group": "security.istio.io",
        "object_namespace": "shop",
        "object_name": "deny-admin",
        "audit_stage": "ResponseComplete",
        "spec_hash": bytes([at_s]) * 32,
        "detail": json.dumps(detail),
        **more,
    }


def commit(commit_id: str, subject: str, source: str = "git-log") -> dict[str, Any]:
    detail = json.dumps({"subject": subject})
    return {"kind": "commit", "commit_id": commit_id, "source": source, "detail": detail}


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def explained(log: SmallLog, index: int = 0) -> Explanation:
    with Searcher(
        log.layout, log.signer.verifier, origin=ORIGIN, limits=SearchLimits()
    ) as searcher:
        return explain(searcher, index, now_ns=UnixNanos(FIRST_NS + 10**12))


def test_a_caller_leads_to_its_pod_its_image_and_the_commit_of_that(log: SmallLog) -> None:
    log.add_segment([DENIED, POD, {**IMAGE, "commit_id": COMMIT}])
    log.add_segment([commit(COMMIT, "as pushed", "github"), commit(COMMIT, "Add exports")])
    caller, callee = explained(log).ends
    assert (caller.side, caller.facts["pod"], caller.facts["image_digest"]) == (
        "src",
        "web-1",
        DIGEST,
    )
    assert caller.facts["workload_trust"] == "derived"
    [clue] = caller.commits
    assert (clue.commit_id, clue.trust, clue.told_by) == (COMMIT, Trust.ASSERTED, 2)
    assert clue.subject == "Add exports"
    # Of the callee nothing is known but its address.
    assert (callee.side, callee.facts["pod"], callee.commits) == ("dst", None, ())


def test_a_pod_that_names_its_commit_leads_to_it(log: SmallLog) -> None:
    log.add_segment([DENIED, {**POD, "commit_id": COMMIT, "image_digest": None}])
    [clue] = explained(log).ends[0].commits
    assert (clue.reason, clue.told_by, clue.commit) == ("an annotation of the pod", 1, None)


def test_a_policy_leads_to_its_last_change_before_and_the_first_after(log: SmallLog) -> None:
    log.add_segment(
        [
            DENIED,
            policy(10, "create", [{"to": [1]}], commit_id=POLICY_COMMIT),
            policy(50, "update", [{"to": [1]}, {"to": [2]}], actor="eve"),
            policy(70, "delete"),
            policy(55, "update", [], http_response_status_code=403),
            {**policy(56, "update", []), "object_kind": "virtualservices"},
        ]
    )
    explanation = explained(log)
    [governing] = explanation.governing
    assert explanation.is_named
    assert governing.in_force is not None
    assert governing.in_force.row["actor"] == "eve"
    assert governing.in_force.before_hash == bytes([10]) * 32
    assert governing.in_force.security == ("widened",)
    assert governing.next is not None
    assert (governing.next.row["operation"], governing.next.is_removal) == ("delete", True)


def test_a_policy_that_is_changed_later_only_was_not_known_before(log: SmallLog) -> None:
    log.add_segment([DENIED, policy(70, "update")])
    [governing] = explained(log).governing
    assert governing.in_force is None
    assert governing.next is not None


def test_who_is_denied_by_no_policy_is_shown_those_of_the_callees_namespace(log: SmallLog) -> None:
    unnamed = {**DENIED, "policy_name": None, "policy_namespace": None}
    log.add_segment(
        [unnamed, policy(10, "create"), {**policy(5, "create"), "object_kind": "secrets"}]
    )
    explanation = explained(log)
    assert not explanation.is_named
    assert [one.key.kind for one in explanation.governing] == ["authorizationpolicies"]


def test_an_event_without_policy_and_namespace_is_explained_as_far_as_it_goes(
    log: SmallLog,
) -> None:
    log.add_segment([{"kind": "request"}])
    explanation = explained(log)
    assert (explanation.ends, explanation.governing) == ((), ())


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ({"argocd.argoproj.io/tracking-id": "policies:x/y:shop/deny-admin"}, "Argo CD"),
        ({"kustomize.toolkit.fluxcd.io/name": "policies"}, "Flux"),
    ],
)
def test_a_change_that_a_tool_brought_in_leads_to_what_the_tool_was_at(
    log: SmallLog, mark: dict[str, str], reason: str
) -> None:
    delivered = {"kind": "deployment", "object_kind": "applications", "object_name": "policies"}
    at = {"time": FIRST_NS + 12 * SECOND}
    log.add_segment(
        [
            DENIED,
            policy(10, "create", [], said={"origin": mark}, actor=TOOL),
            {**delivered, **at, "commit_id": POLICY_COMMIT},
            {**delivered, "time": FIRST_NS - 500 * SECOND, "commit_id": COMMIT},
            # Told long before or after: another one.
            {**delivered, "time": FIRST_NS + 400 * SECOND, "commit_id": "ee" * 20},
            {**delivered, **at, "commit_id": None},
        ]
    )
    [governing] = explained(log).governing
    [clue] = governing.commits
    assert (clue.commit_id, clue.trust) == (POLICY_COMMIT, Trust.DERIVED)
    assert clue.reason == f"{reason} was bringing in policies"


def test_the_clock_of_the_reporter_is_set_right_before_it_is_asked_what_was_in_force(
    log: SmallLog,
) -> None:
    ahead = {**DENIED, "time_offset": 30 * SECOND, "time_error": 0}
    log.add_segment([ahead, policy(10, "create"), policy(40, "update", actor="eve")])
    [governing] = explained(log).governing
    assert governing.in_force is not None
    assert governing.in_force.row["actor"] == "ann"


def test_an_entry_that_is_not_there_is_named(log: SmallLog) -> None:
    log.add_segment([DENIED])
    with pytest.raises(NotFoundError, match="no sealed entry 7"):
        explained(log, 7)


def test_what_a_person_changed_by_hand_is_not_the_tools_whatever_it_is_marked_with(
    log: SmallLog,
) -> None:
    mark = {"origin": {"argocd.argoproj.io/tracking-id": "policies:x"}}
    told = {"kind": "deployment", "object_name": "policies", "commit_id": COMMIT}
    log.add_segment([DENIED, policy(10, "update", [], said=mark), {**told, "time": FIRST_NS}])
    [governing] = explained(log).governing
    assert governing.commits == ()


def test_a_policy_without_a_namespace_is_found_and_several_are_each(log: SmallLog) -> None:
    wide = {**policy(10, "create"), "object_namespace": None, "object_name": "wide"}
    log.add_segment(
        [
            {**DENIED, "policy_name": "wide,deny-admin", "policy_namespace": None},
            wide,
            policy(11, "create"),
            {**policy(12, "create"), "object_name": "other"},
        ]
    )
    names = [one.key.name for one in explained(log).governing]
    assert names == ["wide", "deny-admin"]


def test_policies_of_another_cluster_govern_nothing_where_the_events_is_known(
    log: SmallLog,
) -> None:
    log.add_segment(
        [
            {**DENIED, "dst_cluster": "east"},
            policy(10, "create", reporter_cluster="east"),
            policy(11, "create", reporter_cluster="west"),
            {**DENIED, "dst_cluster": "north"},
        ]
    )
    assert [one.key.cluster for one in explained(log).governing] == ["east"]
    assert [one.key.cluster for one in explained(log, 3).governing] == ["east", "west"]
