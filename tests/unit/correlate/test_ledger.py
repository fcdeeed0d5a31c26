from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.correlate.inventory import parse_inventory
from meshtrail.correlate.ledger import LEDGER_TEXTS, Ledger, Step
from meshtrail.correlate.pairing import Place
from meshtrail.correlate.shared_keys import SharedKeys
from meshtrail.correlate.statements import PLACES, parse_places
from meshtrail.model.entry import EntryType
from tests.unit.correlate.ledger_events import BEGIN, S, at, closed, count, own, record, table
from tests.unit.correlate.ledger_said import counts, findings, gaps, minutes, run

if TYPE_CHECKING:
    from tests.unit.correlate.ledger_events import Row
    from tests.unit.correlate.ledger_said import Said


def test_what_arrived_is_no_gap() -> None:
    assert gaps(record(3), record(4), *counts(written=[2, 2])) == []


def test_records_that_were_written_and_did_not_come_are_a_gap_of_unknown_cause() -> None:
    (gap,) = gaps(record(3), *counts(written=[4, 4]))
    assert (gap["about"], gap["cause"]) == ("web", "unknown")
    assert (gap["missing_min"], gap["missing_max"]) == (3, 3)
    assert gap["until_ns"] == at(10)


def test_what_a_proxy_dropped_is_told_as_such() -> None:
    (gap,) = gaps(record(3), *counts(written=[1], dropped=5))
    assert (gap["cause"], gap["missing_min"], gap["missing_max"]) == ("dropped", 5, 5)


def test_requests_that_a_proxy_no_longer_logs_are_told_as_such() -> None:
    (gap,) = gaps(record(3), count(10, 1), count(20, 1, unwritten=6))
    assert (gap["cause"], gap["missing_min"], gap["missing_max"]) == ("not_written", 6, 6)


def test_a_broken_connection_explains_what_went_missing_around_it() -> None:
    (gap,) = gaps(record(3), closed(15, "cancelled"), *counts(written=[1, 4]))
    assert (gap["cause"], gap["missing_min"]) == ("connection_reset", 3)


def test_a_connection_that_ended_in_order_explains_nothing() -> None:
    (gap,) = gaps(record(3), closed(15, "ended"), *counts(written=[1, 4]))
    assert gap["cause"] == "unknown"


def test_a_broken_connection_of_another_explains_nothing() -> None:
    rows = [record(3), closed(15, "cancelled", who="db"), *counts(written=[1, 4])]
    assert [gap["cause"] for gap in gaps(*rows)] == ["unknown"]


def test_a_collector_that_did_not_run_explains_what_went_missing_meanwhile() -> None:
    (gap,) = gaps(
        own("stream_opened", 0.5, about="collect"),
        record(3),
        count(10, 1),
        own("stream_opened", 28, about="collect"),
        count(30, 8),
    )
    assert (gap["cause"], gap["missing_min"], gap["missing_max"]) == ("collector_down", 7, 7)


def test_a_ledger_that_goes_on_writing_does_not_hide_that_the_collector_is_down() -> None:
    (gap,) = gaps(
        record(3),
        count(10, 1),
        count(20, 8),
        own("counter", 25, about="db"),
        own("stream_opened", 28, about="collect"),
        count(30, 8),
    )
    # The loss was counted at twenty; the collector was last heard of then.
    assert gap["cause"] == "collector_down"


def call(end_s: float, who: str, *, lag_s: float = 0.3) -> Row:
    """A request from web to db, as one of the two reports it."""
    columns = {
        "dst_ip": "10.0.0.2",
        "dst_port": 80,
        "envoy_access_log_type": "DownstreamEnd",
        "request_id": round(end_s * 1_000).to_bytes(16, "big"),
    }
    if who == "web":
        columns |= {"side": "source", "envoy_upstream_local_ip": "10.0.0.1"}
        columns |= {"envoy_upstream_local_port": 50_000}
    else:
        columns |= {"side": "destination", "src_ip": "10.0.0.1", "src_port": 50_000}
        columns |= {"src_spiffe_id": "spiffe://td/ns/a/sa/web", "src_spiffe_id_trust": "attested"}
    return record(end_s, who=who, lag_s=lag_s, **columns)


