from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.clock_account import TOLD_AGAIN_NS
from meshtrail.correlate.ledger import Ledger
from meshtrail.correlate.reporters import OVERFLOW
from meshtrail.model.entry import EntryType
from meshtrail.sources.reporter_clocks import parse_clock
from tests.unit.correlate.ledger_events import BEGIN, S, at, count, own, record, table

if TYPE_CHECKING:
    from tests.unit.correlate.ledger_events import Row

MS = 1_000_000


def clocks(*rows: Row, until_s: float = 60, ledger: Ledger | None = None) -> list[dict[str, Any]]:
    ledger = ledger or Ledger(recording_since_ns=BEGIN)
    steps = [*ledger.take(table(*rows)), *ledger.pass_time(at(until_s))]
    said = [one for step in steps for one in step.statements]
    return [one.payload for one in said if one.entry_type is EntryType.CLOCK]


def ahead(row: Row, seconds: float) -> Row:
    """What a proxy says whose clock is so far ahead."""
    return row | {
        name: row[name] + round(seconds * S) for name in ("time", "end_time") if row.get(name)
    }


def counts(*, ahead_s: float, from_s: int = 1, until_s: int = 60, **more: Any) -> list[Row]:
    return [ahead(count(one, 0, **more), ahead_s) for one in range(from_s, until_s, 5)]


def test_a_clock_is_told_when_it_is_known() -> None:
    (told,) = clocks(*counts(ahead_s=7))
    assert (told["about"], told["quality"], told["until_ns"]) == ("web", "estimated", at(20))
    assert told["reporter"] == {"id": "web", "spiffe_id": None, "token": None}
    assert abs(told["offset_ns"] - 7 * S) <= told["error_ns"] < 200 * MS
    assert "cause" not in told


def test_what_is_told_is_what_events_are_derived_from() -> None:
    (told,) = clocks(*counts(ahead_s=7))
    parsed = parse_clock(json.dumps(told | {"step_ns": at(20)}).encode(), received_ns=at(21))
    assert parsed is not None
    key, stated = parsed
    assert key == ("web", None, None)
    assert (stated.offset_ns, stated.error_ns) == (told["offset_ns"], told["error_ns"])


def test_a_clock_that_goes_as_it_went_is_told_every_five_minutes() -> None:
    told = clocks(*counts(ahead_s=7, until_s=700), until_s=700)
    assert [one["until_ns"] for one in told] == [at(20), at(320), at(620)]
    assert told[1]["until_ns"] - told[0]["until_ns"] == TOLD_AGAIN_NS


def test_a_clock_that_was_set_is_told_as_unknown_and_then_anew() -> None:
    rows = [*counts(ahead_s=7), *counts(ahead_s=-90, from_s=61, until_s=120)]
    before, unknown, after = clocks(*rows, until_s=120)
    assert before["quality"] == after["quality"] == "estimated"
    assert (unknown["quality"], unknown["offset_ns"], unknown["error_ns"]) == (
        "unknown",
        None,
        None,
    )
    assert unknown["cause"] == "clock_stepped"
    assert abs(after["offset_ns"] + 90 * S) <= after["error_ns"]


def test_records_tell_of_a_clock_as_well() -> None:
    lag = [0.9, 0.2, 0.5, 0.7, 0.1, 0.8, 0.4, 0.6, 0.3]
    rows = [ahead(record(2 + one, lag_s=lag[one]), -600) for one in range(9)]
    (told,) = clocks(*rows)
    assert abs(told["offset_ns"] + 600 * S) <= told["error_ns"] <= 626 * MS
    assert clocks(*(row | {"is_duplicate": True} for row in rows)) == []
    assert clocks(*(row | {"source": "elsewhere"} for row in rows)) == []
    assert clocks(*(row | {"time": None} for row in rows)) == []


def test_otlp_is_assumed_to_be_delayed_for_longer() -> None:
    rows = [record(2 + one, source="otlp", kind="span") for one in range(9)]
    (told,) = clocks(*rows)
    assert told["error_ns"] == pytest.approx(5 * S, rel=0.01)


def test_a_name_under_two_identities_has_two_clocks() -> None:
    liar = [one | {"reporter_token": "t"} for one in counts(ahead_s=60)]
    first, second = clocks(*counts(ahead_s=7), *liar)
    assert [first["reporter"]["token"], second["reporter"]["token"]] == [None, "t"]
    assert abs(second["offset_ns"] - first["offset_ns"] - 53 * S) < 10 * MS


def test_the_others_together_have_no_clock() -> None:
    assert clocks(*counts(ahead_s=7, who=OVERFLOW)) == []


