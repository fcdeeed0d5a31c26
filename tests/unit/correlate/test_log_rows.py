from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.correlate import log_rows
from meshtrail.correlate.log_rows import find_rows, quote
from meshtrail.errors import BudgetError
from meshtrail.search.limits import SearchLimits
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = UnixNanos(FIRST_NS + 10**12)
ODD = 'a"b\\ OR kind:span *'


@pytest.fixture
def searcher(tmp_path: Path) -> Iterator[Searcher]:
    log = make_log(tmp_path / "data")
    log.add_segment([{"object_name": ODD}, {"object_name": "x"}, {"kind": "span"}])
    limits = SearchLimits()
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=limits) as searcher:
        yield searcher


def test_a_quoted_text_is_a_value_whatever_stands_in_it(searcher: Searcher) -> None:
    rows = find_rows(searcher, f"object_name:{quote(ODD)}", ["log_index"], now_ns=NOW)
    assert rows == [{"log_index": 0}]


def test_rows_come_newest_first(searcher: Searcher) -> None:
    rows = find_rows(searcher, "", ["log_index"], now_ns=NOW)
    assert [row["log_index"] for row in rows] == [2, 1, 0]


def test_too_many_rows_are_refused(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_rows, "ROWS_MAX", 2)
    with pytest.raises(BudgetError, match="more than 2 entries"):
        find_rows(searcher, "", ["log_index"], now_ns=NOW)
