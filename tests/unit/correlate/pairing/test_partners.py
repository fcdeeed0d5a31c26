from __future__ import annotations

import pytest

from meshtrail.correlate.pairing import Pairing, PairingOptions
from tests.rig.pairing_runs import SECOND, make_calls, run_pairing
from tests.rig.simulated_mesh import SimulatedMesh, make_table

MINUTE = 60 * SECOND


@pytest.fixture
def mesh() -> SimulatedMesh:
    return SimulatedMesh(seed=1)


def test_pairs_tell_times_and_reporters_of_both_ends(mesh: SimulatedMesh) -> None:
    table = make_calls(mesh, 1)
    (pair,) = run_pairing(table).pairs.values()
    rows = {row["side"]: row for row in table.to_pylist()}
    for end, row in rows.items():
        for name in ("time", "end_time", "received_time", "reporter_id", "reporter_spiffe_id"):
            assert pair[f"{end}_{name}"] == row[name]
        assert pair[f"{end}_index"] == row["log_index"]
    assert pair["same_request_id"]
    assert pair["kind"] == "request"


def test_a_common_connection_is_enough_once_a_record_has_settled(mesh: SimulatedMesh) -> None:
    table = make_calls(mesh, 1)
    for row in mesh.rows:
        row["request_id"] = b"\7" * 16 if row["side"] == "source" else None
    forged = make_table(mesh.rows)
    received = forged.column("received_time")[-1].as_py()
    for rows, wait in ((table, 2 * SECOND), (forged, 7 * SECOND)):
        pairing, nothing = Pairing(PairingOptions()), rows.slice(0, 0)
        pairing.take(rows)
        early = pairing.take(nothing, watermark_ns=received + wait - 2 * SECOND)
        (pair,) = pairing.take(nothing, watermark_ns=received + wait).pairs.to_pylist()
        assert early.pairs.num_rows == 0
        assert pair["same_request_id"] is (rows is table)


def test_a_connection_of_a_listener_is_taken_only_where_there_is_no_other(
    mesh: SimulatedMesh,
) -> None:
    mesh.tcp(mesh.pods["web-0"], mesh.pods["pay-0"], 0, took_ns=SECOND)
    ends = [row for row in mesh.rows if row["envoy_access_log_type"] != "TcpConnectionStart"]
    source, proxy, listener = ends
    listener["received_time"] = source["received_time"] - 2 * SECOND
    for rows, want in (([source, proxy, listener], proxy), ([source, listener], listener)):
        found = run_pairing(make_table(rows))
        assert list(found.pairs) == [(source["log_index"], want["log_index"])]
        assert not found.unpaired
