"""Lines of Hubble for tests, and the events that both mappers make of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive_both, entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Members = dict[str, Any]

TIME = "2026-02-03T04:05:06.000000007Z"
TIME_NS = 1_770_091_506_000_000_007
NODE = "worker-1"


def line(member: str, said: object, **around: object) -> bytes:
    """A line of the exporter."""
    whole = {member: said, "node_name": NODE, "time": TIME} | around
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


def end(pod: str, **changed: object) -> Members:
    """An endpoint on the node that reports."""
    labels = [
        f"k8s:io.cilium.k8s.policy.serviceaccount={pod}-account",
        "k8s:io.cilium.k8s.policy.cluster=east",
        "k8s:io.kubernetes.pod.namespace=shop",
        "k8s:version=v2",
    ]
    said: Members = {
        "ID": 12,
        "identity": 4_711,
        "cluster_name": "east",
        "namespace": "shop",
        "labels": labels,
        "pod_name": f"{pod}-7d9f-x1",
        "workloads": [{"name": pod, "kind": "Deployment"}],
    }
    return _without_nothing(said | changed)


def flow(**changed: object) -> Members:
    """A packet from a shop's web server to its cart, which a node has let through."""
    said: Members = {
        "time": TIME,
        "verdict": "FORWARDED",
        "IP": {"source": "10.0.1.5", "destination": "10.0.2.7", "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 40_000, "destination_port": 8080, "flags": {"SYN": True}}},
        "source": end("web"),
        "destination": end("cart", ID=None),
        "Type": "L3_L4",
        "node_name": NODE,
        "event_type": {"type": 4, "sub_type": 3},
        "traffic_direction": "EGRESS",
        "trace_observation_point": "TO_STACK",
        "is_reply": False,
        "Summary": "TCP Flags: SYN",
    }
    return _without_nothing(said | changed)


def reply(**changed: object) -> Members:
    """A packet back, of the same connection."""
    said = flow(
        IP={"source": "10.0.2.7", "destination": "10.0.1.5"},
        l4={"TCP": {"source_port": 8080, "destination_port": 40_000}},
        source=end("cart", ID=None),
        destination=end("web"),
        is_reply=True,
    )
    return _without_nothing(said | changed)


def http(kind: str = "REQUEST", **changed: object) -> Members:
    """What a flow says of a request over HTTP."""
    said: Members = {
        "method": "GET",
        "url": "http://cart:8080/items?user=7",
        "protocol": "HTTP/1.1",
        "headers": [
            {"key": "X-Request-Id", "value": "49116c2c-3017-4237-97e7-1ff4e16bfe28"},
            {"key": "User-Agent", "value": "curl/8"},
        ],
    }
    return {"type": kind, "http": _without_nothing(said | changed)}


def policy(name: str, namespace: str | None = "shop", kind: str = "CiliumNetworkPolicy") -> Members:
    return _without_nothing(
        {
            "name": name,
            "namespace": namespace,
            "labels": [f"k8s:io.cilium.k8s.policy.name={name}"],
            "revision": "7",
            "kind": kind,
        }
    )


def events(lines: Iterable[bytes]) -> list[Members]:
    """The events of lines, nulls left out, on which both mappers agree."""
    entries = [entry(one, PayloadFormat.HUBBLE, seq=seq) for seq, one in enumerate(lines)]
    return [_without_nothing(row) for row in derive_both(*entries)]


def event(one: bytes) -> Members:
    """The event of one line."""
    return events([one])[0]


def event_of_flow(**changed: object) -> Members:
    """The event of ``flow``, changed."""
    return event(line("flow", flow(**changed)))


def detail(row: Members) -> Members:
    """What stands in the column of that name."""
    told = json.loads(row["detail"])
    assert isinstance(told, dict)
    return told


def picked(row: Mapping[str, Any], *names: str) -> list[Any]:
    """Some columns of an event; None where it says nothing."""
    return [row.get(name) for name in names]


def _without_nothing(said: Members) -> Members:
    return {key: value for key, value in said.items() if value is not None}