def test_a_step_of_the_collector_is_waited_for() -> None:
    step = own("clock", 62) | {
        "detail": json.dumps({"step_ns": -8 * S, "wall_ns": 1, "collector_ns": 2})
    }
    rows = [*counts(ahead_s=7), step, *counts(ahead_s=8, from_s=63, until_s=85)]
    before, unknown = clocks(*rows, until_s=88)
    assert before["quality"] == "estimated"
    assert (unknown["quality"], unknown["cause"]) == ("unknown", "clock_stepped")
    # By then it runs true again.
    later = counts(ahead_s=15, from_s=87, until_s=120)
    told = clocks(*rows, *later, until_s=120)[2:]
    assert [one["quality"] for one in told] == ["estimated"]
    assert abs(told[0]["offset_ns"] - 15 * S) <= told[0]["error_ns"]


@pytest.mark.parametrize("detail", [None, "[]", '{"step_ns":"x"}', '{"step_ns":true}'])
def test_a_step_that_says_nothing_of_its_length_is_one(detail: str | None) -> None:
    rows = [*counts(ahead_s=7), own("clock", 61) | {"detail": detail}]
    assert [one["quality"] for one in clocks(*rows, until_s=80)] == ["estimated", "unknown"]


def call(index: int, second: float, *, ahead_s: float = 0, **columns: Any) -> list[Row]:
    """A request from web to db, as both of their proxies report it."""
    shared = {
        "src_spiffe_id": "spiffe://td/ns/a/sa/web",
        "dst_ip": "10.0.0.2",
        "dst_port": 80,
        "request_id": uuid.UUID(int=index).bytes,
        "envoy_access_log_type": "DownstreamEnd",
    }
    source = record(second + 0.001) | shared | columns
    source |= {"log_index": index, "side": "source", "src_ip": "127.0.0.1", "src_port": 5}
    source |= {"envoy_upstream_local_ip": "10.0.0.1", "envoy_upstream_local_port": 40_000}
    destination = ahead(record(second, who="db"), ahead_s) | shared
    destination |= {"log_index": index + 1, "side": "destination"}
    destination |= {"src_spiffe_id_trust": "attested", "src_ip": "10.0.0.1", "src_port": 40_000}
    # It began and ended half a millisecond within.
    destination |= {name: destination[name] + MS // 2 for name in ("time", "end_time")}
    source["time"] -= MS
    return [source, destination]


def error_of(told: list[dict[str, Any]], who: str) -> int:
    error_ns = [one for one in told if one["about"] == who][-1]["error_ns"]
    assert isinstance(error_ns, int)
    return error_ns


def test_a_clock_that_is_known_well_makes_those_known_that_it_deals_with() -> None:
    calls = [row for second in range(3, 50) for row in call(2 * second, second, ahead_s=7)]
    assert error_of(clocks(*calls), "db") > 400 * MS
    told = clocks(*calls, *counts(ahead_s=0))
    assert error_of(told, "db") < 200 * MS
    (db,) = [one for one in told[-2:] if one["about"] == "db"]
    assert abs(db["offset_ns"] - 7 * S) <= db["error_ns"]


def test_a_request_that_was_broken_off_says_nothing_of_clocks() -> None:
    alone = [*counts(ahead_s=0), *counts(ahead_s=0, who="db")]
    # Served for a second longer than the caller waited for it.
    late = call(2, 30, ahead_s=0)
    late[1] = ahead(late[1], 1) | {"received_time": at(31.4)}
    assert "clock_stepped" in {one.get("cause") for one in clocks(*alone, *late)}
    late[0] |= {"envoy_response_flags": "UT"}
    assert clocks(*alone, *late) == clocks(*alone)
    late[0] |= {"envoy_response_flags": None, "envoy_attempt_count": 2}
    assert clocks(*alone, *late) == clocks(*alone)


def test_two_that_go_by_one_name_are_no_clock_for_pairs() -> None:
    alone = [*counts(ahead_s=0), *counts(ahead_s=0, who="db")]
    late = call(2, 30)
    late[1] = ahead(late[1], 1) | {"received_time": at(31.4)}
    other = record(2, who="db") | {"reporter_token": "laptop"}
    causes = {one.get("cause") for one in clocks(*alone, other, *late)}
    assert "clock_stepped" not in causes


def test_statements_are_the_same_however_the_log_is_cut() -> None:
    rows = [
        *counts(ahead_s=7, until_s=400),
        *counts(ahead_s=-3, until_s=400, who="db"),
        *(ahead(record(one, lag_s=0.1 + one % 7 / 10), 7) for one in range(2, 390, 3)),
    ]
    whole = table(*rows)
    wanted = clocks(*rows, until_s=400)
    for length in (1, 7, 60):
        ledger = Ledger(recording_since_ns=BEGIN)
        steps = [
            step
            for start in range(0, whole.num_rows, length)
            for step in ledger.take(whole.slice(start, length))
        ]
        steps += ledger.pass_time(at(400))
        said = [one for step in steps for one in step.statements]
        assert [one.payload for one in said if one.entry_type is EntryType.CLOCK] == wanted
    assert len(wanted) > 3
