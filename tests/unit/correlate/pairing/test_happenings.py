from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.correlate.pairing.happenings import (
    COLUMNS,
    EXPECTS,
    IS_CALLEE,
    IS_CONNECTION,
    IS_WHOLE,
    Happenings,
    Registers,
    read_happenings,
)
from meshtrail.model.event import BY_NAME

SOURCE = {
    "side": "source",
    "src_spiffe_id": "web",
    "src_spiffe_id_trust": "derived",
    "src_ip": "127.0.0.1",
    "src_port": 5_000,
    "dst_ip": "10.0.0.2",
    "dst_port": 80,
    "envoy_upstream_local_ip": "10.0.0.1",
    "envoy_upstream_local_port": 40_000,
    "envoy_upstream_cluster": "outbound|80||pay",
}
DESTINATION = {
    "side": "destination",
    "src_spiffe_id": "web",
    "src_spiffe_id_trust": "attested",
    "src_ip": "10.0.0.1",
    "src_port": 40_000,
    "dst_ip": "10.0.0.2",
    "dst_port": 80,
    "envoy_upstream_local_ip": "127.0.0.6",
    "envoy_upstream_local_port": 1_234,
    "envoy_upstream_cluster": "inbound|80||",
}
CALLER, CALLEE = 0, int(IS_CALLEE)


def read(*rows: dict[str, Any]) -> Happenings:
    given = {
        "kind": "request",
        "time": 10,
        "end_time": 20,
        "received_time": 30,
        "is_duplicate": False,
        "reporter_id": "node",
    }
    full = [
        {**dict.fromkeys(COLUMNS), **given, "log_index": at, **row} for at, row in enumerate(rows)
    ]
    table = pa.table(
        {name: pa.array([row[name] for row in full], BY_NAME[name].type) for name in COLUMNS}
    )
    nothing = np.zeros(len(full), dtype=np.int64)
    return read_happenings(table, Registers.empty(), tolerance_ns=nothing)


def parts(row: dict[str, Any]) -> list[tuple[int, bool]]:
    """Each part that a row plays: its role, and whether it expects a partner."""
    flags = read(row).parts["flags"].tolist()
    return [(flag & CALLEE, bool(flag & EXPECTS)) for flag in flags]


@pytest.mark.parametrize(
    ("changed", "is_whole"),
    [
        ({}, True),
        ({"envoy_response_flags": "DC"}, False),
        ({"envoy_attempt_count": 1}, True),
        ({"envoy_attempt_count": 2}, False),
        ({"end_time": None}, False),
        ({"time": None}, False),
    ],
)
def test_a_request_is_whole_when_nothing_cut_it_and_its_times_are_told(
    changed: dict[str, Any], *, is_whole: bool
) -> None:
    flags = read(SOURCE | changed).parts["flags"]
    assert [bool(flag & IS_WHOLE) for flag in flags] == [is_whole]


def test_both_ends_of_a_call_have_one_client_server_and_key() -> None:
    found = read(SOURCE, DESTINATION).parts
    for name in ("key", "client_ip", "client_port", "server_ip", "server_port"):
        assert found[name][0] == found[name][1]
    assert (found["flags"] & ~IS_WHOLE).tolist() == [int(EXPECTS), int(EXPECTS | IS_CALLEE)]


