from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.errors import DigestError, DurabilityError, MissingFileError
from meshtrail.log import merge
from meshtrail.log.merge import (
    SEGMENTS_MAX,
    TIERS,
    Merged,
    MergeThread,
    merge_files,
    plan_merge,
)
from meshtrail.merkle import Frontier, hash_leaves
from meshtrail.store.durable import Disk, DurableWriter, write_file
from meshtrail.store.layout import Layout, RangeFile, segment_file, tiles_file
from meshtrail.store.manifest import CommittedFile
from meshtrail.store.segment import ROW_GROUP_ROWS, read_segment, write_segment
from meshtrail.store.tiles import TilesReader, encode_tiles
from tests.faults.fake_disk import Failure, FaultyDisk, TracingDisk
from tests.segment_rows import segment_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

# What the largest tier holds is never merged again; below it there are never more than this.
SMALL_SEGMENTS_MAX = SEGMENTS_MAX[TIERS[0]] + 2
REWRITES_MAX = (TIERS[-1] // (SEGMENTS_MAX[TIERS[-1]] - 1)) + 2 * (TIERS[0] // TIERS[1]) + 4

SIZES = st.sampled_from([1, 2, 50, 4_095, 4_096, 20_000, 65_535, 65_536]) | st.integers(1, 70_000)
PATTERNS = st.lists(st.tuples(SIZES, st.integers(1, 60)), min_size=1, max_size=6)


class Simulated:
    """Sizes of live segments, and how often the entries in each were rewritten."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.rewrites: list[int] = []

    def tick(self, size: int) -> None:
        """Append a segment and merge until nothing is due."""
        self.sizes.append(size)
        self.rewrites.append(0)
        while (plan := plan_merge(self.sizes)) is not None:
            start, end = plan
            assert 0 <= start < end - 1 < len(self.sizes)
            self.sizes[start:end] = [sum(self.sizes[start:end])]
            self.rewrites[start:end] = [max(self.rewrites[start:end]) + 1]

    def count_small(self) -> int:
        return sum(size < TIERS[0] for size in self.sizes)


@given(pattern=PATTERNS, total=st.sampled_from([100, 1_000]))
@settings(max_examples=60)
def test_segments_and_rewrites_are_bounded_for_any_rhythm_of_ticks(
    pattern: list[tuple[int, int]], total: int
) -> None:
    simulated = Simulated()
    ticks = 0
    while ticks < total:
        for size, times in pattern:
            for _ in range(times):
                simulated.tick(size)
                assert simulated.count_small() <= SMALL_SEGMENTS_MAX
                assert max(simulated.rewrites) <= REWRITES_MAX
            ticks += times


@pytest.mark.parametrize(
    ("rhythm", "ticks"),
    [
        ([1], 6_000),
        ([15_000], 300),
        ([*[1] * 47, 4_096], 3_000),
        ([*[1] * 47, 65_536], 2_000),
        (([*[1] * 47, 4_096] * 15 + [65_536]), 5_000),
    ],
    ids=["idle", "full rate", "bursts", "large bursts", "bursts of two sizes"],
)
def test_live_files_stay_about_two_hundred_at_any_rate(rhythm: Sequence[int], ticks: int) -> None:
    simulated = Simulated()
    for at in range(ticks):
        simulated.tick(rhythm[at % len(rhythm)])
        assert 2 * simulated.count_small() <= 2 * SMALL_SEGMENTS_MAX <= 200


def test_nothing_is_merged_while_there_are_few_segments() -> None:
    assert plan_merge([]) is None
    assert plan_merge([1] * 47) is None
    assert plan_merge([4_096, 65_536, 1 << 20, 1]) is None


def test_adjacent_segments_that_fill_the_largest_tier_are_merged_the_oldest_first() -> None:
    assert plan_merge([60_000, 6_000, 4_000, 100]) is None
    assert plan_merge([1 << 20, 1 << 19, 1 << 19, 60_000, 6_000]) == (1, 3)


def test_many_small_segments_are_merged_though_they_fill_no_tier() -> None:
    assert plan_merge([5_000, *[1] * 48, 5_000]) == (1, 49)


# ── files ───────────────────────────────────────────────────────────────────────────────────────


class Written:
    """Live files of consecutive segments."""

    def __init__(self, root: Path, sizes: Sequence[int]) -> None:
        self.layout = Layout(root)
        for folder in (self.layout.segments, self.layout.tiles):
            folder.mkdir()
        self.live: dict[RangeFile, CommittedFile] = {}
        self.ranges: list[RangeFile] = []
        self.frontier = Frontier()
        start = 0
        for size in sizes:
            self._write(start, start + size)
            start += size
        self.end = start

    def _write(self, start: int, end: int) -> None:
        named = segment_file(start, end)
        table = segment_table(start, end)
        with DurableWriter(Disk(), self.layout.root / named.path) as sink:
            write_segment(sink, [table], end - start)
            self.live[named] = CommittedFile(named, *sink.commit())
        hashes = hash_leaves(table.column("entry").to_pylist())
        data = encode_tiles(hashes, self.frontier.extend(hashes))
        tiles = tiles_file(start, end)
        written = write_file(Disk(), self.layout.root / tiles.path, data)
        self.live[tiles] = CommittedFile(tiles, *written)
        self.ranges.append(named)


def merge_all(written: Written, disk: Disk | None = None) -> Merged:
    merged = merge_files(disk or Disk(), written.layout, written.live, written.ranges)
    assert merged is not None
    return merged


@pytest.fixture(params=["row groups are carried over", "rows are encoded again"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges segments of any size one way, then the other."""
    is_carried = request.param == "row groups are carried over"
    monkeypatch.setattr(merge, "CARRIED_ROWS_MIN", 1 if is_carried else 1 << 30)


def row_groups(written: Written) -> list[int]:
    """Rows of each row group of the one segment that a merge left."""
    metadata = pq.read_metadata(written.layout.root / segment_file(0, written.end).path)
    return [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]


def test_row_groups_are_carried_over_from_8192_rows_on_average(tmp_path: Path) -> None:
    written = Written(tmp_path, [1, 16_383, 8_192])
    merge_all(written)
    assert row_groups(written) == [1, 16_383, 8_192]


def test_smaller_row_groups_are_made_full_ones(tmp_path: Path) -> None:
    written = Written(tmp_path, [1, 16_382, 8_192])
    merge_all(written)
    assert row_groups(written) == [ROW_GROUP_ROWS, 8_191]


def test_row_groups_are_counted_and_not_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "CARRIED_ROWS_MIN", 6_000)
    written = Written(tmp_path, [ROW_GROUP_ROWS + 1, 1])
    merge_all(written)
    assert row_groups(written) == [ROW_GROUP_ROWS, 2]


