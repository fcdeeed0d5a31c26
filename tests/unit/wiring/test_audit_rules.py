"""The policy logs what events are made of: every kind at a level that says what it needs."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.model.audited_resources import (
    DELIVERING,
    GOVERNING_CORE,
    GOVERNING_GROUPS,
    GOVERNING_PARTS,
    INFRASTRUCTURE_CORE,
    INFRASTRUCTURE_GROUPS,
    POD_PARTS,
    READS,
    REPORTING_IN,
    SESSIONS,
    WRITES,
    groups_of,
)
from meshtrail.model.event import Kind
from meshtrail.sources.kubernetes.audit_kinds import kind_of
from meshtrail.sources.kubernetes.mesh_names import is_mesh_config, is_trust_root
from meshtrail.sources.kubernetes.security_changes import RULES
from meshtrail.wiring import format_kubernetes_audit
from meshtrail.wiring.audit_rules import MESH_CONFIG_MAPS, make_rules
from tests.unit.wiring.audit_policy import Call, level_of
from tests.unit.wiring.wirings import AUDIT

POLICY: dict[str, Any] = next(
    document
    for document in yaml.safe_load_all(
        format_kubernetes_audit(AUDIT["kubernetes-audit"], part="policy")
    )
    if document is not None
)
CHANGES = ("create", "update", "patch", "delete", "deletecollection")
LEVELS = ("None", "Metadata", "Request", "RequestResponse")
KUBELET = ("system:nodes", "system:authenticated")
GROUPS = [group for family in GOVERNING_GROUPS for group in groups_of(family)]


def level(**call: Any) -> str:
    return level_of(POLICY, Call(**call))


def kind(call: Call) -> Kind:
    return kind_of(
        group=call.group,
        resource=call.resource,
        subresource=call.subresource,
        name=call.name,
        verb=call.verb,
    )


def governing_calls() -> list[Call]:
    calls = [
        Call(verb=verb, group=group, resource="policies", subresource=part)
        for verb in CHANGES
        for group in GROUPS
        for part in GOVERNING_PARTS
    ]
    return calls + [
        Call(verb=verb, resource=resource) for verb in CHANGES for resource in GOVERNING_CORE
    ]


@pytest.mark.parametrize("verb", CHANGES)
def test_change_of_what_governs_is_logged_with_request_and_answer(verb: str) -> None:
    for call in governing_calls():
        if call.verb != verb:
            continue
        assert kind(call) is Kind.CONFIG_CHANGE, call
        assert level_of(POLICY, call) == "RequestResponse", call


def test_every_group_whose_changes_are_classified_is_named_by_the_policy() -> None:
    classified = {group for group, _ in RULES if group and not group.startswith("*")}
    assert classified - {*GROUPS, *INFRASTRUCTURE_GROUPS} == set()


def test_policy_that_lacks_a_group_is_noticed() -> None:
    without = {
        "rules": [
            {
                **rule,
                "resources": [
                    group for group in rule["resources"] if group["group"] != "security.istio.io"
                ],
            }
            if rule.get("resources")
            else rule
            for rule in POLICY["rules"]
        ]
    }
    call = Call(verb="patch", group="security.istio.io", resource="authorizationpolicies")
    assert level_of(POLICY, call) == "RequestResponse"
    assert level_of(without, call) == "Metadata"


@pytest.mark.parametrize("group", GROUPS)
def test_status_of_what_governs_is_logged_only_of_what_delivers(group: str) -> None:
    delivers = group.endswith(DELIVERING)
    found = level(verb="patch", group=group, resource="policies", subresource="status")
    assert found == ("RequestResponse" if delivers else "None")


@pytest.mark.parametrize("verb", ["get", "create"])
@pytest.mark.parametrize("session", SESSIONS)
def test_session_is_logged_however_it_is_opened(verb: str, session: tuple[str, str]) -> None:
    call = Call(verb=verb, resource=session[0], subresource=session[1], name="a")
    assert kind(call).value == SESSIONS[session]
    assert level_of(POLICY, call) == "Metadata"


def test_kubelet_called_through_the_api_server_is_logged() -> None:
    assert level(verb="get", resource="nodes", subresource="proxy") == "Metadata"


def test_what_is_put_into_a_running_pod_is_told_and_a_token_never() -> None:
    levels = {
        kind: level(verb="create", resource=resource, subresource=part)
        for (resource, part), kind in WRITES.items()
    }
    assert levels == {"ephemeral_container": "Request", "token_request": "Metadata"}


@pytest.mark.parametrize("verb", [*CHANGES, "get", "list", "watch"])
def test_secrets_are_logged_without_what_they_hold(verb: str) -> None:
    assert level(verb=verb, resource="secrets", name="cacerts") == "Metadata"


@pytest.mark.parametrize("part", sorted(POD_PARTS))
@pytest.mark.parametrize("verb", ["create", "update", "patch", "delete"])
def test_pod_is_logged_as_it_comes_runs_and_goes(verb: str, part: str) -> None:
    call = Call(verb=verb, resource="pods", subresource=part, user_groups=KUBELET)
    assert kind(call) is Kind.WORKLOAD
    assert level_of(POLICY, call) == "RequestResponse"


@pytest.mark.parametrize("verb", sorted(READS))
def test_reads_of_all_but_secrets_are_not_logged(verb: str) -> None:
    for resource in ("pods", "configmaps", "services", "nodes"):
        assert level(verb=verb, resource=resource) == "None"
    for group in GROUPS:
        assert level(verb=verb, group=group, resource="policies") == "None"


def test_heartbeats_and_questions_for_others_are_not_logged_but_ones_own_are() -> None:
    assert level(verb="update", group="coordination.k8s.io", resource="leases") == "None"
    for group, resource in (
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    ):
        assert level(verb="create", group=group, resource=resource) == "None"
    own = "selfsubjectrulesreviews"
    assert level(verb="create", group="authorization.k8s.io", resource=own) == "Metadata"


@pytest.mark.parametrize("group", REPORTING_IN)
def test_what_agents_write_of_themselves_is_logged_in_short(group: str) -> None:
    for resource in REPORTING_IN[group]:
        call = Call(verb="update", group=group, resource=resource)
        assert kind(call) is Kind.INFRASTRUCTURE
        assert level_of(POLICY, call) == "Metadata"


@pytest.mark.parametrize("name", MESH_CONFIG_MAPS)
def test_config_map_of_a_mesh_is_logged_whole_and_known_as_one(name: str) -> None:
    assert is_mesh_config("configmaps", name) or is_trust_root("configmaps", name)
    assert level(verb="patch", resource="configmaps", name=name) == "RequestResponse"


def test_config_map_of_an_application_is_logged_in_short() -> None:
    assert level(verb="patch", resource="configmaps", name="settings") == "Metadata"


def test_infrastructure_is_logged_with_what_was_asked_for() -> None:
    calls = [Call(verb="patch", resource=resource) for resource in INFRASTRUCTURE_CORE]
    calls += [Call(verb="patch", group=group, resource="any") for group in INFRASTRUCTURE_GROUPS]
    calls += [Call(verb="patch", group="apps", resource="deployments", subresource="scale")]
    calls += [Call(verb="patch", resource="nodes", subresource="status")]
    for call in calls:
        assert kind(call) is Kind.INFRASTRUCTURE
        assert level_of(POLICY, call) == "Request", call


def test_endpoints_are_logged_unless_their_own_controller_writes_them() -> None:
    call = {"verb": "update", "group": "discovery.k8s.io", "resource": "endpointslices"}
    controller = "system:serviceaccount:kube-system:endpointslice-controller"
    assert level(**call, user=controller) == "None"
    assert level(**call) == "Request"


def test_any_other_change_is_logged_in_short() -> None:
    assert level(verb="create", group="example.com", resource="widgets") == "Metadata"
    assert level(verb="post", resource="") == "Metadata"


def test_every_rule_has_a_level_and_names_of_objects_have_their_resource() -> None:
    for rule in make_rules():
        assert rule.level in LEVELS
        assert rule.why.endswith(".")
        assert not rule.names or all(resources for _, resources in rule.groups)


def test_no_rule_stands_behind_one_that_takes_every_call() -> None:
    *others, last = make_rules()
    assert (last.groups, last.verbs, last.users) == ((), (), ())
    assert all(rule.groups or rule.verbs or rule.users for rule in others)
