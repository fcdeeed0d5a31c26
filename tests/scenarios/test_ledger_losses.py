"""What goes wrong in a simulated mesh whose clocks are wrong: how many are missing, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.ledger_runs import MINUTE, Told, run_ledger
from tests.rig.reporting_mesh import ReportingMesh, own_row
from tests.rig.simulated_mesh import EPOCH, MS, SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.simulated_mesh import Pod, Row

OFFSETS = [5 * MS, -100 * MS, 9 * SECOND, -3 * MINUTE, 10 * MINUTE, -10 * MINUTE]
BUSY_S, ALL_S = 240, 540
CALLS_PER_S = 6


def disturbed(seed: int, fault: Callable[[ReportingMesh], None]) -> tuple[ReportingMesh, Told]:
    """Some minutes with something wrong, and what is told of them."""
    mesh = ReportingMesh(seed=seed, offsets_ns=OFFSETS)
    mesh.traffic(seconds=BUSY_S, calls_per_s=CALLS_PER_S)
    fault(mesh)
    return mesh, run_ledger(mesh.report(seconds=ALL_S), until_s=ALL_S, seed=seed)


def is_request(row: Row) -> bool:
    return bool(row["kind"] == "request")


def is_within(row: Row, pod: Pod, from_s: float, until_s: float, *, by: str = "end") -> bool:
    start, end = (EPOCH + round(second * SECOND) for second in (from_s, until_s))
    return row["pod"] is pod and start <= row[by] < end


def check_bounds(told: Told, node: str, missing: int, *causes: str) -> None:
    """The sum of what was told of one reporter, and nothing of others."""
    least, most = told.missing(node)
    assert least <= missing, (least, missing)
    assert most is None or missing <= most, (missing, most)
    assert {gap["cause"] for gap in told.gaps} == set(causes)
    assert {gap["about"] for gap in told.gaps} == {node}


def check_findings(told: Told, *nodes: str) -> None:
    """Nobody else is blamed; what came late is about nobody."""
    assert {found["about"] for found in told.findings} <= {*nodes, None}


def test_records_that_found_no_room_are_told_to_the_last_as_the_proxy_counts_them() -> None:
    def fault(mesh: ReportingMesh) -> None:
        pod = mesh.pods["stock-1"]
        mesh.faults.drops = lambda row: (
            is_request(row) and is_within(row, pod, 60, 90) and row["start"] % 3 == 0
        )

    mesh, told = disturbed(1, fault)
    node = mesh.of("stock-1").pod.node
    missing = sum(map(mesh.faults.drops, mesh.rows))
    assert missing > 5
    check_bounds(told, node, missing, "dropped")
    assert told.missing(node) == (missing, missing)
    check_findings(told, node)


def lose_batch(mesh: ReportingMesh) -> None:
    pod = mesh.pods["cart-1"]
    mesh.faults.loses = lambda row: is_within(row, pod, 90, 100, by="received_time")


def lost(mesh: ReportingMesh, node: str) -> int:
    """Records of requests and of connections that a count takes in, and that are not there."""
    return sum(
        row["reporter_id"] == node
        and mesh.faults.loses(row)
        and (is_request(row) or row["envoy_access_log_type"] is None)
        for row in mesh.rows
    )


def test_a_batch_that_is_lost_is_counted_and_nothing_explains_it() -> None:
    mesh, told = disturbed(2, lose_batch)
    node = mesh.of("cart-1").pod.node
    assert lost(mesh, node) > 5
    check_bounds(told, node, lost(mesh, node), "unknown")
    check_findings(told, node)


def test_a_connection_that_broke_explains_a_batch_that_is_lost() -> None:
    def fault(mesh: ReportingMesh) -> None:
        lose_batch(mesh)
        pod = mesh.pods["cart-1"]
        reporter = {"reporter_id": pod.node, "reporter_spiffe_id": pod.spiffe_id}
        closed = own_row("stream_closed", EPOCH + 100 * SECOND, **reporter)
        mesh.own_rows.append(closed | {"detail": '{"reason":"error"}'})

    mesh, told = disturbed(2, fault)
    node = mesh.of("cart-1").pod.node
    check_bounds(told, node, lost(mesh, node), "connection_reset")


def test_an_access_log_that_is_turned_off_is_told_as_not_written() -> None:
    def fault(mesh: ReportingMesh) -> None:
        pod = mesh.pods["stock-0"]
        mesh.faults.omits = lambda row: is_request(row) and is_within(row, pod, 120, ALL_S)

    mesh, told = disturbed(3, fault)
    node = mesh.of("stock-0").pod.node
    ends = [row for row in mesh.rows if row["envoy_access_log_type"] == "DownstreamEnd"]
    missing = sum(map(mesh.faults.omits, ends))
    assert missing > 100
    check_bounds(told, node, missing, "not_written")
    assert told.missing(node)[0] > 0.95 * missing
    check_findings(told, node)


def test_counters_that_no_longer_come_are_a_finding_and_no_gap() -> None:
    def fault(mesh: ReportingMesh) -> None:
        pod = mesh.pods["web-1"]
        mesh.faults.loses = lambda row: row["kind"] == "counter" and is_within(row, pod, 100, ALL_S)

    mesh, told = disturbed(4, fault)
    (found,) = told.findings
    assert (found["about"], found["cause"]) == (mesh.of("web-1").pod.node, "silent")
    assert told.gaps == []


def test_a_restart_loses_what_nobody_knows_and_all_after_it_is_known() -> None:
    at_ns = EPOCH + 130 * SECOND

    def fault(mesh: ReportingMesh) -> None:
        reporting = mesh.of("pay-0")
        reporting.starts_ns.append(at_ns)

        def is_mine(row: Row) -> bool:
            return row["pod"] is reporting.pod

        mesh.faults.forgets = lambda row: is_mine(row) and row["start"] < at_ns <= row["end"]
        mesh.faults.loses = lambda row: is_mine(row) and row["end"] < at_ns <= row["received_time"]

    mesh, told = disturbed(5, fault)
    node = mesh.of("pay-0").pod.node
    check_bounds(told, node, lost(mesh, node), "restart")
    (gap,) = told.gaps
    reporting = mesh.of("pay-0")
    assert gap["from_ns"] <= reporting.read(at_ns) <= gap["until_ns"] + SECOND
    check_findings(told, node)


def test_what_was_lost_while_the_collector_was_down_is_told_of_each_reporter() -> None:
    def fault(mesh: ReportingMesh) -> None:
        batched = mesh.of("cart-0")
        batched.is_otlp, batched.flush_ns = True, 5 * SECOND
        down, up = EPOCH + 170 * SECOND, EPOCH + 210 * SECOND
        mesh.own_rows.append(own_row("stream_opened", up, about="collect"))
        mesh.faults.loses = lambda row: down <= row["received_time"] < up
        mesh.faults.reconnects_ns = [up]

    mesh, told = disturbed(6, fault)
    for node in mesh.reporting:
        gaps = [gap for gap in told.gaps if gap["about"] == node]
        least, most = told.missing(node)
        assert most is not None
        assert least <= lost(mesh, node) <= most, (node, least, lost(mesh, node), most)
        assert {gap["cause"] for gap in gaps} <= {"collector_down"}
        assert gaps or not lost(mesh, node)
    assert {found["cause"] for found in told.findings} <= {"unpaired"}
    assert {found["reason"] for found in told.findings} == {"collector_gap"}
