"""What the log takes on disk for each entry: entries, events, hashes, and the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from meshtrail.note.keys import parse_vkey
from meshtrail.store.layout import Layout, read_format
from meshtrail.store.manifest_files import read_newest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENTRY_COLUMN = "entry"
ZSTD_LEVEL = 1
FLOOR_ROW_GROUPS = 64
"""Row groups, spread over the log, whose entries are compressed once more for the floor."""


def live_files(data: Path) -> tuple[list[Path], list[Path]]:
    """The live segments and tiles files of the newest manifest.

    The key is the one that the directory claims: a benchmark measures its own log.
    """
    layout = Layout(data)
    described = read_format(layout)
    verifier = parse_vkey(described.key)
    pinned = read_newest(layout, verifier, origin=described.origin)
    if pinned is None:
        return [], []
    paths = [
        data / file.named.path
        for file in [*pinned.live.folder("segments"), *pinned.live.folder("tiles")]
    ]
    segments = [path for path in paths if path.suffix == ".parquet"]
    return segments, [path for path in paths if path.suffix == ".tiles"]


def measure_disk(data: Path, *, record_bytes_mean: float) -> dict[str, Any]:
    """Bytes on disk for each entry, and as a share of the raw record.

    Args:
        data: the directory, when nothing more is being sealed.
        record_bytes_mean: mean length of a record as it came.
    """
    segments, tiles = live_files(data)
    totals = dict.fromkeys(("entries", "events", "bloom_filters_and_indexes"), 0)
    entries_count = 0
    for path in segments:
        metadata = pq.read_metadata(path)
        entries_count += metadata.num_rows
        in_columns = 0
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            for column in range(row_group.num_columns):
                chunk = row_group.column(column)
                part = "entries" if chunk.path_in_schema == ENTRY_COLUMN else "events"
                totals[part] += chunk.total_compressed_size
                in_columns += chunk.total_compressed_size
        # What a Parquet file holds beside its column chunks: Bloom filters, page indexes, footer.
        totals["bloom_filters_and_indexes"] += path.stat().st_size - in_columns
    totals["hashes"] = sum(path.stat().st_size for path in tiles)
    totals["checkpoints_and_manifests"] = sum(
        path.stat().st_size
        for folder in ("checkpoints", "manifest")
        for path in (data / folder).iterdir()
    )
    floor = measure_zstd_floor(segments)
    return {
        "entries_count": entries_count,
        "live_segments_count": len(segments),
        "bytes_per_entry": {
            name: round(total / entries_count, 1) for name, total in totals.items()
        },
        "percent_of_record_bytes": {
            name: round(100 * total / entries_count / record_bytes_mean, 1)
            for name, total in totals.items()
        },
        "percent_of_record_bytes_in_all": round(
            100 * sum(totals.values()) / entries_count / record_bytes_mean, 1
        ),
        "zstd_floor_of_entries": {
            "bytes_per_entry": round(floor, 1),
            "percent_of_record_bytes": round(100 * floor / record_bytes_mean, 1),
        },
    }


def measure_zstd_floor(segments: Sequence[Path]) -> float:
    """Bytes for each entry when its bytes alone are compressed, a whole row group in one frame.

    The level is the one that segments are written with; there is nothing to find an entry by.
    """
    groups = [
        (path, number)
        for path in segments
        for number in range(pq.read_metadata(path).num_row_groups)
    ]
    codec = pa.Codec("zstd", compression_level=ZSTD_LEVEL)
    entries_count = compressed = 0
    for path, number in groups[:: max(1, len(groups) // FLOOR_ROW_GROUPS)]:
        with pq.ParquetFile(path) as file:
            column = file.read_row_group(number, columns=[ENTRY_COLUMN]).column(ENTRY_COLUMN)
        entries_count += len(column)
        compressed += len(codec.compress(b"".join(column.to_pylist()), asbytes=True))
    return compressed / entries_count if entries_count else 0.0
