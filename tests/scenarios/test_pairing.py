"""An hour of a simulated mesh: nothing false while all is well, and each loss with its reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.pairing import Gap
from tests.rig.pairing_runs import Found, run_pairing
from tests.rig.simulated_mesh import EPOCH, MS, NO_CALL, SECOND, SimulatedMesh, make_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.simulated_mesh import Row

MINUTE = 60 * SECOND
FLUSHED = 2 * SECOND
"""Records of what ended so long before a fault are out."""


def is_true_pair(source: Row, destination: Row) -> bool:
    calls = {destination["call"], destination["gateway_call"]} - {NO_CALL}
    return source["call"] in calls


def check_pairs(found: Found, rows: list[Row]) -> None:
    """Every pair is one call's, but for some whose request id somebody repeats or copies."""
    by_index = {row["log_index"]: row for row in rows}
    for source, destination in found.pairs:
        ends = by_index[source], by_index[destination]
        assert is_true_pair(*ends), ends


def unexplained(found: Found) -> dict[int, str]:
    """Reasons but for calls to somebody who is not in the mesh."""
    return {at: reason for at, reason in found.reasons.items() if reason != "not_meshed"}


@pytest.mark.slow  # an hour has 3,600 windows, at 2 to 4 ms each
@pytest.mark.parametrize(("offset", "tolerance"), [(5 * MS, 20 * MS), (9 * SECOND, 20 * SECOND)])
def test_an_hour_of_clean_traffic_leaves_nobody_unpaired(offset: int, tolerance: int) -> None:
    mesh = SimulatedMesh(seed=11, offset_ns_max=offset)
    mesh.traffic(seconds=3_600, calls_per_s=6)
    client, server = mesh.pods["web-0"], mesh.pods["pay-1"]
    mesh.stream(client, server, 5 * MINUTE, took_ns=20 * MINUTE, lag_ns=25 * MINUTE)
    found = run_pairing(make_table(mesh.rows), tolerance_ns=tolerance)
    assert not unexplained(found)
    assert not found.retracted
    to_legacy = {row["log_index"] for row in mesh.rows if row["dst_ip"] == mesh.legacy.ip}
    assert found.reasons.keys() == to_legacy
    calls = {row["call"] for row in mesh.rows} - {NO_CALL}
    assert len(found.pairs) == len(calls)
    attempts = [row for row in mesh.rows if (row["envoy_attempt_count"] or 1) > 1]
    assert len(found.attempts) == sum(row["envoy_attempt_count"] - 1 for row in attempts)
    found.check_counts()
    if tolerance < SECOND:
        check_pairs(found, mesh.rows)


def disturbed(
    seed: int, fault: Callable[[SimulatedMesh], None], *, minutes: int = 8
) -> SimulatedMesh:
    """Some minutes with something wrong."""
    mesh = SimulatedMesh(seed=seed)
    fault(mesh)
    mesh.traffic(seconds=60 * minutes, calls_per_s=10)
    return mesh


def about(mesh: SimulatedMesh, found: Found, ip: str, *, since: int = 0) -> Counter[str]:
    """Why others' records are without their partner at an address."""
    rows = {row["log_index"]: row for row in mesh.rows}
    reasons: Counter[str] = Counter()
    for (at, _), told in found.unpaired.items():
        if told["other_ip"] == ip and rows[at]["end_time"] >= EPOCH + since:
            reasons[told["reason"]] += 1
    return reasons


def test_a_silenced_sidecar_is_told_as_silent_and_nobody_else() -> None:
    def fault(mesh: SimulatedMesh) -> None:
        mesh.pods["pay-0"].reports = lambda row: bool(row["received_time"] < EPOCH + 3 * MINUTE)

    mesh = disturbed(1, fault)
    found = run_pairing(make_table(mesh.rows))
    ip = mesh.pods["pay-0"].ip
    reasons = about(mesh, found, ip, since=3 * MINUTE + FLUSHED)
    assert reasons["silent_reporter"] > 100
    assert set(reasons) == {"silent_reporter"}
    assert {row["other_ip"] for row in found.unpaired.values()} == {ip, mesh.legacy.ip}
    found.check_counts()


