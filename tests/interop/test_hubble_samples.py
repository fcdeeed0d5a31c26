"""Flows that real Cilium clusters wrote: every line is an event, and each says what it said."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.hubble_lines import detail, events

if TYPE_CHECKING:
    from pathlib import Path

HTTP = "basic-sample-348-http-flows.json"
REDIRECTED = "basic-sample-400-l7-redirected-flows.json"
DNS = "basic-sample-5-dns-flows.json"
PACKETS = "basic-sample-10-flows.json"
DENIED = "exporter_policy_denied.jsonl"
COUNTS = {HTTP: 348, REDIRECTED: 400, DNS: 5, PACKETS: 10, DENIED: 2}
KINDS = {name: "request" if name == HTTP else "flow" for name in COUNTS}
GKE = "gke-ilya-otel-demo-2-ilya-otel-demo-2-dac8cc20-hr0z"
ABOUT = {
    *("log", "log_index", "received_time", "source", "stream", "seq", "payload_format"),
    *("mapper_version", "is_duplicate", "time_quality"),
}
"""What every event has."""


def told(samples: Path, name: str) -> list[dict[str, Any]]:
    return events(filter(None, (samples / "hubble" / name).read_bytes().split(b"\n")))


def facts(row: dict[str, Any]) -> dict[str, Any]:
    """What a line says itself."""
    said = {key: value for key, value in row.items() if key not in ABOUT}
    return said | {"detail": detail(row)}


@pytest.mark.parametrize("name", COUNTS)
def test_every_line_of_a_sample_is_an_event_without_a_problem(samples: Path, name: str) -> None:
    rows = told(samples, name)
    assert len(rows) == COUNTS[name]
    assert {row["kind"] for row in rows} == {KINDS[name]}
    assert not [row["decode_error"] for row in rows if "decode_error" in row]


def test_no_sample_has_been_left_out(samples: Path) -> None:
    assert {path.name for path in (samples / "hubble").iterdir()} == COUNTS.keys()


def test_a_request_and_its_answer_have_the_same_ends(samples: Path) -> None:
    rows = told(samples, HTTP)
    asked = rows[0]
    (answered,) = (row for row in rows[1:] if row["request_id"] == asked["request_id"])
    ends = {
        "side": "source",
        "src_namespace": "istio-system",
        "src_service_account": "prometheus",
        "src_ip": "10.156.2.7",
        "src_port": 48_532,
        "src_pod": "prometheus-6655946b9f-6xcpf",
        "src_node": GKE,
        "src_cluster": "default",
        "src_workload_trust": "reported",
        "dst_ip": "10.128.0.4",
        "dst_port": 9_990,
        "network_transport": "tcp",
    }
    request = {
        "kind": "request",
        "http_request_method": "GET",
        "url_scheme": "http",
        "url_path": "/metrics",
        "server_address": "10.128.0.4:9990",
        "user_agent_original": "Prometheus/2.15.1",
        "network_protocol_version": "1.1",
        "request_id": bytes.fromhex("49116c2c3017423797e71ff4e16bfe28"),
        "request_id_trust": "asserted",
        "decision": "unknown",
    }
    more = {
        "verdict": "FORWARDED",
        "type": "L7",
        "event_type": 129,
        "src_identity": 16_781,
        "dst_identity": 2,
        "dst_entity": "world",
    }
    assert facts(asked) == {
        **ends,
        **request,
        "envoy_access_log_type": "REQUEST",
        "time": 1_633_357_718_735_173_594,
        "detail": {**more, "is_reply": False},
    }
    assert facts(answered) == {
        **ends,
        **request,
        "envoy_access_log_type": "RESPONSE",
        "http_response_status_code": 503,
        "time": 1_633_357_718_735_023_185,
        "end_time": 1_633_357_722_855_873_432,
        "duration": 4_120_850_247,
        "detail": {**more, "is_reply": True},
    }


def test_a_policys_verdict_that_redirects_to_the_proxy_decides_nothing(samples: Path) -> None:
    rows = told(samples, REDIRECTED)
    assert facts(rows[0]) == {
        "kind": "flow",
        "time": 1_636_540_856_871_850_100,
        "side": "source",
        "src_namespace": "bookinfo",
        "src_service_account": "bookinfo-ratings",
        "src_ip": "10.244.0.206",
        "src_port": 54_314,
        "src_version": "v1",
        "src_pod": "ratings-v1-b6994bb9-jgqxb",
        "src_node": "kind-control-plane",
        "src_cluster": "kind-kind",
        "src_workload_trust": "reported",
        "dst_namespace": "kube-system",
        "dst_service_account": "coredns",
        "dst_ip": "10.244.1.227",
        "dst_port": 53,
        "dst_pod": "coredns-558bd4d5db-w2m67",
        "dst_cluster": "kind-kind",
        "dst_workload_trust": "reported",
        "network_transport": "udp",
        "decision": "unknown",
        "detail": {
            "verdict": "REDIRECTED",
            "type": "L3_L4",
            "event_type": 5,
            "policy_match_type": 2,
            "is_reply": False,
            "src_identity": 16_370,
            "dst_identity": 48_342,
        },
    }
    assert Counter(row["network_transport"] for row in rows) == {"tcp": 222, "udp": 178}
    # Where both are on the node that saw it, both are known to be there.
    assert sum("dst_node" in row for row in rows) == 105


def test_a_question_to_dns_and_its_answer_are_of_who_asked(samples: Path) -> None:
    asked, answered = told(samples, DNS)[:2]
    name = "istiod-istio-1611.istio-system.svc.istio-system.svc.cluster.local"
    wanted = {
        "kind": "flow",
        "dns_question_name": name,
        "src_pod": "node-local-dns-88zrp",
        "src_ip": "10.156.2.2",
        "src_port": 59_102,
        "src_service_account": "node-local-dns",
        "dst_pod": "kube-dns-b4f5c58c7-vnx5s",
        "dst_ip": "10.156.2.3",
        "dst_port": 53,
        "src_node": GKE,
        "dst_node": GKE,
        "side": "source",
    }
    for row in (asked, answered):
        assert {key: row[key] for key in wanted} == wanted
    moments = [row["envoy_access_log_type"] for row in (asked, answered)]
    assert moments == ["REQUEST", "RESPONSE"]
    assert detail(answered)["dns"] == {
        "query": f"{name}.",
        "ttl": 4_294_967_295,
        "observation_source": "proxy",
        "rcode": 3,
        "qtypes": ["A"],
    }


def test_a_packet_back_is_of_the_connection_that_it_belongs_to(samples: Path) -> None:
    row = told(samples, PACKETS)[0]
    assert facts(row) == {
        "kind": "flow",
        "time": 1_623_862_333_136_834_446,
        "side": "destination",
        "src_ip": "10.0.2.1",
        "src_port": 42_044,
        "dst_namespace": "bookinfo",
        "dst_service_account": "bookinfo-reviews",
        "dst_ip": "10.0.2.16",
        "dst_port": 15_020,
        "dst_version": "v1",
        "dst_pod": "reviews-v1-545db77b95-s6jb8",
        "dst_node": "gke-ilya-otel-demo-1-ilya-otel-demo-1-6114bb84-zr1l",
        "dst_cluster": "default",
        "dst_workload_trust": "reported",
        "network_transport": "tcp",
        "decision": "unknown",
        "detail": {
            "verdict": "FORWARDED",
            "type": "L3_L4",
            "event_type": 4,
            "event_sub_type": 3,
            "observation_point": "TO_STACK",
            "is_reply": True,
            "src_identity": 1,
            "src_entity": "host",
            "dst_identity": 25_339,
        },
    }


def test_only_a_policys_drop_is_a_denial(samples: Path) -> None:
    broken, denied = told(samples, DENIED)
    assert (broken["decision"], "decision_reason" in broken) == ("unknown", False)
    assert (broken["src_ip"], broken["dst_ip"]) == ("fe80::64d8:8aff:fe72:fc14", "ff02::2")
    assert broken["network_transport"] == "icmpv6"
    assert detail(broken) == {
        "verdict": "DROPPED",
        "drop_reason": "INVALID_SOURCE_IP",
        "node": "kind-kind/kind-worker",
        "icmpv6": {"type": 133},
    }
    assert facts(denied) == {
        "kind": "flow",
        "time": 1_692_619_938_510_175_415,
        "src_namespace": "default",
        "src_pod": "xwing",
        "src_ip": "10.244.1.60",
        "src_port": 44_916,
        "src_workload_trust": "reported",
        "dst_namespace": "default",
        "dst_pod": "deathstar-7848d6c4d5-th9v2",
        "dst_ip": "10.244.1.5",
        "dst_port": 80,
        "dst_workload_trust": "reported",
        "network_transport": "tcp",
        "decision": "denied",
        "decision_trust": "reported",
        "decision_reason": "POLICY_DENIED",
        "detail": {
            "verdict": "DROPPED",
            "drop_reason": "POLICY_DENIED",
            "node": "kind-kind/kind-worker",
        },
    }
