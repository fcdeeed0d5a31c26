"""The story that the demo tells follows from its data: who may do what, and who may not."""

from __future__ import annotations

import pytest

from meshtrail.demo.behaviour import fill, find_route
from meshtrail.demo.breach import CULPRIT, PROBES, READS, STOLEN_FROM, VICTIM
from meshtrail.demo.workloads import WORKLOADS, Rule, Workload

BY_NAME = {workload.name: workload for workload in WORKLOADS}
SOMETHING = {"customer": "1001", "item": "11"}
CALLS = [
    (workload, BY_NAME[call.to], call.method, fill(call.path, SOMETHING))
    for workload in WORKLOADS
    for route in workload.routes
    for call in route.calls
]


def allows(callee: Workload, caller: Workload, method: str, path: str) -> bool:
    """What RBAC says: no DENY rule matches, and an ALLOW rule does."""
    matched = {
        policy.action
        for policy in callee.policies
        for rule in policy.rules
        if matches(rule, caller.name, method, path)
    }
    return matched == {"ALLOW"}


def matches(rule: Rule, caller: str, method: str, path: str) -> bool:
    return (
        (not rule.callers or caller in rule.callers)
        and rule.method in {"", method}
        and path.startswith(rule.path_prefix)
    )


def test_mesh_has_at_least_five_workloads_each_at_its_own_address() -> None:
    assert len(WORKLOADS) >= 5
    assert len({workload.host for workload in WORKLOADS}) == len(WORKLOADS)
    assert len({workload.name for workload in WORKLOADS}) == len(WORKLOADS)


@pytest.mark.parametrize(("caller", "callee", "method", "path"), CALLS)
def test_every_call_is_allowed_and_has_a_route(
    caller: Workload, callee: Workload, method: str, path: str
) -> None:
    assert allows(callee, caller, method, path)
    assert find_route(callee.routes, method=method, path=path) is not None


@pytest.mark.parametrize(("workload", "method", "path"), PROBES)
def test_every_probe_is_something_that_the_culprit_may_not_do(
    workload: Workload, method: str, path: str
) -> None:
    assert not allows(workload, CULPRIT, method, path)


@pytest.mark.parametrize("path", READS)
def test_every_stolen_read_is_allowed_to_the_identity_that_was_stolen_alone(path: str) -> None:
    assert allows(VICTIM, STOLEN_FROM, "GET", path)
    assert not allows(VICTIM, CULPRIT, "GET", path)
    assert find_route(VICTIM.routes, method="GET", path=path) is not None


def test_rules_name_workloads_that_exist() -> None:
    callers = {
        caller
        for workload in WORKLOADS
        for policy in workload.policies
        for rule in policy.rules
        for caller in rule.callers
    }
    assert callers <= BY_NAME.keys()
