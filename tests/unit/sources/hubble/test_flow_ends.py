from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tests.hubble_lines import (
    NODE,
    TIME_NS,
    detail,
    end,
    event,
    event_of_flow,
    events,
    flow,
    line,
    picked,
    reply,
)

ENDS = {
    "side": "source",
    "src_namespace": "shop",
    "src_service_account": "web-account",
    "src_workload": "web",
    "src_version": "v2",
    "src_pod": "web-7d9f-x1",
    "src_node": NODE,
    "src_cluster": "east",
    "src_workload_trust": "reported",
    "src_ip": "10.0.1.5",
    "src_port": 40_000,
    "dst_namespace": "shop",
    "dst_service_account": "cart-account",
    "dst_workload": "cart",
    "dst_version": "v2",
    "dst_pod": "cart-7d9f-x1",
    "dst_cluster": "east",
    "dst_workload_trust": "reported",
    "dst_ip": "10.0.2.7",
    "dst_port": 8080,
    "network_transport": "tcp",
}


@pytest.mark.parametrize("packet", [flow(), reply()])
def test_packets_of_both_ways_are_of_one_connection(packet: dict[str, Any]) -> None:
    row = event(line("flow", packet))
    assert {name: row[name] for name in ENDS} == ENDS
    assert "dst_node" not in row
    assert (row["kind"], row["time"], row["decision"]) == ("flow", TIME_NS, "unknown")
    assert detail(row)["is_reply"] == packet["is_reply"]


def test_a_packet_of_which_no_way_is_known_keeps_its_own() -> None:
    row = event(line("flow", reply(is_reply=None)))
    assert picked(row, "src_pod", "dst_pod") == ["cart-7d9f-x1", "web-7d9f-x1"]
    assert "is_reply" not in detail(row)
    older = event(line("flow", reply(is_reply=None, reply=True)))
    assert picked(older, "src_pod", "dst_pod") == ["web-7d9f-x1", "cart-7d9f-x1"]


def test_an_end_without_a_pod_is_told_by_what_it_is() -> None:
    world = {"identity": 2, "labels": ["reserved:world"]}
    row = event_of_flow(destination=world, traffic_direction="NEW_WAY")
    assert not [name for name in row if name.startswith("dst_") and name not in ENDS]
    told = detail(row)
    assert (told["dst_identity"], told["dst_entity"]) == (2, "world")
    assert (told["direction"], row.get("side")) == ("NEW_WAY", None)


def test_a_node_is_where_its_endpoints_are_and_else_a_detail() -> None:
    both = event_of_flow(destination=end("cart"), node_name="west/worker-2")
    names = ("src_node", "dst_node", "src_cluster")
    assert picked(both, *names) == ["worker-2", "worker-2", "east"]
    bare = {"pod_name": "x"}
    of_node = event_of_flow(source=bare, destination=bare, node_name="west/worker-2")
    assert picked(of_node, *names) == ["worker-2", None, "west"]
    unplaced = event_of_flow(source=bare, destination=bare, traffic_direction=None)
    assert picked(unplaced, *names) == [None, None, None]
    assert detail(unplaced)["node"] == NODE


def test_an_echo_has_a_transport_though_its_type_is_zero() -> None:
    row = event_of_flow(l4={"ICMPv4": {}})
    assert picked(row, "network_transport", "src_port") == ["icmp", None]


def test_both_mappers_place_ends_alike_whatever_comes_together() -> None:
    told = product(
        (True, False, None),
        (True, None),
        ("INGRESS", "EGRESS", "NEW_WAY", None),
        (0, 12, None),
        (0, 12, None),
        ("worker-1", "west/worker-1", None),
    )
    rows = events(
        line(
            "flow",
            flow(
                is_reply=is_reply,
                reply=older,
                traffic_direction=direction,
                source=end("web", ID=one, cluster_name=None, labels=None),
                destination=end("cart", ID=other),
                node_name=node,
            ),
            node_name=None,
        )
        for is_reply, older, direction, one, other, node in told
    )
    assert {row["src_pod"] for row in rows} == {"web-7d9f-x1", "cart-7d9f-x1"}
    assert {row.get("src_cluster") for row in rows} == {"west", "east", None}
