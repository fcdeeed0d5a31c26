from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.correlate.pairing import Pairing, PairingOptions
from tests.rig.pairing_runs import SECOND, make_calls, run_pairing
from tests.rig.simulated_mesh import MS, SimulatedMesh, make_table

if TYPE_CHECKING:
    import pyarrow as pa

MINUTE = 60 * SECOND


@pytest.fixture
def mesh() -> SimulatedMesh:
    return SimulatedMesh(seed=1)


def test_the_oldest_beyond_the_bound_are_told_as_overflow(mesh: SimulatedMesh) -> None:
    table = make_calls(mesh, 50, lose="destination")
    found = run_pairing(table, options=PairingOptions(open_max=20))
    reasons = sorted(found.reasons.items())
    assert [reason for _, reason in reasons] == ["overflow"] * 30 + ["not_meshed"] * 20
    found.check_counts()
    assert found.total("unpaired") == 30


def test_what_nobody_waits_for_goes_before_what_is_awaited(mesh: SimulatedMesh) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.request(web, pay, 0)
    mesh.rows = [row for row in mesh.rows if row["side"] == "source"]
    for at in range(30):
        mesh.from_browser(pay, SECOND * 3 + at * MS)
    found = run_pairing(make_table(mesh.rows), options=PairingOptions(open_max=10))
    assert found.forgotten_count == 21
    assert list(found.reasons.values()) == ["silent_reporter"]


def test_attempts_whose_request_is_reported_late_are_taken_back(mesh: SimulatedMesh) -> None:
    mesh.retried(mesh.pods["web-0"], [mesh.pods["pay-0"], mesh.pods["pay-1"]], 0)
    mesh.rows[-1]["received_time"] += 2 * MINUTE
    found = run_pairing(make_table(mesh.rows))
    assert len(found.unpaired) == len(found.retracted) == 2
    assert [row["source_index"] for row in found.attempts.values()] == [2]
    assert not found.reasons
    found.check_counts()


@pytest.mark.parametrize(
    ("lag", "told_after"),
    [(0, None), (10 * MINUTE, None), (70 * MINUTE, 61 * MINUTE)],
)
def test_a_stream_that_goes_on_at_the_other_end_is_waited_for_an_hour(
    mesh: SimulatedMesh, lag: int, told_after: int | None
) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.stream(web, pay, 0, took_ns=20 * MINUTE, lag_ns=lag)
    table = make_table(mesh.rows)
    found = run_pairing(table)
    assert len(found.pairs) == (told_after is None)
    assert {side for _, side in found.unpaired} == (
        {"source", "destination"} if told_after else set()
    )
    if told_after:
        pairing = Pairing(PairingOptions())
        received = next(
            row["received_time"]
            for row in table.to_pylist()
            if (row["side"], row["envoy_access_log_type"]) == ("source", "DownstreamEnd")
        )
        early = table.filter([at <= received + told_after for at in received_times(table)])
        assert pairing.take(early).unpaired.num_rows == 0
        late = received + told_after + 2 * SECOND
        assert pairing.take(table.slice(0, 0), watermark_ns=late).unpaired.num_rows == 1


def test_a_stream_whose_other_end_fell_silent_is_told_after_a_quarter_of_an_hour(
    mesh: SimulatedMesh,
) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.stream(web, pay, 0, took_ns=5 * MINUTE)
    ends = {"side": "destination", "envoy_access_log_type": "DownstreamEnd"}
    mesh.rows = [row for row in mesh.rows if not ends.items() <= row.items()]
    table = make_table(mesh.rows)
    last = max(row["received_time"] for row in mesh.rows if row["side"] == "destination")
    pairing = Pairing(PairingOptions())
    pairing.take(table)
    nothing = table.slice(0, 0)
    assert pairing.take(nothing, watermark_ns=last + 15 * MINUTE).unpaired.num_rows == 0
    told = pairing.take(nothing, watermark_ns=last + 15 * MINUTE + 2 * SECOND).unpaired
    assert told.num_rows == 1


def received_times(table: pa.Table) -> list[int]:
    return [int(moment) for moment in table.column("received_time").to_pylist()]
