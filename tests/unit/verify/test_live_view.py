"""A log that is merged while it is audited is followed; files that are just gone are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import MissingFileError
from meshtrail.verify import KeySource, TrustedKey, audit
from tests.log_builder import EntryWriter, LogBuilder, http_record, make_signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRUSTED = TrustedKey(verifier=make_signer().verifier, source=KeySource.OPTION)


@pytest.fixture
def builder(tmp_path: Path) -> LogBuilder:
    builder = LogBuilder(tmp_path / "log")
    writer = EntryWriter()
    builder.seal([writer.opened(5)])
    for number in range(4):
        builder.seal([writer.record(5, http_record(number + n)) for n in range(3)])
    return builder


def once(phase: str, act: Callable[[], None], *, at: int = 0) -> Callable[[int, int, str], None]:
    """A progress callback that acts the first time a phase has got so far."""
    done: list[int] = []

    def tell(position: int, _: int, name: str) -> None:
        if name == phase and position >= at and not done:
            done.append(1)
            act()

    return tell


@pytest.mark.parametrize("phase", ["manifests", "checkpoints", "files", "entries"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_segments_merged_away_during_an_audit_are_followed(
    builder: LogBuilder, phase: str, count: int
) -> None:
    progress = once(phase, lambda: builder.merge(count, is_removing=True))
    report = audit(builder.layout.root, trusted=TRUSTED, workers=1, progress=progress)
    assert report.is_clean
    assert report.entries_count == 13


def test_merge_in_the_middle_of_the_entries_is_followed_from_there(builder: LogBuilder) -> None:
    progress = once("entries", lambda: builder.merge(5, is_removing=True), at=7)
    report = audit(builder.layout.root, trusted=TRUSTED, workers=1, progress=progress)
    assert report.is_clean
    assert (report.entries_count, report.heads_checked) == (13, 6)
    assert "merged-meanwhile" in {finding.check for finding in report.explained}


def test_entries_sealed_during_an_audit_are_left_for_the_next(builder: LogBuilder) -> None:
    writer = EntryWriter(now_ns=1_700_000_001_000_000_000, next_seq={5: 13})

    def seal_and_merge() -> None:
        builder.seal([writer.record(5, http_record(1))])
        builder.merge(3, is_removing=True)

    progress = once("entries", seal_and_merge)
    report = audit(builder.layout.root, trusted=TRUSTED, workers=1, progress=progress)
    assert report.is_clean
    assert report.entries_count == 13


@pytest.mark.parametrize("phase", ["checkpoints", "entries"])
def test_segment_removed_during_an_audit_is_missing(builder: LogBuilder, phase: str) -> None:
    path = max(builder.layout.segments.iterdir())
    with pytest.raises(MissingFileError, match="000000000010-000000000013"):
        audit(
            builder.layout.root,
            trusted=TRUSTED,
            workers=1,
            progress=once(phase, path.unlink),
        )