@pytest.mark.usefixtures("way")
def test_segments_of_two_versions_of_the_writer_are_encoded_again(tmp_path: Path) -> None:
    written = Written(tmp_path, [3, 4])
    older = written.layout.root / written.ranges[0].path
    data = older.read_bytes().replace(b"arrow version ", b"arrow Version ")
    written.live[written.ranges[0]] = CommittedFile(
        written.ranges[0], *write_file(Disk(), older, data)
    )
    merge_all(written)
    assert row_groups(written) == [7]


@pytest.mark.usefixtures("way")
def test_merged_pair_holds_the_rows_and_hashes_of_its_sources(tmp_path: Path) -> None:
    written = Written(tmp_path, [ROW_GROUP_ROWS - 1, 3, 300, 1])
    merged = merge_all(written)
    segment, tiles = merged.files
    assert [file.named for file in merged.files] == [
        segment_file(0, written.end),
        tiles_file(0, written.end),
    ]
    assert set(merged.dropped) == set(written.live)
    assert read_segment(tmp_path / segment.named.path).equals(segment_table(0, written.end))
    one = TilesReader(tmp_path, [tiles.named])
    many = TilesReader(tmp_path, [named for named in written.live if named.folder == "tiles"])
    for level, end in ((0, written.end), (1, written.end // 256)):
        assert one.read_hashes(level, 0, end) == many.read_hashes(level, 0, end)
    for file in merged.files:
        assert (tmp_path / file.named.path).stat().st_size == file.bytes_count


@pytest.mark.usefixtures("way")
def test_merged_pair_is_durable_when_it_is_given_back(tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    disk = TracingDisk(tmp_path)
    segment, tiles = (file.named.path for file in merge_all(written, disk).files)
    calls = [call for call in disk.calls if not call.startswith("write")]
    assert calls == [
        f"fsync {segment}.tmp",
        f"rename {segment}",
        f"fsync {tiles}.tmp",
        f"rename {tiles}",
        "fsync segments",
        "fsync tiles",
    ]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("part", [0.0, 0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("folder", ["segments", "tiles"])
def test_source_that_was_edited_is_refused_and_named(
    folder: str, part: float, tmp_path: Path
) -> None:
    written = Written(tmp_path, [2, 3, 4])
    path = next(named.path for named in written.live if (named.folder, named.start) == (folder, 2))
    data = bytearray((tmp_path / path).read_bytes())
    data[int((len(data) - 1) * part)] ^= 1
    (tmp_path / path).write_bytes(data)
    with pytest.raises(DigestError, match=path) as caught:
        merge_all(written)
    assert caught.value.path == path
    assert not (tmp_path / tiles_file(0, 9).path).exists()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("folder", ["segments", "tiles"])
def test_source_that_is_gone_is_named(folder: str, tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    path = next(named.path for named in written.live if named.folder == folder)
    (tmp_path / path).unlink()
    with pytest.raises(MissingFileError, match=f"{path} is gone"):
        merge_all(written)


@pytest.mark.usefixtures("way")
def test_merge_that_is_to_stop_gives_nothing_and_reads_no_further(tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    (tmp_path / written.ranges[-1].path).unlink()
    assert (
        merge_files(Disk(), written.layout, written.live, written.ranges, is_stopping=lambda: True)
        is None
    )
    assert not (tmp_path / segment_file(0, 5).path).exists()


# ── the thread ──────────────────────────────────────────────────────────────────────────────────


def test_thread_gives_its_result_once(tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    thread = MergeThread(Disk(), written.layout)
    assert thread.take() is None
    thread.start(written.live, written.ranges)
    merged = thread.take(is_waiting=True)
    assert merged is not None
    assert merged.files[0].named == segment_file(0, 5)
    assert thread.take(is_waiting=True) is None


def test_thread_raises_where_its_result_is_taken(tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    thread = MergeThread(FaultyDisk(3, Failure.LOST), written.layout)
    thread.start(written.live, written.ranges)
    with pytest.raises(DurabilityError):
        thread.take(is_waiting=True)
    assert not thread.is_running


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Holds a merge after its first rows until it is set."""
    gate = threading.Event()
    read = merge._read_tables

    def held(*args: Any) -> Iterator[pa.Table]:
        for table in read(*args):
            yield table
            gate.wait(20)

    monkeypatch.setattr(merge, "_read_tables", held)
    yield gate
    gate.set()


def test_running_merge_is_not_waited_for(gate: threading.Event, tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    thread = MergeThread(Disk(), written.layout)
    thread.start(written.live, written.ranges)
    assert thread.take() is None
    assert thread.is_running
    gate.set()
    assert thread.take(is_waiting=True) is not None


def test_stopped_thread_has_ended_and_wrote_no_file(gate: threading.Event, tmp_path: Path) -> None:
    written = Written(tmp_path, [2, 3])
    thread = MergeThread(Disk(), written.layout)
    thread.start(written.live, written.ranges)
    threading.Timer(0.05, gate.set).start()
    thread.stop()
    assert not thread.is_running
    assert not (tmp_path / segment_file(0, 5).path).exists()
    assert "merge" not in {one.name for one in threading.enumerate()}