@pytest.mark.parametrize("down_s", [20, 180, 900])
@pytest.mark.parametrize("is_cut", [False, True])
def test_what_was_under_way_when_the_collector_went_down_is_not_for_a_silent_proxy(
    down_s: int, *, is_cut: bool
) -> None:
    back_s = 60 + down_s
    before = [call(at_s, who) for at_s in range(1, 59) for who in ("web", "db")]
    # The proxy of db still held its record of the last one.
    before += [call(59, "web")]
    left_open = closed(back_s - 0.2, "collector_restarted", who="db")
    again = [call(back_s + at_s, who) for at_s in range(1, 90) for who in ("web", "db")]
    after = [left_open, own("stream_opened", back_s - 0.1, about="collect"), *again]
    rows = [own("stream_opened", 0.5, about="collect"), *before, *after]
    events, first_count = table(*rows), len(before) + 2 if is_cut else 0
    ledger = Ledger(recording_since_ns=BEGIN)
    steps = [*ledger.take(events.slice(0, first_count)), *ledger.take(events.slice(first_count))]
    said = [one.payload for step in steps for one in step.statements]
    (found,) = (one for one in said if one.get("cause") == "unpaired")
    assert (found["about"], found["reason"], found["records"]) == ("db", "collector_gap", 1)


def test_the_start_of_a_log_is_no_time_without_a_collector() -> None:
    rows = [call(at_s, who) for at_s in range(3, 60) for who in ("web", "db")]
    rows.remove(call(5, "db"))
    (found,) = findings(own("stream_opened", 0.5, about="collect"), *rows, until_s=120)
    assert (found["cause"], found["reason"]) == ("unpaired", "unknown")


def test_a_break_right_after_the_count_explains_what_the_proxy_still_held() -> None:
    (gap,) = gaps(record(3), count(10, 1), count(20, 4), closed(21, "cancelled"), count(30, 4))
    assert (gap["cause"], gap["missing_min"]) == ("connection_reset", 3)
    (gap,) = gaps(record(3), count(10, 1), count(20, 4), closed(25, "cancelled"), count(30, 4))
    assert gap["cause"] == "unknown"


def test_what_a_process_held_when_it_was_killed_is_lost_by_the_restart() -> None:
    last, restart = gaps(
        record(3),
        count(10, 1),
        count(20, 4),
        closed(20.5, "cancelled"),
        record(25),
        count(27, 1, started_s=22),
    )
    assert (last["cause"], last["missing_min"], last["missing_max"]) == ("restart", 3, 3)
    assert (restart["cause"], restart["missing_min"], restart["missing_max"]) == (
        "restart",
        0,
        None,
    )


def test_a_restart_of_a_proxy_is_an_open_gap_and_a_new_account() -> None:
    first, second = gaps(record(3), count(10, 1), record(28), count(40, 3, started_s=20))
    assert (first["cause"], first["missing_min"], first["missing_max"]) == ("restart", 0, None)
    assert (first["from_ns"], first["until_ns"]) == (at(10), at(20))
    assert (second["cause"], second["missing_min"], second["missing_max"]) == ("unknown", 2, 2)


def test_records_of_a_liar_fill_nobody_elses_gap() -> None:
    lies = [record(4 + at, reporter_spiffe_id="spiffe://td/ns/a/sa/liar") for at in range(3)]
    (gap,) = gaps(record(3), *lies, *counts(written=[4, 4]))
    assert (gap["missing_min"], gap["reporter"]["spiffe_id"]) == (3, None)


def test_a_retry_is_not_counted_twice() -> None:
    (gap,) = gaps(record(3), record(3, is_duplicate=True), *counts(written=[2]))
    assert gap["missing_min"] == 1


def test_a_record_that_cannot_be_read_is_there() -> None:
    unread = record(5, kind="undecoded", end_time=None, time=None)
    assert gaps(record(3), unread, *counts(written=[2, 2])) == []


def test_minutes_tell_what_came_and_what_was_counted() -> None:
    rows = [record(30 + at) for at in range(10)]
    retry = record(33, is_duplicate=True)
    first, *_ = minutes(*rows, retry, *counts(written=[0, 0, 0, 13, 13, 13]))
    assert first["about"] == "web"
    assert (first["from_ns"], first["until_ns"]) == (BEGIN, BEGIN + 60 * S)
    assert (first["received"], first["duplicates"], first["undecoded"]) == (10, 1, 0)
    assert (first["missing_min"], first["missing_max"]) == (3, 3)
    assert first["counted_min"] == 13


