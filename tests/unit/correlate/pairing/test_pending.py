from __future__ import annotations

import numpy as np
import pyarrow as pa

from meshtrail.correlate.pairing.pending import Pending, Rows


def rows(*received: int, is_coded: bool = False) -> Rows:
    names = pa.array([f"row {one}" for one in received])
    table = pa.table(
        {
            "received_time": pa.array(received, pa.int64()),
            "name": names.dictionary_encode() if is_coded else names,
        }
    )
    return Rows(table, np.array(received, dtype=np.int64))


def test_rows_are_taken_out_by_time_however_they_came_in() -> None:
    pending = Pending()
    for part in (rows(1, 2), rows(), rows(2, 5, 6), rows(9)):
        pending.add(part)
    assert pending.take_until(1) is None
    taken = []
    for until in (3, 6, 100):
        window = pending.take_until(until)
        assert window is not None
        assert window.table.column("received_time").to_pylist() == window.tolerance_ns.tolist()
        taken.append(window.tolerance_ns.tolist())
    assert taken == [[1, 2, 2], [5], [6, 9]]
    assert pending.first_ns is None


def test_dictionaries_of_several_tables_become_one() -> None:
    pending = Pending()
    pending.add(rows(1, is_coded=True))
    pending.add(rows(2, is_coded=True))
    window = pending.take_until(3)
    assert window is not None
    assert window.table.column("name").combine_chunks().to_pylist() == ["row 1", "row 2"]
