from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.search import find as finding
from meshtrail.search import plan
from meshtrail.search.limits import SearchLimits
from meshtrail.search.plan import Plan, SearchRequest, Step
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.search.where import Where

EVENT_ROWS = pa.schema(
    pa.field(one.name, pa.binary() if pa.types.is_fixed_size_binary(one.type) else one.type)
    for one in EVENT_SCHEMA
)
SEGMENTS = 6
ROWS = 5


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    log = make_log(tmp_path / "data")
    for segment in range(SEGMENTS):
        log.add_segment(
            [
                {
                    "url_path": f"/{segment}/{row}",
                    "http_response_status_code": 403 if row == segment else 200,
                    "trace_id": bytes([segment, row]) * 8,
                }
                for row in range(ROWS)
            ]
        )
    return log


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, int]]:
    """What each step read: number of files, first entry, entry after the last."""
    noted: list[tuple[int, int, int]] = []
    statement = Plan.statement

    def note_step(self: Plan, step: Step, *arguments: Any, **options: Any) -> Where:
        noted.append((len(step.segments), step.start, step.end))
        return statement(self, step, *arguments, **options)

    monkeypatch.setattr(Plan, "statement", note_step)
    return noted


def find(log: SmallLog, text: str, limit: int = 100) -> list[int]:
    request = SearchRequest(query=text, columns=("log_index",), limit=limit)
    limits = SearchLimits()
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=limits) as searcher:
        batches = searcher.find(searcher.plan(request, now_ns=UnixNanos(0)))
        return [row["log_index"] for batch in batches for row in batch.to_pylist()]


def test_all_matches_come_newest_first(log: SmallLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 1)
    assert find(log, "") == list(reversed(range(SEGMENTS * ROWS)))
    assert find(log, "status:403") == [24, 18, 12, 6, 0]
    assert find(log, "trace:" + "0302" * 8) == [17]
    assert find(log, "path:/3/*") == [19, 18, 17, 16, 15]
    assert find(log, "path:nowhere") == []


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 29, 30, 31])
def test_a_limit_gives_exactly_the_newest_of_them(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 1)
    assert find(log, "", limit) == list(reversed(range(SEGMENTS * ROWS)))[:limit]


def test_reading_stops_when_the_limit_is_met(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 4)
    assert find(log, "status:403", limit=1) == [24]
    assert steps == [(1, 25, 30), (4, 5, 25)]


def test_each_step_looks_at_four_times_as_many_entries_and_begins_where_a_segment_near_does(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 1)
    assert find(log, "path:nowhere") == []
    assert steps == [(1, 29, 30), (1, 25, 29), (4, 5, 25), (1, 0, 5)]


def test_an_empty_log_takes_no_step(tmp_path: Path, steps: list[tuple[int, int, int]]) -> None:
    assert find(make_log(tmp_path / "empty"), "") == []
    assert steps == []


def test_an_id_is_looked_up_in_everything_at_once(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 1)
    assert find(log, "trace:" + "0302" * 8) == [17]
    assert steps == [(6, 0, 30)]


def test_what_a_query_says_of_arrival_and_index_leaves_segments_out(
    log: SmallLog, steps: list[tuple[int, int, int]]
) -> None:
    # Entries arrived a second apart, from 08:00:00 on.
    assert find(log, "received:[2025-11-21T08:00:07Z TO 2025-11-21T08:00:08Z] status:200") == [8, 7]
    assert find(log, "index:[12 TO 13]") == [13, 12]
    assert find(log, "index:3 OR status:500") == [3]
    assert find(log, "index:<0") == []
    assert steps == [(1, 5, 10), (1, 12, 14), (6, 0, 30)]


@pytest.mark.parametrize("rows_max", [0, 3, 1_000])
def test_rows_are_the_same_whether_they_are_found_by_their_index_first(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 4)
    monkeypatch.setattr(finding, "TWO_LOOKS_ROWS_MAX", rows_max)
    request = SearchRequest(query="status:403 OR path:/4/*", limit=7)
    with Searcher(
        log.layout, log.signer.verifier, origin=ORIGIN, limits=SearchLimits()
    ) as searcher:
        batches = list(searcher.find(searcher.plan(request, now_ns=UnixNanos(0))))
    assert {batch.schema for batch in batches} == {EVENT_ROWS}
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["log_index"] for row in rows] == [24, 23, 22, 21, 20, 18, 12]
    assert rows[0]["url_path"] == "/4/4"
    assert rows[-1]["trace_id"] == bytes([2, 2]) * 8


@pytest.mark.parametrize("query", [f"trace:{'ff' * 16} OR request:x", "path:nowhere", "index:<0"])
def test_columns_are_told_even_where_nothing_is_found_and_without_the_index(
    log: SmallLog, query: str
) -> None:
    request = SearchRequest(query=query, columns=("url_path", "trace_id"))
    with Searcher(
        log.layout, log.signer.verifier, origin=ORIGIN, limits=SearchLimits()
    ) as searcher:
        first, *rest = searcher.find(searcher.plan(request, now_ns=UnixNanos(0)))
    assert first.schema.names == ["url_path", "trace_id"]
    assert not sum(batch.num_rows for batch in rest)
