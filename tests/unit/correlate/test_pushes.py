from __future__ import annotations

import json
from typing import Any

import pytest

from meshtrail.correlate.pushes import Push, PushReader

S = 1_000_000_000


def read(reader: PushReader, at_s: int = 10, **said: Any) -> Push | None:
    detail = json.dumps({"uptime_s": 5, **said})
    return reader.read(detail, at_ns=at_s * S, received_ns=at_s * S, stream=1)


def test_what_ended_is_what_began_and_goes_on_no_more() -> None:
    push = read(
        PushReader(),
        by_http={
            "in": {"requests_started": 9, "requests_active": 2},
            "out": {"requests_started": 4},
        },
        by_listener={
            "0.0.0.0_1": {
                "connections_started": 8,
                "connections_active": 3,
                "no_filter_chain": 1,
                "connections_early": 2,
            }
        },
        logs_written=11,
        logs_dropped=3,
        otlp_logs_dropped=4,
        epoch=2,
    )
    assert push is not None
    assert (push.requests, push.connections, push.written, push.dropped) == (11, 8, 11, 7)
    assert (push.epoch, push.uptime_s, push.started_ns) == (2, 5, 5 * S)


def test_a_door_that_is_made_anew_counts_on_with_what_it_had() -> None:
    reader = PushReader()

    def ended(*doors: tuple[str, int, int]) -> int:
        by_http = {
            name: {"requests_started": begun, "requests_active": active}
            for name, begun, active in doors
        }
        push = read(reader, by_http=by_http)
        assert push is not None
        return push.requests

    assert ended(("a", 5, 1), ("b", 7, 0)) == 11
    assert ended(("b", 8, 0)) == 12
    assert ended(("a", 2, 0), ("b", 8, 0)) == 14
    assert ended(("a", 3, 1), ("b", 8, 0)) == 14
    # Begun and active are read while the door goes on: what ended never falls.
    assert ended(("a", 4, 3), ("b", 8, 0)) == 14
    assert ended(("a", 4, 0), ("b", 8, 0)) == 16


def test_where_doors_were_left_out_the_sums_count() -> None:
    push = read(
        PushReader(),
        by_http={"a": {"requests_started": 1}},
        requests_started=70,
        requests_active=4,
        doors_omitted=3,
    )
    assert push is not None
    assert push.requests == 66


def test_sums_over_too_many_doors_do_not_go_on_from_the_doors() -> None:
    reader = PushReader()
    doors = {f"10.0.0.{at}": {"connections_started": 100} for at in range(64)}
    sums = [{"connections_started": 6_500, "doors_omitted": 1}] * 2
    # One of the listeners is taken out, with all that it counted.
    sums += [{"connections_started": 6_400, "doors_omitted": 1}] * 2
    pushes = [read(reader, by_listener=doors, **said) for said in ({}, *sums, {})]
    assert [(one.connections, one.is_rebased) for one in pushes if one is not None] == [
        (6_400, False),
        (6_500, True),
        (6_500, False),
        (6_400, True),
        (6_400, False),
        (6_400, True),
    ]
    first, second, third = filter(None, pushes[:3])
    assert third.goes_on_from(second)
    assert not second.goes_on_from(first)


@pytest.mark.parametrize("said", [{"deltas": True}, {"uptime_s": None}])
def test_a_push_that_cannot_be_held_to_account_is_none(said: dict[str, Any]) -> None:
    detail = {"uptime_s": 5, "logs_written": 7, **said}
    detail = {name: value for name, value in detail.items() if value is not None}
    found = PushReader().read(json.dumps(detail), at_ns=1, received_ns=1, stream=1)
    assert found is None


def push(*, stream: int = 1, uptime_s: int = 100, at_s: float = 1_000, **fields: int) -> Push:
    at_ns = round(at_s * S)
    facts: dict[str, Any] = {"received_ns": at_ns, **fields}
    return Push(at_ns=at_ns, stream=stream, uptime_s=uptime_s, **facts)


FIRST = push(written=50)


@pytest.mark.parametrize(
    ("later", "is_same"),
    [
        (push(at_s=1_010, uptime_s=110, written=60), True),
        # Over another connection.
        (push(stream=2, at_s=1_010, uptime_s=110, written=60), True),
        # Its clock was set back an hour.
        (push(stream=2, at_s=-2_590, uptime_s=110, written=60, received_ns=1_010 * S), True),
        # It came a minute late.
        (push(stream=2, at_s=1_010, uptime_s=110, written=60, received_ns=1_070 * S), True),
        # Another process, which has done as much already, and is as old.
        (push(stream=2, at_s=1_300, uptime_s=150, written=60), False),
        (push(stream=2, at_s=1_010, uptime_s=5, written=60), False),
        (push(stream=2, at_s=1_010, uptime_s=110, written=3), False),
        (push(stream=2, at_s=1_010, uptime_s=110, written=60, epoch=1), False),
    ],
)
def test_a_push_is_of_the_same_process_or_of_another(later: Push, *, is_same: bool) -> None:
    assert later.is_of_process_of(FIRST) is is_same
