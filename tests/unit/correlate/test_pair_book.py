from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from meshtrail.correlate.pair_book import ENTRIES_MAX, PAIRED_COLUMNS, PairBook
from meshtrail.model.event import EVENT_SCHEMA
from tests.unit.correlate.ledger_events import S, at

if TYPE_CHECKING:
    from meshtrail.correlate.statements import Statement

Row = dict[str, Any]
SCHEMA = pa.schema([EVENT_SCHEMA.field(name) for name in PAIRED_COLUMNS])
CALLER, CALLEE = "10.0.0.1", "10.0.0.2"


def call(index: int, second: float, *, side: str, port: int = 40_000) -> Row:
    """A request from web to db, as one of the two proxies reports it."""
    is_source = side == "source"
    return {
        "log_index": index,
        "kind": "request",
        "side": side,
        "time": at(second),
        "end_time": at(second + 0.1),
        "received_time": at(second + 0.4),
        "is_duplicate": False,
        "reporter_id": "web" if is_source else "db",
        "src_spiffe_id": "spiffe://td/ns/a/sa/web",
        "src_spiffe_id_trust": "derived" if is_source else "attested",
        "src_ip": "127.0.0.1" if is_source else CALLER,
        "src_port": 5 if is_source else port,
        "dst_ip": CALLEE,
        "dst_port": 80,
        "envoy_access_log_type": "DownstreamEnd",
        "envoy_upstream_local_ip": CALLER if is_source else None,
        "envoy_upstream_local_port": port if is_source else None,
    }


def told(book: PairBook, rows: list[Row], *, until_s: float) -> list[Statement]:
    rows = sorted(rows, key=lambda row: int(row["received_time"]))
    book.take(pa.Table.from_pylist(rows, schema=SCHEMA))
    book.pass_time(at(until_s))
    return list(book.tell())


def counts(book: PairBook) -> Counter[tuple[str | None, str]]:
    found: Counter[tuple[str | None, str]] = Counter()
    for names, _, figure, count in book.take_counts():
        found[names[0], figure] += count
    return found


def both(index: int, second: float, port: int) -> list[Row]:
    return [
        call(index, second, side="source", port=port),
        call(index + 1, second, side="destination", port=port),
    ]


def test_what_both_ends_report_is_counted_and_no_finding() -> None:
    book = PairBook()
    assert told(book, both(0, 1, 40_000) + both(2, 2, 40_001), until_s=200) == []
    assert counts(book) == {
        ("web", "expected"): 2,
        ("web", "paired"): 2,
        ("db", "expected"): 2,
        ("db", "paired"): 2,
    }
    assert not counts(book)


def test_an_end_that_fell_silent_is_one_finding_with_entries_that_show_it() -> None:
    book = PairBook()
    silent = [call(10 + at, 30 + at, side="source", port=41_000 + at) for at in range(20)]
    (found,) = told(book, both(0, 1, 40_000) + silent, until_s=300)
    said = found.payload
    assert (said["about"], said["cause"], said["reason"]) == ("db", "unpaired", "silent_reporter")
    assert (said["records"], said["entries"]) == (20, list(range(10, 10 + ENTRIES_MAX)))
    assert (said["from_ns"], said["until_ns"]) == (at(30.4), at(49.4))
    assert list(book.tell()) == []


def test_a_caller_that_reports_nothing_is_one_finding_whatever_ports_it_calls_from() -> None:
    rows = [call(at, 1 + at, side="destination", port=41_000 + at) for at in range(5)]
    (found,) = told(PairBook(), rows, until_s=200)
    said = found.payload
    assert (said["about"], said["reason"], said["records"]) == (CALLER, "unknown", 5)


def test_an_end_that_is_in_no_mesh_is_no_finding() -> None:
    rows = [call(at, at, side="source", port=41_000 + at) for at in range(5)]
    assert told(PairBook(), rows, until_s=300) == []


def test_a_partner_that_comes_late_takes_the_finding_back() -> None:
    book = PairBook()
    (found,) = told(book, [*both(0, 1, 40000), call(2, 30, side="source")], until_s=100)
    assert found.payload["cause"] == "unpaired"
    late = call(3, 30, side="destination") | {"received_time": at(110)}
    (found,) = told(book, [late], until_s=300)
    assert (found.payload["cause"], found.payload["entries"]) == ("paired_late", [2])


def test_a_time_without_a_collector_explains_what_is_missing_in_it() -> None:
    book = PairBook()
    book.add_downtime(at(29), at(40))
    (found,) = told(book, [*both(0, 1, 40000), call(2, 30, side="source")], until_s=200)
    assert found.payload["reason"] == "collector_gap"


def test_who_is_in_no_mesh_is_not_for_the_sake_of_a_gap_and_nothing_is_expected_of_it() -> None:
    book = PairBook()
    book.add_downtime(at(29), at(40))
    outside = call(2, 30, side="source") | {"dst_ip": "192.0.2.9"}
    assert told(book, [*both(0, 1, 40_000), outside], until_s=200) == []
    found = counts(book)
    assert found["web", "expected"] == found["web", "paired"] == 1