def test_what_comes_after_it_was_told_as_missing_is_told_as_late() -> None:
    late = record(3, lag_s=40)
    said = run(record(4), late, *counts(written=[2] * 8))
    assert [one["missing_min"] for kind, one in said if kind is EntryType.GAP] == [1]
    assert sum(one["late"] for kind, one in said if kind is EntryType.COUNTER) == 1


def test_a_log_that_slept_for_a_month_is_passed_over_at_once() -> None:
    month_s = 30 * 86_400
    said = run(record(3), count(10, 1), record(month_s), until_s=month_s + 200)
    assert [kind for kind, _ in said] == [EntryType.COUNTER] * 2


CUTS = st.lists(st.integers(0, 40), max_size=6).map(sorted)


@pytest.fixture(scope="module")
def eventful() -> pa.Table:
    return table(
        own("stream_opened", 0.5, about="collect"),
        *(record(5 + 3.1 * at) for at in range(20)),
        *(record(6 + 7.3 * at, who="db") for at in range(5)),
        *counts(written=[3, 5, 9, 15, 30, 31], dropped=0),
        *counts(written=[1, 2, 3, 5], who="db", dropped=2),
        closed(22, "error", who="db"),
        closed(43, "collector_restarted"),
        own("stream_opened", 44, about="collect"),
        count(85, 4, started_s=70),
    )


@given(cuts=CUTS)
@settings(max_examples=15, deadline=None)
def test_however_the_log_is_cut_the_same_is_said(eventful: pa.Table, cuts: list[int]) -> None:
    def said(ends: list[int]) -> Said:
        ledger = Ledger(recording_since_ns=BEGIN)
        steps: list[Step] = []
        start = 0
        for end in [*ends, eventful.num_rows]:
            steps += ledger.take(eventful.slice(start, max(end - start, 0)))
            start = max(start, end)
        steps += ledger.pass_time(at(600))
        return [one.payload for step in steps for one in step.statements]

    whole = said([])
    assert len(whole) > 5
    assert said(cuts) == whole


def test_where_proxies_report_from_is_told_every_twenty_minutes() -> None:
    calls: dict[str, Any] = {
        "dst_ip": "10.0.0.9",
        "dst_port": 80,
        "side": "destination",
        "log_index": 1,
    }
    calls |= {"envoy_access_log_type": "DownstreamEnd"}
    rows = [record(at_s, **calls) for at_s in range(5, 3_700, 300)]
    said = run(*rows, until_s=3_700)
    lists = [one for _, one in said if one.get("name") == PLACES]
    assert [one["until_ns"] // S % 1_200 for one in lists] == [0] * 3
    assert parse_places(json.dumps(lists[0])) == [
        Place("10.0.0.9", None, "web", lists[0]["places"][0][3], None)
    ]
    assert parse_places(json.dumps({"name": "ledger_minute"})) == []


def test_texts_as_dictionaries_say_the_same(eventful: pa.Table) -> None:
    encoded = eventful
    for at_column, name in enumerate(eventful.column_names):
        if name in LEDGER_TEXTS:
            encoded = encoded.set_column(at_column, name, eventful.column(name).dictionary_encode())
    said = []
    for events in (eventful, encoded):
        ledger = Ledger(recording_since_ns=BEGIN)
        # Parts of a file have dictionaries of their own.
        parts = [events.slice(0, 3), pa.concat_tables([events.slice(3, 4), events.slice(7)])]
        steps = [step for part in parts for step in ledger.take(part)]
        steps += ledger.pass_time(at(600))
        said.append([one.payload for step in steps for one in step.statements])
    assert said[0] == said[1]


def test_a_key_that_is_used_from_elsewhere_is_told_with_its_step() -> None:
    pods = [
        {"pod": "web-1", "namespace": "shop", "service_account": "web", "addresses": ["10.0.0.1"]}
    ]
    inventory = parse_inventory(json.dumps({"pods": pods}).encode(), name="x")
    ledger = Ledger(recording_since_ns=BEGIN, keys=SharedKeys(inventory))
    stolen = record(
        3,
        log_index=5,
        side="destination",
        src_spiffe_id="spiffe://td/ns/shop/sa/web",
        src_spiffe_id_trust="attested",
        src_namespace="shop",
        src_service_account="web",
        src_ip="10.0.0.66",
    )
    first, *_ = ledger.take(table(stolen, record(30)))
    (said,) = first.statements
    assert (said.payload["cause"], said.payload["entry"]) == ("key_shared", 5)
