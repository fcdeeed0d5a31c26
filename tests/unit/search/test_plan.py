from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import QueryError
from meshtrail.search.period import Period, parse_period
from meshtrail.search.plan import Plan, SearchRequest, plan_search
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

NOW = UnixNanos(FIRST_NS + 3_600_000_000_000)
TRACE = "ab" * 16
REQUEST = "8c1a2b3c-0d0e-4f10-8111-121314151617"
SPIFFE = "spiffe://td/ns/shop/sa/web"


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    log = make_log(tmp_path / "data")
    for _ in range(4):
        log.add_segment([{}] * 3)
    return log


def planned(log: SmallLog, query: str, period: Period | None = None) -> Plan:
    request = SearchRequest(query=query, period=period or Period())
    return plan_search(request, log.catalogue(), now_ns=NOW)


def branches(log: SmallLog, query: str) -> list[str]:
    return [branch.sql for branch in planned(log, query).branches]


def test_one_condition_is_one_branch(log: SmallLog) -> None:
    assert branches(log, "") == ["TRUE"]
    assert branches(log, "method:GET") == ['"http_request_method" = ?']


def test_alternative_lookups_become_branches_that_exclude_each_other(log: SmallLog) -> None:
    assert branches(log, f"trace:{TRACE} OR request:{REQUEST}") == [
        '"trace_id" = ?',
        '("request_id" = ? AND ("trace_id" = ?) IS NOT TRUE)',
    ]
    assert branches(log, f"spiffe:{SPIFFE} AND method:GET") == [
        '("src_spiffe_id" = ? AND "http_request_method" = ?)',
        '("dst_spiffe_id" = ? AND ("src_spiffe_id" = ?) IS NOT TRUE AND "http_request_method" = ?)',
    ]


@pytest.mark.parametrize(
    ("query", "is_lookup"),
    [
        (f"trace:{TRACE}", True),
        (f"request:{REQUEST}", True),
        (f"trace:{TRACE} OR request:{REQUEST}", True),
        (f"trace:({TRACE}, {'cd' * 16})", True),
        (f"src.spiffe:{SPIFFE} AND trace:{TRACE}", True),
        (f"trace:{TRACE} OR method:GET", False),
        (f"NOT trace:{TRACE}", False),
        (f"src.spiffe:{SPIFFE}", False),
        ("trace:*", False),
        ("", False),
    ],
)
def test_only_conditions_on_unique_ids_are_lookups(
    log: SmallLog, query: str, *, is_lookup: bool
) -> None:
    assert planned(log, query).is_lookup is is_lookup


@pytest.mark.parametrize(
    ("query", "from_", "to", "ranges"),
    [
        ("", None, None, [(0, 12)]),
        ("", "2025-11-21T08:00:03Z", None, [(3, 12)]),
        ("", None, "2025-11-21T08:00:03Z", [(0, 3)]),
        ("received:>=2025-11-21T08:00:04Z", None, "2025-11-21T08:00:08Z", [(3, 9)]),
        ("received:2025-11-21T08:00:04Z", None, None, [(3, 6)]),
        ("NOT received:2025-11-21T08:00:04Z", None, None, [(0, 12)]),
        ("received:<-2h", None, None, []),
        ("index:>=7", None, None, [(7, 12)]),
        ("index:{7 TO 9}", None, None, [(8, 9)]),
        ("index:12", None, None, []),
        ("index:5 AND index:6", None, None, []),
    ],
)
def test_only_what_can_match_is_read(
    log: SmallLog, query: str, from_: str | None, to: str | None, ranges: list[tuple[int, int]]
) -> None:
    plan = planned(log, query, parse_period(from_, to, now_ns=NOW))
    assert [(step.start, step.end) for step in plan.steps] == ranges
    for step in plan.steps:
        assert step.segments[0].named.start <= step.start
        assert step.segments[-1].named.end >= step.end


def test_a_plan_explains_itself_in_plain_facts(log: SmallLog) -> None:
    facts = planned(log, f"trace:{TRACE}", parse_period("-2h", None, now_ns=NOW)).explain()
    assert facts["tree_size"] == 12
    assert facts["segments_live"] == facts["segments_read_at_most"] == 4
    assert facts["order"] == "all at once, by Bloom filter"
    assert facts["period"] == {"from": "2025-11-21T07:00:00.000000000Z"}
    assert facts["branches"] == [
        {
            "sql": '("trace_id" = ? AND "received_time" >= ?)',
            "values": [TRACE, FIRST_NS - 3_600_000_000_000],
        }
    ]


def test_an_unknown_column_or_a_limit_below_one_is_refused() -> None:
    with pytest.raises(QueryError, match="limit"):
        SearchRequest(limit=0)
    with pytest.raises(QueryError, match="entry"):
        SearchRequest(columns=("entry",))


@pytest.mark.parametrize(("start", "end"), [(9, 9), (9, 5)])
def test_a_period_that_holds_no_moment_is_refused(start: int, end: int) -> None:
    with pytest.raises(QueryError):
        Period(from_ns=UnixNanos(start), to_ns=UnixNanos(end))
