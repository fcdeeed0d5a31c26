from __future__ import annotations

import numpy as np

from meshtrail.correlate.pairing.happenings import PART_TYPES
from meshtrail.correlate.pairing.open_records import OpenRecords


def parts(received: list[int]) -> dict[str, np.ndarray]:
    columns = {name: np.zeros(len(received), dtype=kind) for name, kind in PART_TYPES.items()}
    columns["received_ns"] = np.array(received)
    columns["log_index"] = np.array(received) * 10
    return columns


def test_holes_are_closed_once_many_and_marks_move_along() -> None:
    records = OpenRecords()
    positions = records.append(parts(list(range(40_000))))
    records.settled, records.expired = 40_000, 20_000
    records.remove(positions[:10_000])
    assert len(records) == 30_000
    assert records.close_holes() is None
    records.remove(positions[10_000:30_000])
    records.remove(positions[30_000::2])
    moved = records.close_holes()
    assert moved is not None
    assert len(records) == records.count == 5_000
    assert records["log_index"][0] == 300_010
    assert moved[30_001] == 0
    assert moved[30_000] == -1
    assert (records.settled, records.expired) == (5_000, 0)


def test_memory_follows_what_is_open() -> None:
    records = OpenRecords()
    for start in range(0, 1_000_000, 50_000):
        positions = records.append(parts(list(range(start, start + 50_000))))
        records.remove(positions)
        records.close_holes()
    assert records.memory_bytes < 16 << 20


def test_positions_before_a_moment_are_counted_with_their_holes() -> None:
    records = OpenRecords()
    positions = records.append(parts([1, 2, 2, 5]))
    records.remove(positions[:2])
    assert [records.until(at) for at in (1, 2, 3, 9)] == [0, 1, 3, 4]
    assert records.is_present(positions).tolist() == [False, False, True, True]