@pytest.mark.parametrize(
    ("row", "want"),
    [
        (SOURCE, [(CALLER, True)]),
        (SOURCE | {"envoy_upstream_local_ip": None}, []),
        (SOURCE | {"envoy_response_flags": "DC,UC"}, [(CALLER, False)]),
        (SOURCE | {"envoy_response_flags": "DC"}, [(CALLER, True)]),
        (SOURCE | {"dst_ip": None}, [(CALLER, False)]),
        (SOURCE | {"is_duplicate": True}, []),
        (SOURCE | {"kind": "handshake"}, []),
        (SOURCE | {"src_spiffe_id_trust": "reported"}, [(CALLER, True), (CALLEE, True)]),
        (DESTINATION, [(CALLEE, True)]),
        (DESTINATION | {"src_spiffe_id": None, "src_spiffe_id_trust": None}, [(CALLEE, False)]),
        (DESTINATION | {"src_spiffe_id_trust": "asserted"}, [(CALLEE, False)]),
        (DESTINATION | {"src_ip": None}, []),
        (DESTINATION | {"envoy_upstream_cluster": "waypoint"}, [(CALLER, False), (CALLEE, True)]),
        (DESTINATION | {"side": None}, [(CALLER, False), (CALLEE, False)]),
        (DESTINATION | {"kind": "connection"}, [(CALLEE, False)]),
        (
            DESTINATION | {"kind": "connection", "envoy_access_log_type": "TcpConnectionEnd"},
            [(CALLEE, True)],
        ),
        # A record that would be its own partner is none.
        (SOURCE | {"src_spiffe_id_trust": "reported", "src_ip": "10.0.0.1", "src_port": 40_000},
         [(CALLER, True)]),
    ],
)  # fmt: skip
def test_rows_play_their_parts(row: dict[str, Any], want: list[tuple[int, bool]]) -> None:
    assert parts(row) == want


@pytest.mark.parametrize("kind", ["DownstreamStart", "TcpPeriodic", "UpstreamEnd", "15"])
def test_records_of_what_goes_on_are_signs_of_life_alone(kind: str) -> None:
    found = read(DESTINATION | {"envoy_access_log_type": kind})
    assert len(found.parts["key"]) == 0
    assert len(found.life["key"]) == 1


def test_a_request_without_an_upstream_was_answered_locally_and_a_periodic_one_was_not() -> None:
    local = SOURCE | {"envoy_upstream_local_ip": None}
    going_on = local | {"envoy_access_log_type": "DownstreamPeriodic"}
    rows = read(local, SOURCE, going_on, DESTINATION | {"envoy_upstream_local_ip": None}).rows
    assert rows["is_local"].tolist() == [True, False, False, False]


def test_requests_with_several_attempts_are_told_with_those_before_the_last() -> None:
    known = {"request_id": b"\1" * 16, "envoy_attempt_count": 3}
    found = read(
        SOURCE | known,
        SOURCE | known | {"envoy_attempt_count": 1},
        SOURCE | known | {"request_id": None},
        SOURCE | known | {"envoy_upstream_local_ip": None},
        DESTINATION | known,
    ).retried
    assert found["attempts_left"].tolist() == [2, 2]
    assert found["log_index"].tolist() == [0, 3]
    assert found["client_ip"][1] == -1


@pytest.mark.parametrize(
    ("known", "want"),
    [
        ({}, (10, 20)),
        ({"end_time": 5}, (10, 10)),
        ({"end_time": None}, (10, 30)),
        ({"time": None}, (30 - 60 * 10**9, 30)),
        ({"time": 2**63 - 1, "end_time": 2**63 - 1}, (2**61, 2**61)),
        ({"time": -(2**63)}, (-(2**61), 20)),
    ],
)
def test_times_that_are_missing_or_mad_are_generous(
    known: dict[str, Any], want: tuple[int, int]
) -> None:
    found = read(SOURCE | known).parts
    assert (found["start_ns"][0], found["end_ns"][0]) == want


def test_tcp_and_requests_of_one_address_have_keys_of_their_own() -> None:
    found = read(SOURCE, SOURCE | {"kind": "connection"}).parts
    assert found["key"][0] != found["key"][1]
    assert found["flags"][1] & IS_CONNECTION


def test_one_node_under_two_identities_is_two_reporters() -> None:
    registers_of = [SOURCE | {"reporter_spiffe_id": name} for name in ("a", "b", "a", None, "b")]
    reporters = read(*registers_of).rows["reporter"].tolist()
    assert reporters[0] == reporters[2]
    assert reporters[1] == reporters[4]
    assert len(set(reporters)) == 3
