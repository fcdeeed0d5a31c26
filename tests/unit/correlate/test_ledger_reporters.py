"""Reporters that are not one process after the other, and what is known of one from before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate import reporters
from meshtrail.correlate.ledger import Ledger
from meshtrail.correlate.proxy_account import Logged
from meshtrail.correlate.reporters import Reporter
from meshtrail.correlate.statements import parse_logged
from meshtrail.model.entry import EntryType
from meshtrail.sources.counter_detail import Tally
from meshtrail.sources.counter_families import find_counter
from tests.unit.correlate.ledger_events import BEGIN, at, count, record, table
from tests.unit.correlate.ledger_said import counts, findings, gaps, minutes, run

if TYPE_CHECKING:
    from tests.unit.correlate.ledger_events import Row


def test_a_ledger_that_goes_on_knows_what_used_to_be_logged() -> None:
    """The access log was turned off before anything that is read again."""
    before = run(record(3), count(10, 1))
    minute = next(one for kind, one in before if kind is EntryType.COUNTER)
    reporter, logged = parse_logged(json.dumps(minute))
    assert (reporter, logged) == (Reporter("web"), Logged(requests=True, connections=False))

    ledger = Ledger(recording_since_ns=BEGIN)
    ledger.learn([], {reporter: logged, Reporter("web", "spiffe://other"): Logged()})
    unlogged = [count(at_s, 1, unwritten=at_s, started_s=-1_000) for at_s in range(10, 60, 10)]
    steps = [*ledger.take(table(*unlogged)), *ledger.pass_time(at(80))]
    told = [one.payload for step in steps for one in step.statements]
    missing = [one["missing_min"] for one in told if one.get("cause") == "not_written"]
    assert missing == [10] * 4


def test_replicas_under_one_name_are_told_once_and_not_judged() -> None:
    rows = [record(5 + at / 2) for at in range(600)]
    for at_s in range(10, 300, 10):
        rows.append(count(at_s, 3 * at_s // 10, started_s=-100))
        rows.append(count(at_s + 4, 3 * at_s // 10, started_s=-40))
    said = run(*rows, until_s=330)
    told = [one for kind, one in said if kind in {EntryType.GAP, EntryType.FINDING}]
    assert [(one["about"], one["cause"]) for one in told] == [("web", "name_shared")]


def test_those_beyond_all_numbers_are_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporters, "REPORTERS_MAX", 1)
    others = [*counts(written=[9, 9, 9], who="b"), *counts(written=[9, 9], who="c")]
    said = run(record(1, who="a"), record(2, who="b"), *others)
    told = [one for kind, one in said if kind in {EntryType.GAP, EntryType.FINDING}]
    assert told == []


def test_reporters_that_are_gone_cost_no_step_anything() -> None:
    ledger = Ledger(recording_since_ns=BEGIN)
    heard = [record(at_s, who="db") for at_s in range(60, 300, 10)]
    list(ledger.take(table(*counts(written=[0, 0, 0]), record(3, who="shell"), *heard)))
    list(ledger.pass_time(at(600)))
    assert ledger.silent_count == 1
    assert not ledger._active


def test_a_door_too_many_makes_nothing_missing() -> None:
    def count_of(at_s: float, doors: int) -> Row:
        said = {f"listener.10.0.0.{door}_80.downstream_cx_total": 2 for door in range(doors)}
        tally = Tally()
        for name, value in {**said, "server.uptime": int(at_s - 1)}.items():
            counter = find_counter(name.encode())
            assert counter is not None
            tally.count(*counter, value)
        return count(at_s, 0) | {"detail": tally.detail(left_out_count=0)}

    ended = [
        record(end_s, kind="connection", payload_format="als-tcp")
        for end_s in [*([3] * 128), *([25] * 2)]
    ]
    assert gaps(*ended, *(count_of(at_s, 64 + (at_s > 20)) for at_s in range(10, 60, 10))) == []


@pytest.mark.parametrize("source", ["envoy-json", "hubble"])
def test_lines_are_received_and_nothing_is_expected_of_whoever_wrote_them(source: str) -> None:
    call: dict[str, Any] = {
        "side": "source",
        "dst_ip": "10.0.0.2",
        "dst_port": 80,
        "source": source,
    }
    call |= {
        "dst_port": 80,
        "envoy_upstream_local_ip": "10.0.0.1",
        "envoy_upstream_local_port": 50_000,
    }
    lines = [record(at_s, **call) for at_s in range(1, 60)]
    # Other records of the other end, so that it counts as one that reports.
    others = [record(at_s, who="db", dst_ip="10.0.0.2", dst_port=80) for at_s in range(1, 60)]
    assert findings(*lines, *others) == []
    assert sum(one["received"] for one in minutes(*lines)) == 59
    # They fill no hole in what the proxy of that name sends itself.
    lost = gaps(*lines, *counts(written=[1, 3]))
    assert sum(gap["missing_min"] for gap in lost) == 3
