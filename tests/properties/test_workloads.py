"""Who had an address: columns against a replay with dicts, whatever comes in whatever order."""

from __future__ import annotations

import random  # noqa: TID251 - seeded, so that a failure can be repeated
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.correlate.workloads import AddressHistory, pod_lifetimes
from tests.naive_workloads import FOREVER, holders, naive_lifetimes
from tests.workload_events import Row, lifetime, lifetime_table, workload, workload_table

INT64 = 2**63 - 1
DETAILS = [
    '{"host_network":true}',
    '{"dry_run":true}',
    '{"started_ns":100,"finished_ns":104,"containers":[]}',
    '{"finished_ns":106}',
]
ADDRESSES = ("10.0.0.1", "10.0.0.2", "10.0.0.1,10.0.0.2", "10.0.0.2, fd00::1", "")


seeds = st.integers(0, 1 << 40)
counts = st.integers(0, 14)
mixes = st.integers(0, 1 << 20)


def make_events(seed: int, count: int) -> list[Row]:
    """Events of few pods, addresses and moments, so that nearly everything meets something."""
    chance = random.Random(seed)  # noqa: S311 - the same events for the same seed
    return [_make_event(chance, 100 + at) for at in range(count)]


def _make_event(chance: random.Random, log_index: int) -> Row:
    choose = chance.choice
    return workload(
        log_index,
        choose([None, *range(100, 112)]),
        kind=choose(["workload"] * 9 + ["request"]),
        received_time=chance.randint(100, 112),
        time_offset=choose([None, None, 0, 1, -1]),
        operation=choose([None, "create", "update", "update", "delete", "DELETED"]),
        actor=choose([None, "alice", "system:node:n1"]),
        http_response_status_code=choose([None, 200, 200, 200, 403]),
        audit_stage=choose([None, *["ResponseComplete"] * 4, "RequestReceived"]),
        object_subresource=choose([None, None, "status"]),
        object_namespace="shop",
        object_name=choose(["a", "a", "b", "b", None]),
        object_uid=choose([None, "u1", "u2", "u3", "u4"]),
        object_version=choose([None, "1", "2", "10", "x"]),
        object_created_time=choose([None, None, 100, 103, 106]),
        object_deleted_time=choose([None, None, None, None, 105, 110]),
        reporter_cluster=choose([None, "east", "east", "east"]),
        pod_ips=choose([None, None, *ADDRESSES]),
        detail=choose([*[None] * 25, *DETAILS]),
        pod_phase=choose([None, None, "Pending", "Running", "Running", "Running", "Succeeded"]),
        pod_version=choose([None, "v1", "v2"]),
        image=choose([None, "web:1"]),
        image_digest=choose([None, "sha256:1"]),
    )


@settings(max_examples=800, deadline=None)
@given(seeds, counts)
def test_lifetimes_are_those_of_a_replay_fact_by_fact(seed: int, count: int) -> None:
    events = make_events(seed, count)
    made = pod_lifetimes(workload_table(events)).to_pylist()
    naive = naive_lifetimes(events)
    for row in naive:
        row["to_ns"] = None if row["to_ns"] == FOREVER else row["to_ns"]
        row["ended_by"] = None if row["to_ns"] is None else row["ended_by"]
    assert sorted(map(_plain, made)) == sorted(map(_plain, naive))


@settings(max_examples=300, deadline=None)
@given(seeds, counts, mixes)
def test_lifetimes_are_the_same_in_whatever_order_events_came(
    seed: int, count: int, mix: int
) -> None:
    events = make_events(seed, count)
    mixed = list(events)
    random.Random(mix).shuffle(mixed)  # noqa: S311 - the same order for the same seed
    assert pod_lifetimes(workload_table(mixed)).equals(pod_lifetimes(workload_table(events)))


@settings(max_examples=300, deadline=None)
@given(seeds, counts)
def test_lifetimes_of_one_pod_and_address_never_overlap(seed: int, count: int) -> None:
    made = pod_lifetimes(workload_table(make_events(seed, count))).to_pylist()
    last: dict[tuple[Any, ...], int] = {}
    for row in sorted(made, key=lambda row: row["from_ns"]):
        pod = (row["uid"],) if row["uid"] else (row["cluster"], row["namespace"], row["pod"])
        key = (row["cluster"], row["ip"], pod)
        assert last.get(key, row["from_ns"]) <= row["from_ns"] < _end(row)
        last[key] = _end(row)


lifetimes = st.builds(
    lambda ip, uid, cluster, from_ns, long, is_open: lifetime(
        ip, from_ns, None if is_open else from_ns + long, uid=uid, cluster=cluster
    ),
    st.sampled_from(["10.0.0.1", "10.0.0.2"]),
    st.sampled_from("abcdef"),
    st.sampled_from([None, "east", "west"]),
    st.integers(0, 12),
    st.integers(1, 8),
    st.integers(0, 9).map(lambda one: one == 0),
)
questions = st.lists(
    st.tuples(
        st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3", None]),
        st.one_of(st.none(), st.integers(-1, 24)),
        st.sampled_from([None, "east", "west", "north"]),
        st.sampled_from([None, 0, 0, 1, 3, INT64]),
    ),
    max_size=30,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(lifetimes, max_size=14), questions, st.sampled_from([True, False]))
def test_history_answers_as_a_walk_through_all_lifetimes(
    rows: list[Row],
    asked: list[tuple[Any, ...]],
    is_clustered: bool,  # noqa: FBT001 - hypothesis draws it, nobody calls this
) -> None:
    history = AddressHistory(lifetime_table(rows))
    ip, at, cluster, error = zip(*asked, strict=True) if asked else ((), (), (), ())
    found = history.find(
        pa.array(ip, pa.string()),
        pa.array(at, pa.int64()),
        pa.array(cluster, pa.string()) if is_clustered else None,
        error_ns=pa.array(error, pa.int64()),
    )
    answers = zip(
        *(one.to_pylist() for one in (found.row, found.candidates, found.is_certain)), strict=True
    )
    for (where, when, within, off), answer in zip(asked, answers, strict=True):
        assert answer == walk(rows, where, when, within if is_clustered else None, off or 0)


def walk(
    rows: list[Row], ip: str | None, at: int | None, cluster: str | None, error: int
) -> tuple[int | None, int, bool]:
    """Row, candidates, whether it is certain."""
    if ip is None or at is None:
        return None, 0, False
    known = [
        {**row, "place": place, "to_ns": _end(row)}
        for place, row in enumerate(rows)
        if cluster is None or row["cluster"] in {None, cluster}
    ]
    now = holders(known, ip, at)
    best = max(now, key=lambda row: (row["from_ns"], row["place"]), default=None)
    # Stretches of one pod that touch are one candidate.
    count = 0
    for uid in {row["uid"] for row in known}:
        own = [row for row in known if (row["uid"], row["ip"]) == (uid, ip)]
        for from_ns, to_ns in _joined(own):
            count += from_ns <= at + error and to_ns > at - error
    place = None if best is None else best["place"]
    return place, count, place is not None and count == 1


def _joined(rows: list[Row]) -> list[tuple[int, int]]:
    stretches: list[tuple[int, int]] = []
    for begin, end in sorted((row["from_ns"], _end(row)) for row in rows):
        if stretches and begin <= stretches[-1][1]:
            stretches[-1] = stretches[-1][0], max(stretches[-1][1], end)
        else:
            stretches.append((begin, end))
    return stretches


def _end(row: Row) -> int:
    return FOREVER if row["to_ns"] is None else int(row["to_ns"])


def _plain(row: Row) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in row.items())
