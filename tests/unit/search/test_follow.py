from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.search import follow, plan
from meshtrail.search.follow import Follower
from meshtrail.search.limits import SearchLimits
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD = SearchRequest(query="status:1", columns=("log_index",))


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


@pytest.fixture
def searcher(log: SmallLog) -> Iterator[Searcher]:
    with Searcher(
        log.layout, log.signer.verifier, origin=ORIGIN, limits=SearchLimits()
    ) as searcher:
        yield searcher


def seal(log: SmallLog, count: int, *, is_published: bool = True) -> None:
    """Entries whose status says whether their index is odd."""
    start = log.tree_size
    log.add_segment(
        [{"http_response_status_code": (start + at) % 2} for at in range(count)],
        is_published=is_published,
    )


def read(follower: Follower) -> list[int]:
    batches = follower.read_new(now_ns=UnixNanos(0))
    return [row["log_index"] for batch in batches for row in batch.to_pylist()]


def test_a_follower_gives_each_new_match_once_and_in_order(
    log: SmallLog, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "FIRST_ENTRIES", 1)
    seal(log, 4)
    follower = Follower(searcher, ODD)
    assert read(follower) == []
    seal(log, 3)
    seal(log, 5)
    assert read(follower) == [5, 7, 9, 11]
    assert read(follower) == []
    seal(log, 2)
    assert read(follower) == [13]


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_what_came_in_a_pause_is_read_a_part_at_a_time(
    log: SmallLog, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(follow, "ENTRIES_AT_ONCE", at_once)
    for _ in range(3):
        seal(log, 3)
    assert read(Follower(searcher, ODD, from_size=0)) == [1, 3, 5, 7]


def test_a_follower_can_begin_anywhere(log: SmallLog, searcher: Searcher) -> None:
    seal(log, 6)
    assert read(Follower(searcher, ODD, from_size=0)) == [1, 3, 5]
    assert read(Follower(searcher, ODD, from_size=2)) == [3, 5]


def test_a_follower_waits_for_what_is_not_published(log: SmallLog, searcher: Searcher) -> None:
    seal(log, 2)
    follower = Follower(searcher, ODD)
    seal(log, 2, is_published=False)
    assert read(follower) == []
    log.publish()
    assert read(follower) == [3]


def test_what_was_not_read_to_its_end_is_read_again(log: SmallLog, searcher: Searcher) -> None:
    # Nothing is lost when whoever reads stops in the middle; the next look begins where this did.
    follower = Follower(searcher, ODD, from_size=0)
    seal(log, 4)
    reading = follower.read_new(now_ns=UnixNanos(0))
    next(reading)
    reading.close()  # type: ignore[attr-defined]  # it is a generator
    assert read(follower) == [1, 3]
