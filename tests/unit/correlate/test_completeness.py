from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.completeness import (
    Completeness,
    Missing,
    Noticed,
    ReporterCompleteness,
    format_bounds,
    read_completeness,
)
from meshtrail.search.limits import SearchLimits
from meshtrail.search.moments import format_moment
from meshtrail.search.period import Period
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.hubble_lines import NODE, event, line
from tests.unit.search.small_log import FIRST_NS, ORIGIN, STEP_NS, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.search.small_log import SmallLog

S = 1_000_000_000
NOW_NS = FIRST_NS + 300 * S

Row = dict[str, Any]


def stated(kind: str, about: str, at_s: int, *, spiffe_id: str | None = None, **said: Any) -> Row:
    """A row as ``own_entries`` makes it of a statement of the ledger."""
    facts = {
        "about": about,
        "from_ns": FIRST_NS + at_s * S,
        "until_ns": FIRST_NS + (at_s + 60) * S,
        "reporter": {"id": about, "spiffe_id": spiffe_id, "token": None},
        "step_ns": FIRST_NS + (at_s + 70) * S,
        **said,
    }
    return {
        "kind": kind,
        "source": "meshtrail",
        "about": about,
        "cause": said.get("cause"),
        "time": facts["from_ns"],
        "end_time": facts["until_ns"],
        "missing_min": said.get("missing_min"),
        "missing_max": said.get("missing_max"),
        "detail": json.dumps(facts, sort_keys=True, separators=(",", ":")),
    }


def minute(about: str, at_s: int, **figures: Any) -> Row:
    zeros = dict.fromkeys(("duplicates", "undecoded", "late", "expected", "paired", "answered"), 0)
    return stated("counter", about, at_s, name="ledger_minute", **{**zeros, **figures})


def gap(about: str, at_s: int, cause: str, low: int, high: int | None, **more: Any) -> Row:
    return stated("gap", about, at_s, cause=cause, missing_min=low, missing_max=high, **more)


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path)


@pytest.fixture
def searcher(log: SmallLog) -> Iterator[Searcher]:
    limits = SearchLimits(memory_bytes_max=256 << 20, threads_count=1, seconds_max=60)
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=limits) as searcher:
        yield searcher


def test_minutes_gaps_and_findings_add_up_by_reporter(log: SmallLog, searcher: Searcher) -> None:
    log.add_segment(
        [
            {"url_path": "/not/the/ledger"},
            minute("web", 0, received=100, expected=10, paired=9),
            minute("web", 60, received=50, duplicates=2),
            minute("db", 0, received=7),
            gap("web", 0, "dropped", 5, 5),
            gap("web", 60, "dropped", 1, 3),
            gap("web", 60, "restart", 0, None),
            stated("finding", "db", 60, cause="silent"),
            # A proxy that imitates the ledger is another source.
            {**gap("web", 0, "unknown", 900, 900), "source": "envoy-metrics"},
        ]
    )
    db, web = read_completeness(searcher, Period(), now_ns=NOW_NS).reporters
    assert (web.about, web.minutes_count, web.received, web.duplicates) == ("web", 2, 150, 2)
    assert (web.expected, web.paired) == (10, 9)
    assert web.missing == [
        Missing(
            cause="dropped",
            missing_min=6,
            missing_max=8,
            gaps_count=2,
            first_ns=FIRST_NS,
            last_ns=FIRST_NS + 120 * S,
        ),
        Missing(
            cause="restart",
            missing_min=0,
            missing_max=None,
            gaps_count=1,
            first_ns=FIRST_NS + 60 * S,
            last_ns=FIRST_NS + 120 * S,
        ),
    ]
    assert (web.missing_min, web.missing_max, web.is_whole) == (6, None, False)
    assert [one.cause for one in db.noticed] == ["silent"]


def lost(number: int, **around: Any) -> Row:
    """A row as it is derived of a line of Hubble."""
    told = line("lost_events", {"source": "HUBBLE_RING_BUFFER", "num_events_lost": number})
    columns = ("kind", "source", "about", "cause", "time", "end_time", "detail")
    row = event(told)
    return {name: row[name] for name in (*columns, "missing_min", "missing_max")} | around