def test_an_attempt_that_was_refused_has_its_other_end_in_the_record_of_the_whole() -> None:
    retried = {"request_id": b"x" * 16}
    rows = [
        call(0, 1, side="destination", port=40_001) | retried,
        call(1, 1.05, side="destination") | retried,
        call(2, 1, side="source") | retried | {"envoy_attempt_count": 2, "end_time": at(1.2)},
    ]
    book = PairBook()
    assert told(book, rows, until_s=200) == []
    found = counts(book)
    assert found["db", "expected"] == found["db", "paired"] == 2


def test_what_comes_with_an_earlier_time_than_was_promised_is_taken_all_the_same() -> None:
    book = PairBook()
    assert told(book, both(0, 1, 40_000), until_s=100) == []
    assert told(book, both(2, 90, 40_001), until_s=300) == []
    assert counts(book)["web", "paired"] == 2


MINUTE = 60_000_000_000


def test_who_reported_from_where_is_known_after_a_restart() -> None:
    before, after = PairBook(), PairBook()
    told(before, both(0, 1, 40_000), until_s=100)
    silent = [call(2, 1_300, side="source")]
    assert told(after, silent, until_s=1_500) == []
    after = PairBook()
    after.learn(before.places())
    (found,) = told(after, silent, until_s=1_500)
    assert (found.payload["about"], found.payload["reason"]) == ("db", "silent_reporter")


def skewed(rows: list[Row], who: str, by_ns: int, **known: int) -> list[Row]:
    """The same, with the clock of one reporter wrong, and what was known of it."""
    wrong = [row for row in rows if row["reporter_id"] == who]
    for row in wrong:
        row |= {"time": row["time"] + by_ns, "end_time": row["end_time"] + by_ns, **known}
    return rows


@pytest.mark.parametrize("by_ns", [-10 * MINUTE, -3 * MINUTE, 3 * MINUTE, 10 * MINUTE])
@pytest.mark.parametrize("known", [False, True])
def test_ends_whose_clocks_are_minutes_apart_are_paired(by_ns: int, *, known: bool) -> None:
    told_of_it = {"time_offset": by_ns, "time_error": 500_000_000} if known else {}
    rows = [*both(0, 1, 40_000), *both(2, 2, 40_001)]
    book = PairBook()
    assert told(book, skewed(rows, "db", by_ns, **told_of_it), until_s=300) == []
    assert counts(book)["db", "paired"] == 2


@pytest.mark.parametrize("by_ns", [-3 * MINUTE, -S, S // 2, 3 * S, 3 * MINUTE])
def test_a_clock_that_was_set_since_it_was_known_leaves_nobody_unpaired(by_ns: int) -> None:
    known = {"time_offset": 0, "time_error": 1_000_000}
    rows = skewed([*both(0, 1, 40_000), *both(2, 50, 40_001)], "db", by_ns, **known)
    book = PairBook()
    assert told(book, skewed(rows, "web", 0, **known), until_s=300) == []
    assert counts(book)["db", "paired"] == 2


def test_a_known_clock_keeps_apart_what_one_connection_carried_at_different_times() -> None:
    known = {"time_offset": 0, "time_error": 1_000_000}
    rows = [call(0, 1, side="source"), call(1, 9, side="destination"), *both(2, 30, 40_001)]
    book = PairBook()
    told(book, [row | known for row in rows], until_s=300)
    assert counts(book)["db", "paired"] == 1


def test_records_that_come_in_batches_are_waited_for() -> None:
    """Between clocks that are minutes off, any two requests of a connection might be one."""
    off = {"time_offset": 0, "time_error": MINUTE}
    first, second = both(0, 1, 40_000), both(2, 2, 40_000)
    for row in first + second:
        row.update(off, request_id=bytes([1 + row["log_index"] // 2]) * 16)
    for row in (first[1], second[0]):
        row["received_time"] += 10 * S
    rows = sorted(first + second, key=lambda row: int(row["received_time"]))
    book = PairBook()
    pairs = [book.take(pa.Table.from_pylist(rows, schema=SCHEMA)), book.pass_time(at(60))]
    same = [one for table in pairs for one in table.column("same_request_id").to_pylist()]
    assert same == [True, True]


@pytest.mark.parametrize("cut", range(1, 6))
def test_the_same_is_told_however_the_rows_are_cut(cut: int) -> None:
    rows = both(0, 1, 40_000)
    rows += [call(10 + at, 3 + at, side="source", port=41_000 + at) for at in range(4)]
    whole, parts = PairBook(), PairBook()
    wanted = [one.payload for one in told(whole, rows, until_s=200)]
    parts.take(pa.Table.from_pylist(rows[:cut], schema=SCHEMA))
    assert [one.payload for one in told(parts, rows[cut:], until_s=200)] == wanted
