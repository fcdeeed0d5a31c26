from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import BudgetError, SignatureError
from meshtrail.note import generate_signer
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period, parse_period
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENDLESS = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = 3"


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    log = make_log(tmp_path / "data")
    log.add_segment([{}] * 3)
    return log


@pytest.fixture
def searcher(log: SmallLog) -> Iterator[Searcher]:
    limits = SearchLimits(seconds_max=0.5)
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=limits) as searcher:
        yield searcher


def count(searcher: Searcher, period: Period) -> int:
    answer = searcher.run_sql("SELECT count(*) AS n FROM events", period)
    return sum(row["n"] for batch in answer.batches for row in batch.to_pylist())


def test_each_search_sees_what_is_published_when_it_begins(
    log: SmallLog, searcher: Searcher
) -> None:
    request = SearchRequest(columns=("log_index",))
    before = searcher.plan(request, now_ns=UnixNanos(0))
    log.add_segment([{}] * 2)
    assert count(searcher, Period()) == 5
    assert sum(batch.num_rows for batch in searcher.find(before)) == 3
    assert before.catalogue.tree_size == 3


def test_sql_sees_its_period_only(searcher: Searcher) -> None:
    assert count(searcher, parse_period("2025-11-21T08:00:01Z", None, now_ns=UnixNanos(0))) == 2


def test_each_search_has_a_time_of_its_own(searcher: Searcher) -> None:
    for _ in range(2):
        with pytest.raises(BudgetError):
            list(searcher.run_sql(ENDLESS, Period()).batches)
        assert count(searcher, Period()) == 3


def test_a_log_of_another_key_is_refused(log: SmallLog) -> None:
    other = generate_signer(ORIGIN).verifier
    with (
        Searcher(log.layout, other, origin=ORIGIN, limits=SearchLimits()) as searcher,
        pytest.raises(SignatureError),
    ):
        searcher.pin()
