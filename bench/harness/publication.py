"""When entries became searchable: watches the published checkpoint, then asks the segments."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

POLL_S = 0.01


def published_size(data: Path) -> int:
    """Tree size of the published checkpoint; 0 before the first."""
    try:
        note = (data / "published" / "checkpoint").read_text(encoding="utf-8")
    except FileNotFoundError:
        return 0
    return int(note.split("\n", 2)[1])


class PublicationWatch:
    """Notes when each published tree size was first seen, at most 10 ms late."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._seen: list[tuple[int, int]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._note()
        self._thread.start()

    @property
    def size(self) -> int:
        """The latest tree size seen."""
        return self._seen[-1][1]

    def stop(self) -> npt.NDArray[np.int64]:
        """What was seen: int64[n, 2] of unix nanoseconds and tree size, both ascending."""
        self._stopping.set()
        self._thread.join()
        self._note()
        return np.array(self._seen, dtype=np.int64)

    def _run(self) -> None:
        path = self._data / "published" / "checkpoint"
        known = None
        while not self._stopping.wait(POLL_S):
            try:
                stat = os.stat(path)  # noqa: PTH116 - 100 times a second
            except FileNotFoundError:
                continue
            if (now := (stat.st_ino, stat.st_mtime_ns)) != known:
                known = now
                self._note()

    def _note(self) -> None:
        size = published_size(self._data)
        if not self._seen or size > self._seen[-1][1]:
            self._seen.append((time.time_ns(), size))  # noqa: TID251 - compared with the collector's clock


def sealed_rate(seen: npt.NDArray[np.int64], *, from_ns: int, until_ns: int) -> float:
    """Entries published a second between two moments."""
    sizes = [size_at(seen, from_ns), size_at(seen, until_ns)]
    return (sizes[1] - sizes[0]) / ((until_ns - from_ns) / 1e9)


def size_at(seen: npt.NDArray[np.int64], moment_ns: int) -> int:
    """The tree size that was published at a moment."""
    position = int(np.searchsorted(seen[:, 0], moment_ns, side="right")) - 1
    return int(seen[max(position, 0), 1])


def read_latencies(
    segments: list[Path], seen: npt.NDArray[np.int64], *, from_ns: int, until_ns: int
) -> dict[str, Any]:
    """From received to published, for every entry received between two moments.

    Args:
        segments: the live segments; entries in them say when they were received.
        seen: what ``PublicationWatch`` saw.
        from_ns: received at or after.
        until_ns: received before.

    Returns:
        JSON-ready: p50, p99 and maximum in ms, and how many entries they are of.
    """
    parts = []
    for path in segments:
        table = pq.read_table(path, columns=["log_index", "received_time"], partitioning=None)
        received = _numpy(table["received_time"])
        chosen = (received >= from_ns) & (received < until_ns)
        # An entry is published by the first tree that is larger than its index.
        first = np.searchsorted(seen[:, 1], _numpy(table["log_index"])[chosen], side="right")
        known = first < len(seen)
        parts.append(seen[first[known], 0] - received[chosen][known])
    latencies = np.concatenate(parts) / 1e6 if parts else np.zeros(0)
    if not len(latencies):
        return {"entries_count": 0}
    return {
        "entries_count": len(latencies),
        "p50_ms": round(float(np.percentile(latencies, 50)), 1),
        "p99_ms": round(float(np.percentile(latencies, 99)), 1),
        "max_ms": round(float(latencies.max()), 1),
    }


def _numpy(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(column.to_numpy(), dtype=np.int64)
