"""Pairing in columns against pairing row by row, and one table against the same cut anywhere."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, so that a failure can be repeated
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from meshtrail.correlate.pairing import COLUMNS, PairingOptions, candidates
from tests.naive_pairing import Naive
from tests.rig.pairing_runs import SECOND, run_pairing
from tests.rig.simulated_mesh import EPOCH, SimulatedMesh, make_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.naive_pairing import Row

_T = TypeVar("_T")

SMALL = PairingOptions(
    settle_ns=2 * SECOND,
    grace_ns=8 * SECOND,
    late_ns=10 * SECOND,
    alive_ns=12 * SECOND,
    longest_ns=14 * SECOND,
)
TOLERANCE = SECOND // 2
ALL_DONE = EPOCH + 120 * SECOND

seeds = st.integers(0, 1 << 40)
counts = st.integers(0, 60)
cut_lists = st.lists(st.integers(0, 60), max_size=8)


def make_rows(seed: int, count: int) -> list[Row]:
    """Records of few addresses, ids and moments, so that nearly everything meets something."""
    chance = random.Random(seed)  # noqa: S311 - the same rows for the same seed
    return [_make_row(chance) for _ in range(count)]


def _make_row(chance: random.Random) -> Row:
    choose = chance.choice
    side = choose(["source", "source", "destination", "destination", None])
    client, gateway = _some(chance, 0.9, _client), _some(chance, 0.2, _client)
    server = _some(chance, 0.9, _server)
    start = _some(chance, 0.9, _moment)
    lasts = chance.randint(0, 20) * SECOND // 4
    peer, upstream = (gateway, client) if side == "source" else (client, gateway)
    known: dict[str, Any] = {
        "kind": choose(["request", "request", "request", "connection", "handshake"]),
        "side": side,
        "time": start,
        "end_time": None if start is None or chance.random() < 0.1 else start + lasts,
        "received_time": _moment(chance),
        "is_duplicate": chance.random() < 0.1,
        "reporter_id": choose("ab"),
        "src_spiffe_id": choose([None, "x", "x"]),
        "src_spiffe_id_trust": choose(["attested", "attested", "derived", "asserted"]),
        "src_ip": peer and peer[0],
        "src_port": peer and peer[1],
        "dst_ip": server and server[0],
        "dst_port": server and server[1],
        "envoy_access_log_type": choose(
            [None, "DownstreamEnd", "TcpConnectionEnd", "DownstreamPeriodic", "TcpPeriodic"]
        ),
        "envoy_response_flags": choose([None, None, "DC", "DC,UC"]),
        "envoy_attempt_count": choose([None, 1, 1, 2, 3]),
        "envoy_upstream_cluster": choose([None, "inbound|80||", "outbound|80||x"]),
        "envoy_upstream_local_ip": upstream and upstream[0],
        "envoy_upstream_local_port": upstream and upstream[1],
        "request_id": choose([None, b"\1" * 16, b"\2" * 16]),
        "request_id_text": choose([None, None, "one", "two"]),
    }
    return {**dict.fromkeys(COLUMNS), **known}


def _client(chance: random.Random) -> tuple[str, int]:
    return chance.choice(["10.0.0.1", "10.0.0.2"]), chance.choice([1_001, 1_002])


def _server(chance: random.Random) -> tuple[str, int]:
    return chance.choice(["10.0.0.1", "10.0.0.9"]), 80


def _moment(chance: random.Random, quarters: int = 80) -> int:
    return EPOCH + chance.randint(0, quarters) * SECOND // 4


def _some(chance: random.Random, share: float, make: Callable[[random.Random], _T]) -> _T | None:
    return make(chance) if chance.random() < share else None


@given(seeds, counts)
@settings(max_examples=150, deadline=None)
def test_columns_pair_as_row_by_row(seed: int, count: int) -> None:
    records = make_rows(seed, count)
    table = make_table(records)
    ordered = sorted(records, key=lambda row: int(row["log_index"]))
    naive = Naive(SMALL, TOLERANCE).run(ordered, until_ns=ALL_DONE)
    # Few or many may wait before those that are far away in time are left out.
    with patch.object(candidates, "_FEW", -1_000 * (seed % 2)):
        found = run_pairing(table, options=SMALL, tolerance_ns=TOLERANCE)
    assert found.pairs.keys() == naive.pairs
    assert {at: row["source_index"] for at, row in found.attempts.items()} == naive.attempts
    assert found.unpaired.keys() == naive.unpaired
    assert found.retracted == naive.retracted
    found.check_counts()


@given(seeds, counts, cut_lists)
@settings(max_examples=80, deadline=None)
def test_however_a_table_is_cut_the_same_is_found(seed: int, count: int, cuts: list[int]) -> None:
    table = make_table(make_rows(seed, count))
    inside = [at for at in cuts if at <= count]
    whole = run_pairing(table, options=SMALL, tolerance_ns=TOLERANCE)
    cut = run_pairing(table, cuts=inside, options=SMALL, tolerance_ns=TOLERANCE)
    assert cut == whole


@given(seeds, st.lists(st.integers(0, 1_000), max_size=20))
@example(1119, [1_143])
@settings(max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_however_the_traffic_of_a_mesh_is_cut_the_same_is_found(seed: int, cuts: list[int]) -> None:
    table = make_table(lossy_traffic(seed, seconds=60))
    inside = [at for at in cuts if at <= table.num_rows]
    options = PairingOptions(open_max=60, names_max=4)
    whole = run_pairing(table, options=options)
    assert whole.forgotten_count or "overflow" in whole.reasons.values()
    assert run_pairing(table, cuts=inside, options=options) == whole


@given(seeds)
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
def test_the_traffic_of_a_mesh_pairs_as_row_by_row(seed: int) -> None:
    records = lossy_traffic(seed, seconds=20)
    table = make_table(records)
    ordered = sorted(records, key=lambda row: int(row["log_index"]))
    last = ordered[-1]["received_time"]
    naive = Naive(SMALL, TOLERANCE).run(ordered, until_ns=last + 60 * SECOND)
    found = run_pairing(table, options=SMALL, tolerance_ns=TOLERANCE)
    assert found.pairs.keys() == naive.pairs
    assert found.unpaired.keys() == naive.unpaired
    assert {at: row["source_index"] for at, row in found.attempts.items()} == naive.attempts


def lossy_traffic(seed: int, *, seconds: int) -> list[Row]:
    mesh = SimulatedMesh(seed=seed)
    mesh.traffic(seconds=seconds, calls_per_s=12)
    return [row for row in mesh.rows if mesh.random.random() > 0.1]
