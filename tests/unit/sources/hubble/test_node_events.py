from __future__ import annotations

from typing import Any

import pytest

from tests.hubble_lines import NODE, TIME_NS, detail, event, events, flow, line

COMMON = {
    *("log", "log_index", "received_time", "source", "stream", "seq", "payload_format"),
    *("mapper_version", "is_duplicate", "time_quality", "detail"),
}
POLICY = [
    "k8s:io.cilium.k8s.policy.derived-from=CiliumNetworkPolicy",
    "k8s:io.cilium.k8s.policy.name=deny-all",
    "k8s:io.cilium.k8s.policy.namespace=shop",
    "k8s:io.cilium.k8s.policy.uid=5f0c",
]


def told(member: str, said: object, **around: object) -> dict[str, Any]:
    row = event(line(member, said, **around))
    return {name: value for name, value in row.items() if name not in COMMON}


def test_lost_events_are_a_gap_of_their_node() -> None:
    said = {
        "source": "HUBBLE_RING_BUFFER",
        "num_events_lost": "12",
        "cpu": 3,
        "first": "2026-02-03T04:05:00Z",
        "last": "2026-02-03T04:05:05Z",
    }
    assert told("lost_events", said) == {
        "kind": "gap",
        "about": NODE,
        "cause": "hubble_ring_buffer",
        "missing_min": 12,
        "missing_max": 12,
        "time": 1_770_091_500_000_000_000,
        "end_time": 1_770_091_505_000_000_000,
    }
    assert detail(event(line("lost_events", said))) == {"node": NODE, "lost_events": said}


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("PERF_EVENT_RING_BUFFER", "perf_event_ring_buffer"),
        (2, "observer_events_queue"),
        (0, "unknown"),
        ("UNKNOWN_LOST_EVENT_SOURCE", "unknown"),
        ("A_NEW_BUFFER", "unknown"),
        (None, "unknown"),
    ],
)
def test_the_cause_of_a_gap_is_one_of_a_closed_list(source: object, cause: str) -> None:
    said = {"source": source, "num_events_lost": 7}
    assert told("lost_events", said)["cause"] == cause


@pytest.mark.parametrize("number", [None, "many", -1, 2**63, "9" * 30, 1.5])
def test_a_loss_of_an_unknown_number_has_no_bound(number: object) -> None:
    row = told("lost_events", {"num_events_lost": number}, node_name=None)
    assert (row["missing_min"], row.get("missing_max")) == (0, None)
    assert row["about"] == "a node without a name"
    assert row.get("decode_error") == (number and "num_events_lost is no number")


def test_a_loss_without_moments_is_of_when_it_was_told() -> None:
    row = told("lostEvents", {"numEventsLost": 1}, node_name=None, nodeName=NODE)
    assert (row["time"], row["end_time"], row["about"]) == (TIME_NS, TIME_NS, NODE)


def test_a_policy_that_an_agent_took_up_is_a_change_of_configuration() -> None:
    said = {
        "type": "POLICY_UPDATED",
        "policy_update": {"labels": POLICY, "revision": "12", "rule_count": "1"},
    }
    assert told("agent_event", said) == {
        "kind": "config_change",
        "time": TIME_NS,
        "object_kind": "ciliumnetworkpolicies",
        "object_group": "cilium.io",
        "object_namespace": "shop",
        "object_name": "deny-all",
        "object_uid": "5f0c",
        "object_version": "12",
        "operation": "update",
    }


def test_a_policy_of_a_kind_that_is_not_known_keeps_its_name() -> None:
    labels = ["k8s:io.cilium.k8s.policy.derived-from=AdminNetworkPolicy", 5, *POLICY]
    row = told("agent_event", {"type": 4, "policyUpdate": {"labels": labels}})
    assert row["object_kind"] == "adminnetworkpolicy,ciliumnetworkpolicies"
    assert row["operation"] == "delete"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            {
                "type": "ENDPOINT_CREATED",
                "endpoint_update": {"pod_name": "web-1", "namespace": "shop"},
            },
            {
                "operation": "create",
                "object_kind": "ciliumendpoints",
                "object_group": "cilium.io",
                "object_name": "web-1",
                "object_namespace": "shop",
            },
        ),
        (
            {"type": "SERVICE_UPSERTED", "service_upsert": {"name": "web", "namespace": "shop"}},
            {
                "operation": "update",
                "object_kind": "services",
                "object_name": "web",
                "object_namespace": "shop",
            },
        ),
        ({"type": 10, "ipcache_update": {"cidr": "10.0.0.0/8"}}, {"operation": "delete"}),
        ({"type": "AGENT_STARTED", "agent_start": {}}, {}),
        ({"type": "SOMETHING_NEW"}, {}),
        ({}, {}),
    ],
)
def test_what_else_an_agent_does_is_of_the_infrastructure(
    said: dict[str, Any], wanted: dict[str, str]
) -> None:
    assert told("agent_event", said) == {"kind": "infrastructure", "time": TIME_NS, **wanted}


def test_states_of_nodes_and_debugging_are_kept_as_they_are() -> None:
    state = {"state_change": "NODE_GONE", "node_names": ["a", "b"]}
    row = event(line("node_status", state))
    assert (row["kind"], detail(row)["node_status"]) == ("infrastructure", state)
    debug = {"type": "DBG_CT_LOOKUP", "message": "x"}
    row = event(line("debug_event", debug, time="never"))
    assert (row["kind"], detail(row)["debug_event"]) == ("log_record", debug)
    assert row["decode_error"] == "time of the line is no time"


def test_events_of_all_kinds_stand_beside_each_other() -> None:
    rows = events(
        [
            line("lost_events", {"num_events_lost": "x", "first": "x"}, time="x"),
            line("flow", flow(time="x")),
            line("agent_event", 5),
            line("node_status", {}),
        ]
    )
    assert [row["kind"] for row in rows] == ["gap", "flow", "undecoded", "infrastructure"]
    assert ["decode_error" in row for row in rows] == [True, True, True, False]
    assert "decision" not in rows[0]
