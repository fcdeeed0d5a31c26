from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pyarrow as pa
import pytest

from meshtrail.correlate.workloads import WORKLOAD_COLUMNS, read_history, read_workloads, reading
from meshtrail.errors import BudgetError
from meshtrail.search.limits import SearchLimits
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = UnixNanos(FIRST_NS + 10**12)
LIMITS = SearchLimits(memory_bytes_max=1 << 28, threads_count=1, seconds_max=60)


def pod(uid: str, **columns: object) -> dict[str, object]:
    known = {"kind": "workload", "time": FIRST_NS, "object_uid": uid, "pod_ips": "10.0.0.1"}
    return {**known, **columns}


@pytest.fixture
def searcher(tmp_path: Path) -> Iterator[Searcher]:
    log = make_log(tmp_path / "data")
    log.add_segment([{"url_path": "/"}, pod("u1")])
    log.add_segment([pod("u1", operation="DELETED", time=FIRST_NS + 5)])
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=LIMITS) as searcher:
        yield searcher


def test_the_workload_events_of_a_log_are_read_and_no_others(searcher: Searcher) -> None:
    events = read_workloads(searcher, now_ns=NOW)
    assert events.column("log_index").to_pylist() == [2, 1]
    assert events.column_names == list(WORKLOAD_COLUMNS)


def test_what_was_known_at_an_entry_is_read_without_what_came_behind_it(searcher: Searcher) -> None:
    at = pa.array([FIRST_NS + 5]), pa.array(["10.0.0.1"])
    then = read_history(searcher, now_ns=NOW, tree_size=2).find(at[1], at[0])
    now = read_history(searcher, now_ns=NOW).find(at[1], at[0])
    assert (then.row.to_pylist(), now.row.to_pylist()) == ([0], [None])


def test_a_log_without_entries_has_no_pods(tmp_path: Path) -> None:
    log = make_log(tmp_path / "data")
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=LIMITS) as searcher:
        assert read_workloads(searcher, now_ns=NOW).num_rows == 0


def test_more_events_than_may_be_read_are_an_error_and_no_part_of_the_truth(
    searcher: Searcher,
) -> None:
    with patch.object(reading, "EVENTS_MAX", 1), pytest.raises(BudgetError, match="more than 1 "):
        read_workloads(searcher, now_ns=NOW)
