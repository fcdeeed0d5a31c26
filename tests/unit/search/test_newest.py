from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.errors import QueryError
from meshtrail.search import newest
from meshtrail.search.compile import Period, compile_query
from meshtrail.search.engine import Engine
from meshtrail.search.limits import SearchLimits
from meshtrail.search.newest import find_newest
from meshtrail.search.query import parse_query
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

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
    run = Engine.run

    def run_and_note(
        self: Engine, sql: str, values: Sequence[Any] = ()
    ) -> Iterator[pa.RecordBatch]:
        noted.append((len(values[0]), values[1], values[2]))
        return run(self, sql, values)

    monkeypatch.setattr(Engine, "run", run_and_note)
    return noted


def find(log: SmallLog, text: str, limit: int = 100) -> list[int]:
    catalogue = log.catalogue()
    where = compile_query(parse_query(text), Period(), now_ns=UnixNanos(0))
    with Engine(catalogue.segments, Period(), SearchLimits()) as engine:
        batches = find_newest(engine, catalogue.segments, where, columns=["log_index"], limit=limit)
        return [row["log_index"] for batch in batches for row in batch.to_pylist()]


def test_all_matches_come_newest_first(log: SmallLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "FIRST_ENTRIES", 1)
    assert find(log, "") == list(reversed(range(SEGMENTS * ROWS)))
    assert find(log, "status:403") == [24, 18, 12, 6, 0]
    assert find(log, "trace:" + "0302" * 8) == [17]
    assert find(log, "path:/3/*") == [19, 18, 17, 16, 15]
    assert find(log, "path:nowhere") == []


@pytest.mark.parametrize("limit", [1, 2, 5, 6, 29, 30, 31])
def test_a_limit_gives_exactly_the_newest_of_them(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(newest, "FIRST_ENTRIES", 1)
    assert find(log, "", limit) == list(reversed(range(SEGMENTS * ROWS)))[:limit]


def test_reading_stops_when_the_limit_is_met(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(newest, "FIRST_ENTRIES", 4)
    assert find(log, "status:403", limit=1) == [24]
    assert steps == [(1, 26, 30), (4, 10, 26)]


def test_each_step_looks_at_four_times_as_many_entries_wherever_segments_end(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(newest, "FIRST_ENTRIES", 1)
    assert find(log, "path:nowhere") == []
    assert steps == [(1, 29, 30), (1, 25, 29), (4, 9, 25), (2, 0, 9)]


def test_an_empty_log_takes_no_step(tmp_path: Path, steps: list[tuple[int, int, int]]) -> None:
    assert find(make_log(tmp_path / "empty"), "") == []
    assert steps == []


def test_an_unknown_column_or_a_limit_below_one_is_refused(log: SmallLog) -> None:
    catalogue = log.catalogue()
    where = compile_query(parse_query(""), Period(), now_ns=UnixNanos(0))
    with Engine(catalogue.segments, Period(), SearchLimits()) as engine:
        with pytest.raises(QueryError, match="limit"):
            list(find_newest(engine, catalogue.segments, where, columns=["log"], limit=0))
        with pytest.raises(QueryError, match="entry"):
            list(find_newest(engine, catalogue.segments, where, columns=["entry"], limit=1))
