"""Lines of a real ztunnel, all of them and four field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.model.entry import PayloadFormat
from tests.mesh_lines import told

if TYPE_CHECKING:
    from pathlib import Path

HOTELS = "spiffe://cluster.local/ns/travel-agency/sa/default"


@pytest.fixture(scope="module")
def rows(samples: Path) -> list[dict[str, Any]]:
    lines = (samples / "ztunnel" / "ztunnel.log").read_bytes().split(b"\n")
    return told(PayloadFormat.ZTUNNEL, *filter(None, lines))


def test_every_line_is_a_connection_without_a_problem(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == 28
    assert {row["kind"] for row in rows} == {"connection"}
    assert not [row for row in rows if "decode_error" in row]
    assert {row["decision"] for row in rows} == {"unknown"}
    assert {row["side"] for row in rows} == {"source", "destination"}
    for row in rows:
        assert row["end_time"] - row["time"] == row["duration"]
        assert row["src_workload_trust"] == row["dst_workload_trust"] == "reported"
        assert {"src_ip", "src_port", "dst_ip", "dst_port", "src_pod", "dst_pod"} <= row.keys()


def test_a_connection_at_its_caller_before_ztunnel_named_the_inner_address(
    rows: list[dict[str, Any]],
) -> None:
    assert rows[0] == {
        "kind": "connection",
        "time": 1_712_917_064_078_629_000,
        "end_time": 1_712_917_064_080_629_000,
        "duration": 2_000_000,
        "side": "source",
        "network_transport": "tcp",
        "src_spiffe_id": "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-productpage",
        "src_spiffe_id_trust": "reported",
        "src_trust_domain": "cluster.local",
        "src_namespace": "bookinfo",
        "src_service_account": "bookinfo-productpage",
        "src_ip": "10.244.0.16",
        "src_port": 52008,
        "src_pod": "productpage-v1-87d54dd59-fzflt",
        "src_workload_trust": "reported",
        "dst_spiffe_id": "spiffe://cluster.local/ns/bookinfo/sa/bookinfo-reviews",
        "dst_spiffe_id_trust": "reported",
        "dst_trust_domain": "cluster.local",
        "dst_namespace": "bookinfo",
        "dst_service_account": "bookinfo-reviews",
        "dst_ip": "10.244.0.14",
        "dst_port": 15008,
        "dst_service": "reviews.bookinfo.svc.cluster.local",
        "dst_pod": "reviews-v2-6f9b55c5db-vnpzr",
        "dst_workload_trust": "reported",
        "bytes_received": 200,
        "bytes_sent": 603,
        "decision": "unknown",
    }


def test_the_two_reports_of_one_connection_agree(rows: list[dict[str, Any]]) -> None:
    there, here = rows[14], rows[11]
    assert (there["side"], here["side"]) == ("source", "destination")
    for name in (
        *("src_spiffe_id", "dst_spiffe_id", "src_pod", "dst_pod", "dst_service", "src_ip"),
        *("dst_ip", "dst_port", "bytes_received", "bytes_sent"),
    ):
        assert there[name] == here[name]
    assert (here["src_spiffe_id"], here["dst_port"]) == (HOTELS, 3306)
    assert (here["bytes_received"], here["bytes_sent"]) == (205, 271)


def test_a_tunnel_to_a_waypoint_leads_to_the_service(rows: list[dict[str, Any]]) -> None:
    row = rows[18]
    assert (row["dst_ip"], row["dst_port"]) == ("10.105.231.35", 9080)
    assert row["dst_pod"] == "waypoint-5cb6c6977c-ln2h5"
    assert row["dst_spiffe_id"] == "spiffe://cluster.local/ns/bookinfo/sa/waypoint"
    assert row["dst_service"] == "details.bookinfo.svc.cluster.local"


def test_a_connection_without_mutual_tls_has_no_identities(rows: list[dict[str, Any]]) -> None:
    (row,) = [row for row in rows if "src_spiffe_id" not in row]
    assert row == {
        "kind": "connection",
        "time": 1_719_927_664_500_606_000,
        "end_time": 1_719_927_664_502_606_000,
        "duration": 2_000_000,
        "side": "destination",
        "network_transport": "tcp",
        "src_namespace": "istio-system",
        "src_ip": "10.244.0.7",
        "src_port": 37222,
        "src_pod": "prometheus-66f897d897-8prjb",
        "src_workload_trust": "reported",
        "dst_namespace": "bookinfo",
        "dst_ip": "10.244.0.101",
        "dst_port": 9080,
        "dst_service": "productpage.bookinfo.svc.cluster.local",
        "dst_pod": "productpage-v1-87d54dd59-c7jts",
        "dst_workload_trust": "reported",
        "bytes_received": 293,
        "bytes_sent": 2913,
        "decision": "unknown",
    }
