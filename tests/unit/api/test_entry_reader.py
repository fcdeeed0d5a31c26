from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from meshtrail.api.entry_reader import EntryReader
from meshtrail.errors import DigestError, ManifestError, MissingFileError
from meshtrail.store.layout import RangeFile, parse_range_file, segment_file
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def segments_of(log: SmallLog) -> list[RangeFile]:
    return [
        parse_range_file(f"segments/{path.name}")
        for path in sorted(log.layout.segments.glob("*.parquet"))
    ]


def entries_of(log: SmallLog) -> list[bytes]:
    return [
        entry
        for named in segments_of(log)
        for entry in pq.read_table(log.layout.root / named.path)["entry"].to_pylist()
    ]


def cut_row_groups(log: SmallLog, rows: int) -> None:
    """Write each segment again with row groups so small."""
    for named in segments_of(log):
        path = log.layout.root / named.path
        pq.write_table(pq.read_table(path), path, row_group_size=rows)


@pytest.mark.parametrize("kept_bytes_max", [0, 200, 1 << 20])
def test_any_range_reads_as_the_segments_hold_it(log: SmallLog, kept_bytes_max: int) -> None:
    for size in (3, 7, 5):
        log.add_segment([{}] * size)
    cut_row_groups(log, 2)
    reader = EntryReader(log.layout.root, kept_bytes_max=kept_bytes_max)
    whole = entries_of(log)
    assert len(set(whole)) == 15
    for start in range(15):
        for end in range(start + 1, 16):
            assert reader.read(segments_of(log), start, end) == whole[start:end]


def test_a_row_group_is_decoded_once_while_it_is_kept(
    log: SmallLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.add_segment([{}] * 6)
    opened = []
    genuine = pq.ParquetFile

    def counting(path: Path, **options: object) -> object:
        opened.append(path)
        return genuine(path, **options)

    monkeypatch.setattr("meshtrail.api.entry_reader.pq.ParquetFile", counting)
    reader = EntryReader(log.layout.root)
    for start in range(6):
        reader.read(segments_of(log), start, start + 1)
    assert len(opened) == 1


def test_no_more_is_kept_than_may_be(log: SmallLog) -> None:
    for _ in range(4):
        log.add_segment([{}] * 3)
    group_bytes = pq.read_table(log.layout.root / segments_of(log)[0].path)["entry"].nbytes
    reader = EntryReader(log.layout.root, kept_bytes_max=3 * group_bytes)
    reader.read(segments_of(log), 0, 12)
    kept = [rows.nbytes for rows in reader._kept.values()]
    assert 0 < sum(kept) <= 3 * group_bytes


def test_a_hole_between_segments_is_told(log: SmallLog) -> None:
    for _ in range(3):
        log.add_segment([{}])
    first, _, last = segments_of(log)
    with pytest.raises(ManifestError, match=r"2 of the entries \[0, 3\)"):
        EntryReader(log.layout.root).read([first, last], 0, 3)


def test_a_segment_that_is_gone_or_does_not_read_back_is_named(log: SmallLog) -> None:
    reader = EntryReader(log.layout.root)
    with pytest.raises(MissingFileError, match="segments/"):
        reader.read([segment_file(0, 1)], 0, 1)
    path = log.add_segment([{}])
    path.write_bytes(b"PAR1 and nothing of it")
    with pytest.raises(DigestError, match="segments/"):
        reader.read(segments_of(log), 0, 1)
