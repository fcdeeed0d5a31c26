from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import DigestError, ManifestError, MissingFileError, SignatureError
from meshtrail.note import generate_signer
from meshtrail.search.catalogue import open_catalogue, read_received_range, segments_within
from meshtrail.search.period import Period
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, STEP_NS, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def at(index: int) -> UnixNanos:
    return UnixNanos(FIRST_NS + index * STEP_NS)


def test_a_log_without_a_manifest_has_nothing_to_search(log: SmallLog) -> None:
    catalogue = log.catalogue()
    assert (catalogue.tree_size, catalogue.segments, catalogue.checkpoint) == (0, (), None)


def test_the_catalogue_lists_the_live_segments_by_range(log: SmallLog) -> None:
    paths = [log.add_segment([{}] * count) for count in (3, 1, 2)]
    catalogue = log.catalogue()
    assert [segment.path for segment in catalogue.segments] == paths
    assert [segment.entries_count for segment in catalogue.segments] == [3, 1, 2]
    assert catalogue.tree_size == 6
    assert catalogue.checkpoint is not None
    assert catalogue.checkpoint.tree_size == 6


def test_what_no_published_checkpoint_covers_is_not_searched(log: SmallLog) -> None:
    covered = log.add_segment([{}] * 3)
    log.add_segment([{}] * 2, is_published=False)
    catalogue = log.catalogue()
    assert [segment.path for segment in catalogue.segments] == [covered]
    assert catalogue.tree_size == 3


def test_a_manifest_without_any_published_checkpoint_shows_nothing(log: SmallLog) -> None:
    log.add_segment([{}], is_published=False)
    assert log.catalogue().segments == ()


def test_a_directory_that_another_key_signed_is_refused(log: SmallLog) -> None:
    log.add_segment([{}])
    other = generate_signer(ORIGIN).verifier
    with pytest.raises(SignatureError):
        open_catalogue(log.layout, other, origin=ORIGIN)


def test_segments_that_do_not_end_where_the_checkpoint_does_are_refused(log: SmallLog) -> None:
    log.add_segment([{}] * 3)
    smaller = log.layout.published.read_bytes()
    # The same log again, its five entries in one segment: none ends at the checkpoint's size.
    whole = make_log(log.layout.root.with_name("whole"), log.signer)
    whole.add_segment([{}] * 5)
    whole.layout.published.write_bytes(smaller)
    with pytest.raises(ManifestError, match=r"cover \[0, 0\), the log has 3"):
        whole.catalogue()


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (Period(), [0, 1, 2]),
        (Period(from_ns=at(0)), [0, 1, 2]),
        (Period(from_ns=at(2)), [0, 1, 2]),
        (Period(from_ns=UnixNanos(at(2) + 1)), [1, 2]),
        (Period(from_ns=at(3)), [1, 2]),
        (Period(from_ns=at(9)), []),
        (Period(to_ns=at(3)), [0]),
        (Period(to_ns=UnixNanos(at(3) + 1)), [0, 1]),
        (Period(to_ns=at(0)), []),
        (Period(from_ns=at(4), to_ns=at(5)), [1]),
        (Period(from_ns=at(6), to_ns=at(99)), [2]),
    ],
)
def test_a_period_leaves_the_segments_that_can_hold_its_entries(
    log: SmallLog, period: Period, expected: list[int]
) -> None:
    for _ in range(3):
        log.add_segment([{}] * 3)
    catalogue = log.catalogue()
    found = segments_within(catalogue, period)
    assert [catalogue.segments.index(segment) for segment in found] == expected


def test_a_segment_that_is_gone_or_no_parquet_is_named(log: SmallLog) -> None:
    path = log.add_segment([{}])
    path.write_bytes(b"not parquet")
    with pytest.raises(DigestError, match=path.name):
        read_received_range(path)
    path.unlink()
    with pytest.raises(MissingFileError, match=path.name):
        read_received_range(path)
