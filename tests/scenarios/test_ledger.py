"""An hour of a simulated mesh through the ledger: clocks as they are, and nothing missing."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.rig.ledger_runs import MINUTE, Told, run_again, run_ledger
from tests.rig.reporting_mesh import BEGIN, Reporting, ReportingMesh
from tests.rig.simulated_mesh import MS, NO_CALL, SECOND

if TYPE_CHECKING:
    from tests.rig.simulated_mesh import Row

OFFSETS = [
    sign * offset
    for offset in (5 * MS, 100 * MS, 9 * SECOND, 3 * MINUTE, 10 * MINUTE)
    for sign in (1, -1)
]
QUIET_S = 300
"""At the end, so that all has been told."""
STEPS_MAX = 4
STEP = 10 * SECOND
PUSHED_NS = 260 * MS // 2
"""How well a clock is known by its counts: half of the delay that is assumed, and the network."""


def mixed_mesh(*, seed: int, seconds: int, calls_per_s: int) -> ReportingMesh:
    """Everything at once, in so many seconds before the quiet at the end."""
    mesh = ReportingMesh(seed=seed, offsets_ns=OFFSETS)
    for name in ("cart-0", "pay-1"):
        batched = mesh.of(name)
        batched.is_otlp, batched.flush_ns = True, 10 * SECOND
    mesh.of("pay-1").pushes = mesh.of("batch-1").pushes = mesh.of("quiet-0").pushes = False
    started_before = mesh.of("stock-1")
    assert started_before.pod.offset_ns == 10 * MINUTE
    started_before.starts_ns, started_before.counted_before = [BEGIN - 5 * MINUTE], 500
    started_before.has_silent_listener = True
    mesh.of("web-0").starts_ns = [BEGIN + 3 * SECOND]
    mesh.of("web-1").counted_before = 4_000
    mesh.traffic(seconds=seconds, calls_per_s=calls_per_s)
    call_in_step(mesh, mesh.of("quiet-0"), seconds=seconds)
    web, pay = mesh.pods["web-0"], mesh.pods["pay-1"]
    mesh.stream(web, pay, seconds // 8 * SECOND, took_ns=seconds // 3 * SECOND)
    return mesh


def call_in_step(mesh: ReportingMesh, reporting: Reporting, *, seconds: int) -> None:
    """Each ten seconds a call that ends just after the flush: its records wait for the longest."""
    for at_s in range(20, seconds, 10):
        ended = at_s * SECOND + reporting.phase_ns + MS // 10
        mesh.request(mesh.pods["web-0"], reporting.pod, ended - 21 * MS, took_ns=22 * MS)


# ── truth ────────────────────────────────────────────────────────────────────────────────────────


def received(log: list[Row]) -> Counter[tuple[str, int, str]]:
    """Records by reporter and minute of their arrival."""
    found: Counter[tuple[str, int, str]] = Counter()
    for row in log:
        if row["kind"] in {"request", "connection", "handshake"}:
            found[row["reporter_id"], minute_of(row), "received"] += 1
    return found


def expected(log: list[Row]) -> Counter[tuple[str, int, str]]:
    """Parts of calls whose other end is in the log, too; attempts that were given up among them."""
    found: Counter[tuple[str, int, str]] = Counter()
    for row in log:
        is_attempt = row["side"] == "destination" and row["src_spiffe_id"] is not None
        is_request = row["kind"] == "request" and row["envoy_access_log_type"] == "DownstreamEnd"
        is_left = is_request and is_attempt
        found[row["reporter_id"], minute_of(row), "expected"] += len(calls_of(row)) or is_left
    return +found


def calls_of(row: Row) -> set[int]:
    return {row.get("call", NO_CALL), row.get("gateway_call", NO_CALL)} - {NO_CALL}


def minute_of(row: Row) -> int:
    received_ns: int = row["received_time"]
    return received_ns // MINUTE * MINUTE


def check_clocks(mesh: ReportingMesh, told: Told) -> None:
    """Every statement holds at its time."""
    for node, said in told.clocks.items():
        for one in said:
            assert one["quality"] == "estimated", one
            off_ns = abs(one["offset_ns"] - mesh.reporting[node].offset_at(one["until_ns"]))
            assert off_ns <= one["error_ns"], (off_ns, one)


def check_events(mesh: ReportingMesh, log: list[Row]) -> None:
    """What was known of the clock of each record holds at its own time."""
    known_count = 0
    for row in log:
        if row["time_offset"] is not None:
            known_count += 1
            off_ns = abs(
                row["time_offset"] - mesh.reporting[row["reporter_id"]].offset_at(row["start"])
            )
            assert off_ns <= row["time_error"], row
    assert known_count > 0.9 * len(log)


def check_counted(mesh: ReportingMesh, told: Told) -> None:
    """What a proxy counted in a minute is within the bounds that are told of it."""
    ended = {node: [] for node in mesh.reporting}  # type: dict[str, list[int]]
    for row in mesh.rows:
        if row["kind"] == "request" and row["envoy_access_log_type"] == "DownstreamEnd":
            ended[row["reporter_id"]].append(row["end"])
    bounded_count = 0
    for said in told.accounts:
        if said["counted_max"] is None:
            continue
        bounded_count += 1
        from_ns, until_ns = said["from_ns"], said["until_ns"]
        ends = ended[said["about"]]
        most = sum(from_ns - 80 * MS <= end < until_ns for end in ends)
        least = sum(from_ns <= end < until_ns - 80 * MS for end in ends)
        assert said["counted_min"] <= most, said
        assert least <= said["counted_max"], said
    assert bounded_count > 0


# ── all is well ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow  # an hour of 13 proxies: 30,000 entries, and 360 steps
def test_an_hour_of_clean_traffic_is_accounted_for_to_the_last_record() -> None:
    seconds = 3_600
    mesh = mixed_mesh(seed=21, seconds=seconds, calls_per_s=4)
    log = mesh.report(seconds=seconds + QUIET_S)
    told = run_ledger(log, until_s=seconds + QUIET_S)
    check_all_is_well(mesh, log, told)


@pytest.mark.parametrize("seed", [1, 2])
def test_minutes_of_clean_traffic_are_accounted_for_wherever_the_log_is_cut(seed: int) -> None:
    seconds = 150
    mesh = mixed_mesh(seed=seed, seconds=seconds, calls_per_s=6)
    log = mesh.report(seconds=seconds + QUIET_S)
    told = run_ledger(log, until_s=seconds + QUIET_S, seed=seed)
    check_all_is_well(mesh, log, told)
    for cuts_count in (0, 40):
        cuts = mesh.random.sample(range(len(log)), cuts_count)
        again = run_again(log, cuts, until_s=seconds + QUIET_S)
        assert again.everything == told.everything


def check_all_is_well(mesh: ReportingMesh, log: list[Row], told: Told) -> None:
    assert told.gaps == []
    assert told.findings == []
    assert told.minutes("received") == received(log)
    assert told.minutes("expected") == expected(log)
    # By minute, too, but for attempts: of several on one connection any may be taken for the last.
    assert told.totals("paired") == told.totals("expected")
    assert not told.minutes("duplicates", "undecoded", "late", "missing_min", "missing_max")
    check_counted(mesh, told)
    check_clocks(mesh, told)
    check_events(mesh, log)
    check_known_soon(mesh, log, told)


def check_known_soon(mesh: ReportingMesh, log: list[Row], told: Told) -> None:
    """Each reporter's clock is known within some steps, as well as those of who it deals with."""
    heard: dict[str, int] = {}
    for row in log:
        if row["pod"] is not None:
            heard.setdefault(row["reporter_id"], row["received_time"])
    assert set(told.clocks) == set(heard) == set(mesh.reporting)
    for node, said in told.clocks.items():
        assert said[0]["until_ns"] - heard[node] <= STEPS_MAX * STEP, node
        assert min(one["error_ns"] for one in said) <= PUSHED_NS, node