def test_what_hubble_lost_is_missing_of_its_node(log: SmallLog, searcher: Searcher) -> None:
    identity = "spiffe://td/ns/kube-system/sa/cilium"
    log.add_segment(
        [
            minute("web", 0, received=100),
            lost(5),
            lost(7),
            lost(7, is_duplicate=True),
            lost(1, reporter_spiffe_id=identity),
            # No other source's word for a loss is taken, and none of Hubble's for a minute.
            lost(900, source="linkerd"),
            lost(900, kind="finding"),
            {**minute(NODE, 0, received=900), "source": "hubble"},
        ]
    )
    found = read_completeness(searcher, Period(), now_ns=NOW_NS)
    web, node, proven = found.reporters
    assert (node.about, node.spiffe_id, node.received) == (NODE, None, 0)
    assert node.missing == [
        Missing(
            cause="hubble_ring_buffer",
            missing_min=12,
            missing_max=12,
            gaps_count=2,
            # By when it was told, on the collector's clock.
            first_ns=FIRST_NS + STEP_NS,
            last_ns=FIRST_NS + 2 * STEP_NS + 1,
        )
    ]
    assert (proven.spiffe_id, proven.missing_min) == (identity, 1)
    assert (web.received, web.is_whole) == (100, True)
    assert f"13 missing of {NODE}, {NODE}" in found.summary()


def test_a_loss_of_hubble_counts_in_the_period_in_which_it_was_told(
    log: SmallLog, searcher: Searcher
) -> None:
    log.add_segment([lost(1)])

    def missing(from_ns: int, to_ns: int) -> int:
        period = Period(from_ns=UnixNanos(from_ns), to_ns=UnixNanos(to_ns))
        found = read_completeness(searcher, period, now_ns=NOW_NS).reporters
        return sum(one.missing_min for one in found)

    assert missing(FIRST_NS, FIRST_NS + 1) == 1
    assert missing(FIRST_NS - 1, FIRST_NS) == 0
    assert missing(FIRST_NS + 1, FIRST_NS + 2) == 0


def test_a_claim_under_another_identity_has_an_account_of_its_own(
    log: SmallLog, searcher: Searcher
) -> None:
    log.add_segment(
        [
            minute("web", 0, received=1, spiffe_id="spiffe://td/ns/a/sa/web"),
            minute("web", 0, received=2, spiffe_id="spiffe://td/ns/a/sa/liar"),
            minute("web", 0, received=4),
        ]
    )
    found = read_completeness(searcher, Period(), now_ns=NOW_NS).reporters
    assert [(one.spiffe_id, one.received) for one in found] == [
        (None, 4),
        ("spiffe://td/ns/a/sa/liar", 2),
        ("spiffe://td/ns/a/sa/web", 1),
    ]


def test_only_what_is_about_the_period_counts(log: SmallLog, searcher: Searcher) -> None:
    log.add_segment([minute("web", 60 * at, received=10**at) for at in range(4)])

    def received(from_s: int, to_s: int) -> int:
        period = Period(
            from_ns=UnixNanos(FIRST_NS + from_s * S), to_ns=UnixNanos(FIRST_NS + to_s * S)
        )
        return sum(
            one.received for one in read_completeness(searcher, period, now_ns=NOW_NS).reporters
        )

    assert STEP_NS == S
    assert received(0, 61) == 11
    assert received(0, 240) == 1111


@pytest.mark.parametrize("ahead_s", [-7_200, 7_200])
def test_a_gap_lies_where_it_was_seen_whatever_the_clock_of_its_reporter_said(
    log: SmallLog, searcher: Searcher, ahead_s: int
) -> None:
    seen = {"seen_from_ns": FIRST_NS + 10 * S, "seen_until_ns": FIRST_NS + 20 * S}
    log.add_segment([minute("web", 0, received=1), gap("web", ahead_s, "dropped", 5, 5, **seen)])

    def missing(from_s: int, to_s: int) -> int:
        period = Period(
            from_ns=UnixNanos(FIRST_NS + from_s * S), to_ns=UnixNanos(FIRST_NS + to_s * S)
        )
        found = read_completeness(searcher, period, now_ns=NOW_NS).reporters
        return sum(one.missing_min for one in found)

    assert missing(0, 60) == missing(0, 11) == 5
    assert missing(0, 10) == missing(ahead_s, ahead_s + 10) == 0