def test_a_sidecar_that_reports_a_sample_is_told_as_sampled() -> None:
    def fault(mesh: SimulatedMesh) -> None:
        mesh.pods["pay-0"].reports = lambda _: mesh.random.random() < 0.5

    mesh = disturbed(2, fault)
    found = run_pairing(make_table(mesh.rows))
    reasons = about(mesh, found, mesh.pods["pay-0"].ip)
    assert reasons["filtered_or_sampled"] > 0.9 * reasons.total() > 100
    assert set(reasons) <= {"filtered_or_sampled", "unknown", "silent_reporter"}


def test_a_sidecar_that_filters_what_comes_in_is_told_as_filtering() -> None:
    def fault(mesh: SimulatedMesh) -> None:
        mesh.pods["pay-0"].reports = lambda row: bool(row["side"] == "source")

    mesh = disturbed(3, fault)
    found = run_pairing(make_table(mesh.rows))
    reasons = about(mesh, found, mesh.pods["pay-0"].ip)
    assert reasons["filtered_or_sampled"] > 0.9 * reasons.total() > 100


def lose_a_batch(mesh: SimulatedMesh) -> None:
    start = EPOCH + 90 * SECOND
    mesh.pods["cart-1"].reports = lambda row: not start <= row["received_time"] < start + 2 * SECOND


def test_a_lost_batch_is_unknown_until_a_gap_is_known() -> None:
    mesh = disturbed(4, lose_a_batch, minutes=3)
    table, ip = make_table(mesh.rows), mesh.pods["cart-1"].ip
    lost = about(mesh, run_pairing(table), ip)
    assert lost.total() >= 3
    assert set(lost) == {"unknown"}
    start = EPOCH + 90 * SECOND
    gap = Gap(mesh.pods["cart-1"].node, start, start + 2 * SECOND, start + 10 * SECOND)
    explained = about(mesh, run_pairing(table, gaps=[gap]), ip)
    assert explained == {"collector_gap": lost.total()}
    other = Gap(mesh.pods["cart-0"].node, start, start + 2 * SECOND, start + 10 * SECOND)
    assert about(mesh, run_pairing(table, gaps=[other]), ip) == lost
    everybody = Gap(None, start, start + 2 * SECOND, start + 10 * SECOND)
    assert about(mesh, run_pairing(table, gaps=[everybody]), ip) == explained
    too_late = Gap(None, start, start + 2 * SECOND, start + 60 * MINUTE)
    assert about(mesh, run_pairing(table, gaps=[too_late]), ip) == lost


def test_a_proxy_that_was_cut_off_for_a_while_is_no_filter() -> None:
    def fault(mesh: SimulatedMesh) -> None:
        start, end = EPOCH + 60 * SECOND, EPOCH + 100 * SECOND
        mesh.pods["pay-0"].reports = lambda row: not start <= row["received_time"] < end

    mesh = disturbed(7, fault, minutes=4)
    reasons = about(mesh, run_pairing(make_table(mesh.rows)), mesh.pods["pay-0"].ip)
    assert reasons["unknown"] + reasons["silent_reporter"] > 0.9 * reasons.total() > 30


def test_records_that_come_after_grace_take_back_what_was_told() -> None:
    mesh = SimulatedMesh(seed=5)
    mesh.traffic(seconds=240, calls_per_s=10)
    late = mesh.pods["stock-0"]
    for row in mesh.rows:
        if row["reporter_id"] == late.node and row["received_time"] > EPOCH + MINUTE:
            row["received_time"] = max(row["received_time"], EPOCH + 3 * MINUTE)
    found = run_pairing(make_table(mesh.rows))
    assert len(found.retracted) > 50
    assert {found.unpaired[part]["other_ip"] for part in found.retracted} == {late.ip}
    assert not unexplained(found)
    found.check_counts()


def test_a_thief_with_a_copied_request_id_and_address_of_its_own_is_left_over() -> None:
    mesh = SimulatedMesh(seed=6)
    mesh.traffic(seconds=30, calls_per_s=10)
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.retried(web, [mesh.pods["pay-1"], pay], 10 * SECOND)
    victim = mesh.rows[-1]
    known: dict[str, Any] = {"request_id": victim["request_id"], "src_ip": "10.6.6.6"}
    connection = mesh.connection(web, pay, EPOCH, EPOCH)
    mesh.destination_row(connection, victim["time"] + 3 * MS, victim["end_time"], **known)
    theft = mesh.rows[-1]
    found = run_pairing(make_table(mesh.rows))
    assert unexplained(found) == {theft["log_index"]: "unknown"}
