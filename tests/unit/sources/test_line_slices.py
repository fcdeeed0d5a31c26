from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import JournalDamageError
from meshtrail.sources.line_slices import count_lines, slice_lines

if TYPE_CHECKING:
    import numpy.typing as npt

FRAMES = st.lists(st.text("a\n\r", max_size=12).map(str.encode), max_size=6)


def plainly(frames: list[bytes]) -> list[bytes]:
    return [line for frame in frames for line in frame.split(b"\n") if line]


def counts_of(frames: list[bytes]) -> npt.NDArray[np.int64]:
    return np.array([count_lines(frame) for frame in frames], dtype=np.int64)


@given(FRAMES)
def test_records_are_what_stands_between_line_feeds(frames: list[bytes]) -> None:
    # As a slice of a longer column, whose other bytes are no records.
    column = pa.array([b"x\ny", *frames, b"z"], pa.binary())[1:-1]
    assert slice_lines(column, counts_of(frames)).to_pylist() == plainly(frames)


def test_a_carriage_return_belongs_to_its_record() -> None:
    assert slice_lines(pa.array([b"a\r\n\r\nb"]), np.array([3])).to_pylist() == [
        b"a\r",
        b"\r",
        b"b",
    ]


def test_a_frame_that_holds_other_than_was_counted_is_damage() -> None:
    with pytest.raises(JournalDamageError, match="holds 2 records, 3 were counted"):
        slice_lines(pa.array([b"a", b"b\nc"]), np.array([1, 3]))
