from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.search import plan
from meshtrail.search.engine import Engine
from meshtrail.search.limits import SearchLimits
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from meshtrail.search.limits import Deadline

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
        self: Engine, sql: str, values: Sequence[Any] = (), *, deadline: Deadline
    ) -> Iterator[pa.RecordBatch]:
        noted.append((len(values[0]), values[1], values[2]))
        return run(self, sql, values, deadline=deadline)

    monkeypatch.setattr(Engine, "run", run_and_note)
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
    assert steps == [(1, 26, 30), (4, 10, 26)]


def test_each_step_looks_at_four_times_as_many_entries_wherever_segments_end(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[int, int, int]]
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 1)
    assert find(log, "path:nowhere") == []
    assert steps == [(1, 29, 30), (1, 25, 29), (4, 9, 25), (2, 0, 9)]


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
