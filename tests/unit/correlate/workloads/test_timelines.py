from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.correlate.workloads.timelines import NOBODY, Timelines

intervals = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 12), st.integers(1, 9)), max_size=12
)


@given(intervals)
def test_in_front_is_what_began_last_of_what_holds(rows: list[tuple[int, int, int]]) -> None:
    made = np.array(rows, dtype=np.int64).reshape(-1, 3)
    lines = Timelines(made[:, 0], made[:, 1], made[:, 1] + made[:, 2])
    for group in range(3):
        for at in range(24):
            pieces = lines.find(np.array([group]), np.array([at]))
            holding = [
                (begin, row)
                for row, (of, begin, length) in enumerate(rows)
                if of == group and begin <= at < begin + length
            ]
            assert lines.rows_of(pieces)[0] == max(holding, default=(0, NOBODY))[1]
            if lines.are_alone(pieces, np.array([at]), np.array([at]))[0]:
                assert len(holding) <= 1
