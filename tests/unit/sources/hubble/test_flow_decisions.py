from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.hubble_lines import detail, event_of_flow, events, flow, http, line, picked, policy


def decided(**changed: object) -> list[Any]:
    names = ("decision", "decision_trust", "decision_reason", "policy_name")
    return picked(event_of_flow(**changed), *names)


@pytest.mark.parametrize(
    ("verdict", "more", "wanted"),
    [
        ("FORWARDED", {}, ["unknown", None, None, None]),
        ("FORWARDED", {"event_type": {"type": 5}}, ["allowed", "reported", "policy-verdict", None]),
        ("REDIRECTED", {"event_type": {"type": 5}}, ["unknown", None, None, None]),
        ("TRACED", {}, ["unknown", None, None, None]),
        ("SOMETHING_NEW", {}, ["unknown", None, None, None]),
        (99, {}, ["unknown", None, None, None]),
        (
            "DROPPED",
            {"drop_reason_desc": "POLICY_DENY"},
            ["denied", "reported", "POLICY_DENY", None],
        ),
        (2, {"drop_reason": 189}, ["denied", "reported", "AUTH_REQUIRED", None]),
        ("DROPPED", {"drop_reason_desc": "STALE_OR_UNROUTABLE_IP"}, ["unknown", None, None, None]),
        ("DROPPED", {}, ["unknown", None, None, None]),
        ("DROPPED", {"l7": http(), "Type": "L7"}, ["denied", "reported", "proxy", None]),
        (
            "DROPPED",
            {"l7": http(), "drop_reason_desc": "STALE_OR_UNROUTABLE_IP"},
            ["unknown", None, None, None],
        ),
        (
            "DROPPED",
            {"drop_reason_desc": 165},
            [
                "error",
                "reported",
                "NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION",
                None,
            ],
        ),
        ("ERROR", {}, ["error", "reported", "ERROR", None]),
    ],
)
def test_a_verdict_decides_only_where_a_policy_is_in_it(
    verdict: object, more: dict[str, object], wanted: list[str | None]
) -> None:
    assert decided(verdict=verdict, **more) == wanted


def test_named_policies_decide_and_are_told() -> None:
    row = event_of_flow(
        egress_allowed_by=[policy("out"), policy("out"), policy("all", None, "ClusterPolicy")],
        ingress_allowed_by=[policy("in", "other")],
    )
    assert picked(
        row, "decision", "decision_reason", "policy_name", "policy_namespace", "policy_kind"
    ) == [
        "allowed",
        "allowed_by",
        "out,all,in",
        "shop,other",
        "CiliumNetworkPolicy,ClusterPolicy,CiliumNetworkPolicy",
    ]
    assert detail(row)["ingress_allowed_by"] == [policy("in", "other")]


def test_policies_that_deny_are_told_of_a_drop_and_not_those_that_allow() -> None:
    by = {"ingress_denied_by": [policy("no")], "egress_allowed_by": [policy("yes")]}
    assert decided(verdict="DROPPED", **by) == ["denied", "reported", "denied_by", "no"]
    assert decided(verdict="FORWARDED", **by) == ["allowed", "reported", "allowed_by", "yes"]


def test_an_audited_packet_went_through_and_would_not_have() -> None:
    row = event_of_flow(verdict="AUDIT", ingress_denied_by=[policy("no")])
    names = ("decision", "dry_run_decision", "dry_run_policy", "policy_name")
    assert picked(row, *names) == ["unknown", "denied", "no", None]


def test_both_mappers_decide_alike_whatever_comes_together() -> None:
    verdicts = ("FORWARDED", "DROPPED", "ERROR", "AUDIT", "REDIRECTED", "TRACED", None)
    reasons = (None, "POLICY_DENIED", 165, "STALE_OR_UNROUTABLE_IP")
    kinds: tuple[dict[str, object], ...] = (
        {},
        {"event_type": {"type": 5}},
        {"event_type": {"type": 129}},
        {"Type": "L7"},
    )
    lists: tuple[dict[str, object], ...] = (
        {},
        {"egress_allowed_by": [policy("a")]},
        {"ingress_denied_by": [policy("d")]},
        {"ingress_allowed_by": [policy("a")], "egress_denied_by": [{}]},
    )
    rows = events(
        line("flow", flow(verdict=verdict, drop_reason_desc=reason, **kind, **by))
        for verdict, reason, kind, by in product(verdicts, reasons, kinds, lists)
    )
    assert {row["decision"] for row in rows} == {"allowed", "denied", "error", "unknown"}
