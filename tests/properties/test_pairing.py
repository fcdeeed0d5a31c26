"""Pairing in columns against pairing row by row, and one table against the same cut anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshtrail.correlate.pairing import COLUMNS, PairingOptions
from tests.naive_pairing import Naive
from tests.rig.pairing_runs import SECOND, Found, run_pairing
from tests.rig.simulated_mesh import EPOCH, SimulatedMesh, make_table

if TYPE_CHECKING:
    from tests.naive_pairing import Row

SMALL = PairingOptions(
    settle_ns=2 * SECOND,
    grace_ns=8 * SECOND,
    late_ns=10 * SECOND,
    alive_ns=6 * SECOND,
    longest_ns=12 * SECOND,
)
TOLERANCE = SECOND // 2
ALL_DONE = EPOCH + 120 * SECOND

quarters = st.integers(0, 80).map(lambda n: n * SECOND // 4)
ips = st.sampled_from(["10.0.0.1", "10.0.0.2"])
ports = st.sampled_from([1_001, 1_002])
servers = st.sampled_from(["10.0.0.1", "10.0.0.9"])
maybe = st.none() | st.just("x")


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """A record that could be of any end of a few connections, or of none."""
    side = draw(st.sampled_from(["source", "source", "destination", "destination", None]))
    kind = draw(st.sampled_from(["request", "request", "request", "connection", "handshake"]))
    client = draw(st.none() | st.tuples(ips, ports)) if draw(maybe) else draw(st.tuples(ips, ports))
    server = draw(st.none() | st.tuples(servers, st.just(80)))
    gateway = draw(st.none() | st.tuples(ips, ports)) if draw(maybe) else None
    start = draw(st.none() | quarters) if draw(maybe) else draw(quarters)
    end = None if start is None else start + draw(quarters) // 4
    is_source = side == "source"
    peer, upstream = (gateway, client) if is_source else (client, gateway)
    ends = {"request": [None, "DownstreamEnd"], "connection": [None, "TcpConnectionEnd"]}
    known: dict[str, Any] = {
        "kind": kind,
        "side": side,
        "time": None if start is None else EPOCH + start,
        "end_time": None if end is None else EPOCH + draw(st.sampled_from([end, end, start])),
        "received_time": EPOCH + draw(quarters),
        "is_duplicate": draw(st.sampled_from([False, False, False, True])),
        "reporter_id": draw(st.sampled_from(["a", "b"])),
        "src_spiffe_id": draw(maybe),
        "src_spiffe_id_trust": draw(st.sampled_from(["attested", "derived", "asserted"])),
        "src_ip": peer and peer[0],
        "src_port": peer and peer[1],
        "dst_ip": server and server[0],
        "dst_port": server and server[1],
        "envoy_access_log_type": draw(
            st.sampled_from([*ends.get(kind, [None]), "DownstreamEnd", "DownstreamPeriodic"])
        ),
        "envoy_response_flags": draw(st.sampled_from([None, None, "DC", "DC,UC"])),
        "envoy_attempt_count": draw(st.sampled_from([None, 1, 1, 2, 3])),
        "envoy_upstream_cluster": draw(st.sampled_from([None, "inbound|80||", "outbound|80||x"])),
        "envoy_upstream_local_ip": upstream and upstream[0],
        "envoy_upstream_local_port": upstream and upstream[1],
        "request_id": draw(st.sampled_from([None, b"\1" * 16, b"\2" * 16])),
        "request_id_text": draw(st.sampled_from([None, None, "one", "two"])),
    }
    return {**dict.fromkeys(COLUMNS), **known}


@given(st.lists(rows(), max_size=30))
@settings(max_examples=300, deadline=None)
def test_columns_pair_as_row_by_row(records: list[Row]) -> None:
    table = make_table(records)
    ordered = sorted(records, key=lambda row: int(row["log_index"]))
    naive = Naive(SMALL, TOLERANCE).run(ordered, until_ns=ALL_DONE // SECOND * SECOND)
    found = run_pairing(table, options=SMALL, tolerance_ns=TOLERANCE)
    assert outcome_of(found) == {
        "pairs": naive.pairs,
        "attempts": naive.attempts,
        "unpaired": naive.unpaired,
        "retracted": naive.retracted,
    }
    found.check_counts()


@given(st.lists(rows(), max_size=30), st.lists(st.integers(0, 30), max_size=6))
@settings(max_examples=150, deadline=None)
@example([], [])
def test_however_a_table_is_cut_the_same_is_found(records: list[Row], cuts: list[int]) -> None:
    table = make_table(records)
    inside = [at for at in cuts if at <= table.num_rows]
    whole = run_pairing(table, options=SMALL, tolerance_ns=TOLERANCE)
    cut = run_pairing(table, cuts=inside, options=SMALL, tolerance_ns=TOLERANCE)
    assert everything(cut) == everything(whole)


@given(st.integers(0, 1_000), st.lists(st.integers(0, 1_500), max_size=20))
@settings(max_examples=8, deadline=None)
def test_however_the_traffic_of_a_mesh_is_cut_the_same_is_found(seed: int, cuts: list[int]) -> None:
    mesh = SimulatedMesh(seed=seed)
    mesh.traffic(seconds=60, calls_per_s=12)
    lost = mesh.random.sample(mesh.rows, len(mesh.rows) // 20)
    gone = {id(row) for row in lost}
    table = make_table(row for row in mesh.rows if id(row) not in gone)
    inside = [at for at in cuts if at <= table.num_rows]
    assert everything(run_pairing(table, cuts=inside)) == everything(run_pairing(table))


@given(st.integers(0, 1_000))
@settings(max_examples=4, deadline=None)
def test_the_traffic_of_a_mesh_pairs_as_row_by_row(seed: int) -> None:
    mesh = SimulatedMesh(seed=seed)
    mesh.traffic(seconds=20, calls_per_s=12)
    records = [row for row in mesh.rows if mesh.random.random() > 0.1]
    table = make_table(records)
    ordered = sorted(records, key=lambda row: int(row["log_index"]))
    last = ordered[-1]["received_time"] // SECOND * SECOND
    naive = Naive(SMALL, TOLERANCE).run(ordered, until_ns=last + 60 * SECOND)
    found = run_pairing(table, options=SMALL, tolerance_ns=TOLERANCE)
    assert found.pairs.keys() == naive.pairs
    assert found.unpaired.keys() == naive.unpaired
    assert {at: row["source_index"] for at, row in found.attempts.items()} == naive.attempts


def outcome_of(found: Found) -> dict[str, Any]:
    return {
        "pairs": set(found.pairs),
        "attempts": {at: row["source_index"] for at, row in found.attempts.items()},
        "unpaired": set(found.unpaired),
        "retracted": found.retracted,
    }


def everything(found: Found) -> Found:
    """All that was told: which counts went to and fro differs with the calls, what remains not."""
    found.counts = type(found.counts)(
        {key: amount for key, amount in found.counts.items() if amount}
    )
    return found
