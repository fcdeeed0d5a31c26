from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.api import span_reader
from meshtrail.api.span_reader import SpanReader
from meshtrail.errors import QueryError
from meshtrail.search.limits import SearchLimits
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = UnixNanos(FIRST_NS)


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    made = make_log(tmp_path / "data")
    for start in (0, 7, 14):
        made.add_segment([{"url_path": f"/{start + at}"} for at in range(7)])
    return made


@pytest.fixture
def searcher(log: SmallLog) -> Iterator[Searcher]:
    with Searcher(
        log.layout, log.signer.verifier, origin=ORIGIN, limits=SearchLimits()
    ) as searcher:
        yield searcher


def read_all(
    searcher: Searcher, request: SearchRequest, *, start: int = 0, tree_size: int = 21
) -> tuple[list[int], int]:
    """Everything from a start on, and how many spans it took."""
    reader = SpanReader()
    found: list[int] = []
    spans = 0
    at = start
    while at < tree_size:
        span = reader.read(searcher, request, start=at, tree_size=tree_size, now_ns=NOW)
        assert span.end > at
        found += [index for index, _ in span.rows]
        at = span.end
        spans += 1
    return found, spans


@pytest.mark.parametrize("span_entries", [1, 4, 7, 100])
@pytest.mark.parametrize("start", [0, 3, 20, 21])
def test_spans_of_any_length_give_each_match_once_in_order(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, span_entries: int, start: int
) -> None:
    monkeypatch.setattr(span_reader, "SPAN_ENTRIES", span_entries)
    assert read_all(searcher, SearchRequest(), start=start)[0] == list(range(start, 21))
    some, _ = read_all(searcher, SearchRequest(query="path:/1*"), start=start)
    assert some == [index for index in (1, *range(10, 20)) if index >= start]


def test_a_span_ends_early_when_its_rows_are_long(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_reader, "SPAN_BYTES", 1)
    # An engine gives its rows in batches, and a batch is not torn.
    monkeypatch.setattr("meshtrail.search.engine.BATCH_ROWS", 1)
    found, spans = read_all(searcher, SearchRequest())
    assert found == list(range(21))
    assert spans == 21
    one = SpanReader().read(searcher, SearchRequest(), start=2, tree_size=21, now_ns=NOW)
    assert one.end == one.rows[-1][0] + 1


def test_rows_have_the_columns_that_were_asked_for_and_their_index_all_the_same(
    searcher: Searcher,
) -> None:
    request = SearchRequest(query="path:/7", columns=("url_path",))
    span = SpanReader().read(searcher, request, start=0, tree_size=21, now_ns=NOW)
    ((index, row),) = span.rows
    assert (index, json.loads(row)) == (7, {"url_path": "/7"})


def test_beyond_the_end_there_is_nothing_and_it_goes_on_from_there(
    log: SmallLog, searcher: Searcher
) -> None:
    reader = SpanReader()
    span = reader.read(searcher, SearchRequest(), start=50, tree_size=0, now_ns=NOW)
    assert span.rows == []
    log.add_segment([{"url_path": "/new"}])
    span = reader.read(searcher, SearchRequest(), start=21, tree_size=22, now_ns=NOW)
    assert [index for index, _ in span.rows] == [21]


def test_a_catalogue_is_kept_until_the_log_grows_or_it_is_old(
    log: SmallLog, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins: list[int] = []
    genuine = searcher.pin

    def counting() -> object:
        pins.append(1)
        return genuine()

    monkeypatch.setattr(searcher, "pin", counting)
    reader = SpanReader()
    for start in (0, 5, 9):
        reader.read(searcher, SearchRequest(), start=start, tree_size=21, now_ns=NOW)
    assert len(pins) == 1
    log.add_segment([{}])
    reader.read(searcher, SearchRequest(), start=21, tree_size=22, now_ns=NOW)
    assert len(pins) == 2
    monkeypatch.setattr(span_reader, "PINNED_SECONDS_MAX", -1.0)
    reader.read(searcher, SearchRequest(), start=21, tree_size=22, now_ns=NOW)
    assert len(pins) == 3


def test_a_query_that_is_not_understood_is_refused_even_where_there_is_nothing_to_read(
    searcher: Searcher,
) -> None:
    with pytest.raises(QueryError):
        SpanReader().read(
            searcher, SearchRequest(query="pth:/x"), start=21, tree_size=0, now_ns=NOW
        )