@pytest.mark.parametrize(
    ("to_s", "now_s", "is_late"),
    [(None, 239, False), (None, 241, True), (60, 9_000, False), (9_000, 9_000, True)],
)
def test_an_account_that_ends_before_its_period_says_where(
    log: SmallLog, searcher: Searcher, to_s: int | None, now_s: int, *, is_late: bool
) -> None:
    log.add_segment([minute("web", 0, received=1), minute("db", -60, received=1)])
    to_ns = None if to_s is None else UnixNanos(FIRST_NS + to_s * S)
    found = read_completeness(searcher, Period(to_ns=to_ns), now_ns=FIRST_NS + now_s * S)
    assert found.told_until_ns == FIRST_NS + 60 * S
    until = f" accounted for until {format_moment(FIRST_NS + 60 * S)[:19]}Z" if is_late else ""
    wanted = f"completeness: 2 reporters, 2 records{until}, nothing known to be missing"
    assert found.summary() == wanted


def test_an_empty_log_accounts_for_nothing(log: SmallLog, searcher: Searcher) -> None:
    found = read_completeness(searcher, Period(), now_ns=NOW_NS)
    assert found.reporters == ()
    assert found.summary() == "completeness: nothing is accounted for in this period"
    assert log.tree_size == 0


def reporter(about: str, *bounds: tuple[int, int | None], noticed: int = 0) -> ReporterCompleteness:
    return ReporterCompleteness(
        about=about,
        minutes_count=1,
        received=1_000,
        missing=[
            Missing(
                cause="unknown",
                missing_min=low,
                missing_max=high,
                gaps_count=1,
                first_ns=0,
                last_ns=1,
            )
            for low, high in bounds
        ],
        noticed=[Noticed(cause="silent", findings_count=1, first_ns=0, last_ns=1)] * noticed,
    )


def test_before_the_first_minute_is_told_nothing_is_said_of_records() -> None:
    early = reporter("a", (3, 3))
    early.minutes_count = early.received = 0
    summary = Completeness(period=Period(), reporters=(early,), asked_ns=NOW_NS).summary()
    assert summary == "completeness: 1 reporter, no minute told yet, 3 missing of a"


@pytest.mark.parametrize(
    ("reporters", "summary"),
    [
        ([reporter("a")], "1 reporter, 1,000 records, nothing known to be missing"),
        ([reporter("a", (3, 3)), reporter("b")], "2 reporters, 2,000 records, 3 missing of a"),
        (
            [reporter("a", (3, 4)), reporter("b", (1, 1), noticed=1)],
            "2 reporters, 2,000 records, 4 to 5 missing of a, b, look at b",
        ),
        ([reporter("\x1b[2J", (1, 1))], "1 reporter, 1,000 records, 1 missing of \\x1b[2J"),
        ([reporter("a", (0, None))], "1 reporter, 1,000 records, an unknown number missing of a"),
        (
            [reporter(name, (1, None)) for name in "abcde"],
            "5 reporters, 5,000 records, 5 or more missing of a, b, c and 2 more",
        ),
    ],
)
def test_one_line_says_what_a_result_rests_on(reporters: list[Any], summary: str) -> None:
    found = Completeness(period=Period(), reporters=tuple(reporters), asked_ns=NOW_NS)
    assert found.summary() == f"completeness: {summary}"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(3, 3, "3"), (1_000, 2_000, "1,000 to 2,000"), (4, None, "4 or more"), (0, 0, "0")],
)
def test_bounds_are_one_number_where_they_meet(low: int, high: int | None, text: str) -> None:
    assert format_bounds(low, high) == text
